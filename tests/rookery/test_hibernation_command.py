"""`rookery room hibernate` and `wake`: beside a running server and without one, and in words when they cannot."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from directory import room_orders
from rookery import composition
from tests.rookery.histories import encoded, fill, find, history, read_back, settings
from tests.rookery.terminal import Ended, Served, invoke, serving, start
from tests.router.clients import client_of
from tests.router.hearing import hearing
from tests.router.serving import Place, Running


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "data", cwd=tmp_path) as running:
        yield running


def room(data: Path, *words: object) -> Ended:
    return invoke("--data", data, "room", *words)


async def said(data: Path) -> object:
    """Return everything that is said in the room lean."""
    async with composition.open_stores(settings(data)) as stores:
        return await read_back(stores, await find(stores, "lean"))


async def test_a_room_is_put_away_and_brought_back_without_a_server(tmp_path: Path) -> None:
    """Without a server the commands do it themselves, say what they did, and may be repeated."""
    lean, _ = await fill(tmp_path, "lean", "other")
    before = await said(tmp_path)
    path = composition.shards_folder(settings(tmp_path)) / f"{lean.id}.db"
    for _ in range(2):
        told = room(tmp_path, "hibernate", "lean", "--json").json
        assert told["state"] == "hibernated"
        assert 0 < told["size_bytes"] < told["file_bytes"]
        assert not path.exists()
    assert room(tmp_path, "show", "lean", "--json").json["state"] == "hibernated"
    assert "in object storage" in room(tmp_path, "show", "lean").out
    assert invoke("--data", tmp_path, "doctor", "--json").json["ok"]
    for _ in range(2):
        assert room(tmp_path, "wake", lean.id, "--json").json["state"] == "active"
        assert path.exists()
    assert await said(tmp_path) == before
    assert "is hibernated" in room(tmp_path, "hibernate", "lean").out
    assert "is awake" in room(tmp_path, "wake", "lean").out


async def test_what_cannot_be_put_away_is_said(tmp_path: Path) -> None:
    """A room that is not there, or read-only, is refused in a sentence, and exit code 1."""
    await fill(tmp_path, "lean")
    unknown = room(tmp_path, "hibernate", "nobody", "--json")
    assert (unknown.code, "nobody" in unknown.json["error"]) == (1, True)
    async with composition.open_directory(settings(tmp_path)) as directory, directory.database.write() as writer:
        await writer.execute("UPDATE rooms SET state = 'readonly' WHERE name = 'lean'")
    refused = room(tmp_path, "hibernate", "lean")
    assert (refused.code, "read-only" in refused.err) == (1, True)


async def test_nothing_is_loaded_into_a_room_that_sleeps(tmp_path: Path) -> None:
    """An import into a hibernated room is refused, with the command that wakes it."""
    await fill(tmp_path, "lean")
    room(tmp_path, "hibernate", "lean")
    file = tmp_path / "history.jsonl"
    file.write_bytes(encoded(history(1)))
    refused = invoke("--data", tmp_path, "import", file, "--room", "lean")
    assert (refused.code, "rookery room wake lean" in refused.err) == (1, True)


def test_a_running_server_puts_a_room_away_itself(served: Served, tmp_path: Path) -> None:
    """Beside a server the server does it: its listeners notice nothing, unread counts wake nothing, requests do."""
    running = Running(Place(tmp_path), urlsplit(served.url).port or 0)
    data = tmp_path / "data"
    with client_of(running) as nobody:
        owner, other = nobody.guest(), nobody.guest()
        made = owner.post("/v1/rooms", {"name": "nest", "is_public": True})
        room_id, channel_id = made["room"]["id"], made["channels"][0]["id"]
        other.post(f"/v1/rooms/{room_id}/join", {})
        messages = f"/v1/rooms/{room_id}/channels/{channel_id}/messages"
        owner.post(messages, {"content": "before"})
        path = data / "shards" / f"{room_id}.db"
        with hearing(running, other.token) as (hearer, ready):
            place = next(one["last_seq"] for one in ready["rooms"] if one["id"] == room_id)
            for number in range(3):
                ended = room(data, "hibernate", "nest", "--json")
                assert ended.code == 0, ended.out
                assert not path.exists()
                unread = other.get("/v1/unread")
                assert unread["hibernated_room_ids"] == [room_id]
                assert not path.exists(), "counting what is unread wakes nobody"
                owner.post(messages, {"content": f"after {number}"})
                assert hearer.event("message.created")["d"]["content"] == f"after {number}"
                assert path.exists()
            assert hearer.place(room_id, place) == place + 3
        assert other.get("/v1/unread")["hibernated_room_ids"] == []
        said = [message["content"] for message in owner.get(messages)["messages"] if message["content"]]
        assert said == ["after 2", "after 1", "after 0", "before"]
        room(data, "hibernate", "nest")
        with hearing(running, other.token, resume={room_id: place}) as (hearer, _):
            assert hearer.op("resumed")["seq"] == place + 3
        assert room(data, "wake", "nest", "--json").json["state"] == "active"


async def test_a_server_that_ends_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command whose server ends before it did what was asked says so, and works when it is run again."""
    await fill(tmp_path, "nest")
    process = start("--data", tmp_path, "serve", "--port", 0, "--json", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline()
    place = room_orders.place

    async def place_and_end(*arguments, **options):  # type: ignore[no-untyped-def]
        await place(*arguments, **options)
        process.kill()
        process.communicate()

    monkeypatch.setattr(room_orders, "place", place_and_end)
    ended = room(tmp_path, "hibernate", "nest")
    monkeypatch.undo()
    assert (ended.code, "run the same command again" in ended.err) == (1, True)
    assert room(tmp_path, "hibernate", "nest").code == 0


async def test_the_audit_of_a_room_that_sleeps_asks_to_wake_it(tmp_path: Path) -> None:
    """The log of a hibernated room is out of reach: one that is asked for says so, and following all leaves it out."""
    await fill(tmp_path, "lean", "other")
    room(tmp_path, "hibernate", "lean")
    for words in (("list", "--room", "lean"), ("verify", "--room", "lean")):
        refused = invoke("--data", tmp_path, "audit", *words)
        assert (refused.code, "rookery room wake lean" in refused.err) == (1, True)
    followed = invoke("--data", tmp_path, "audit", "verify")
    assert (followed.code, "1 hibernated room" in followed.err) == (0, True)
