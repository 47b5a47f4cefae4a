"""`joined` and `removed` come when all that a client would ask next is true: the lists, the room, its members."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rookery import cli
from tests.router.clients import Client, Room
from tests.router.hearing import Hearer, hearing
from tests.router.serving import Running

TURNS = 5
"""Before, about half of them told it too early."""


@pytest.fixture(scope="module")
def crowd() -> Iterator[ThreadPoolExecutor]:
    """A thread to act in, so that what is told is heard before the act is answered."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@contextmanager
def acting(crowd: ThreadPoolExecutor, act: Callable[[], Any]) -> Iterator[None]:
    """Act beside the block, and fail with what the act failed with."""
    future = crowd.submit(act)
    yield
    future.result()


def listed(client: Client) -> dict[str, Any]:
    return {room["id"]: room for room in client.get("/v1/rooms")["rooms"]}


def check_joined(hearer: Hearer, client: Client) -> Any:
    """Hear `joined`, ask at once for all that it promises, and return it."""
    joined = hearer.op("joined")
    room_id = joined["room_id"]
    assert {**listed(client)[room_id], "last_seq": joined["last_seq"]} == joined["room"]
    assert client.get(f"/v1/rooms/{room_id}")["is_member"]
    assert client.id in {row["user_id"] for row in client.get(f"/v1/rooms/{room_id}/members")["members"]}
    return joined


def check_removed(hearer: Hearer, client: Client, room_id: str, reason: str = "not_a_member") -> None:
    assert hearer.op("removed") == {"room_id": room_id, "reason": reason}
    assert room_id not in listed(client)


def test_joined_is_told_when_it_is_true(
    server: Running, owner: Client, other: Client, crowd: ThreadPoolExecutor
) -> None:
    """Whoever joins by an invite, or the door of a public room, finds it listed, open and with them in it."""
    with hearing(server, other.token) as (hearer, _):
        for _ in range(TURNS):
            room, public = owner.found(), owner.found(is_public=True)
            with acting(crowd, partial(owner.admit, room, other)):
                assert check_joined(hearer, other)["room_id"] == room.id
            with acting(crowd, partial(other.post, f"{public.path}/join")):
                assert check_joined(hearer, other)["room_id"] == public.id
            assert hearer.event("member.joined")["actor_id"] == other.id


def test_a_room_of_ones_own_is_told_to_ones_other_devices(
    server: Running, owner: Client, crowd: ThreadPoolExecutor
) -> None:
    """A room that one founds is told when it is listed, once to each device."""
    with hearing(server, owner.token) as (hearer, _):
        with acting(crowd, owner.found):
            joined = check_joined(hearer, owner)
        assert [frame for frame in hearer.quiet() if frame["op"] == "joined"] == []
        assert joined["users"] == []


def test_a_chat_is_told_with_its_other_side(
    server: Running, owner: Client, other: Client, crowd: ThreadPoolExecutor
) -> None:
    """A direct chat or a group that another opens is told with what a list of chats shows."""
    writer = owner.with_token(None).guest()
    owner.admit(owner.found(), writer, other)
    with hearing(server, other.token) as (hearer, _):
        with acting(crowd, lambda: writer.did("PUT", f"/v1/users/{other.id}/chat")):
            joined = check_joined(hearer, other)
        assert [user["id"] for user in joined["users"]] == [writer.id] == [joined["room"]["direct_user_id"]]
        with acting(crowd, lambda: writer.post("/v1/groups", {"user_ids": [other.id]})):
            assert check_joined(hearer, other)["room"]["kind"] == "group"


def test_removed_is_told_when_it_is_true(
    server: Running, owner: Client, other: Client, crowd: ThreadPoolExecutor
) -> None:
    """Whoever leaves, is kicked or banned, or whose room is deleted finds it in their list no more."""
    with hearing(server, other.token) as (hearer, _):

        def goes(act: Callable[[Room], Any], reason: str = "not_a_member") -> None:
            room = owner.found()
            owner.admit(room, other)
            hearer.op("joined")
            owner.say(room, "so that it is listened to")
            hearer.event("message.created")
            with acting(crowd, lambda: act(room)):
                check_removed(hearer, other, room.id, reason)

        for _ in range(TURNS):
            goes(lambda room: other.post(f"{room.path}/leave"))
            goes(lambda room: owner.did("DELETE", f"{room.path}/members/{other.id}"))
            goes(lambda room: owner.did("PUT", f"{room.path}/bans/{other.id}", {}))
            goes(lambda room: owner.did("DELETE", room.path, {}), "room_deleted")


def test_a_room_of_another_process_is_told(server: Running, owner: Client, tmp_path: Path) -> None:
    """Who owns what a command imports beside the server is told of the room, and hears it from then on."""
    importing = owner.register("importing")
    line = {"channel": "general", "topic": "", "user": "Ida", "timestamp": 1_700_000_000, "content": "from afar"}
    history = tmp_path / "history.jsonl"
    history.write_text(json.dumps(line))
    with hearing(server, importing.token) as (hearer, _):
        arguments = ["import", str(history), "--room", "from-afar", "--owner", "importing"]
        done = CliRunner().invoke(cli.app, ["--config", str(server.place.folder / "rookery.toml"), *arguments])
        assert done.exit_code == 0, done.output
        room_id = check_joined(hearer, importing)["room_id"]
        [channel] = importing.get(f"/v1/rooms/{room_id}")["channels"]
        importing.post(f"/v1/rooms/{room_id}/channels/{channel['id']}/messages", {"content": "hello"})
        assert hearer.event("message.created")["actor_id"] == importing.id


def test_whoever_comes_back_hears_of_both(server: Running, owner: Client, other: Client) -> None:
    """Leaving and joining again many times is told in that order, once each."""
    room = owner.found(is_public=True)
    with hearing(server, other.token) as (hearer, _):
        for _ in range(TURNS):
            other.post(f"{room.path}/join")
            other.post(f"{room.path}/leave")
        other.post(f"{room.path}/join")
        owner.say(room, "welcome back")
        hearer.until(lambda said: said["op"] == "events" and "welcome back" in str(said))
        told = [said["op"] for said in hearer.said if said["op"] in ("joined", "removed")]
        assert told == ["joined", "removed"] * (len(told) // 2) + ["joined"]
