"""A direct chat that is half-made, or whose server dies meanwhile, ends as the one whole chat of its pair."""

import threading
import time
from pathlib import Path

import httpx
import pytest

import sqlite
from directory import members, rooms, users
from directory.client_info import NO_CLIENT
from rookery.composition import open_stores
from router.workflows import groups, room_creation
from router.workflows.membership import Entrance
from shard.actions import groups as group_actions
from tests.router.clients import Client, client_of
from tests.router.serving import Place, process, serving, until

NOW_MS = 1_750_000_000_000


def half_make(place: Place, room_id: str, *, with_shard: bool) -> None:
    """Put the stores into the state of a crash while a chat was made."""
    directory = sqlite.connect(place.folder / "data" / "directory.db")
    try:
        directory.execute("UPDATE rooms SET state = 'creating' WHERE id = ?", (int(room_id),))
        directory.execute("DELETE FROM room_members WHERE room_id = ?", (int(room_id),))
    finally:
        directory.close()
    if not with_shard:
        (place.shards / f"{room_id}.db").unlink()


def open_chat(one: Client, other_id: str) -> str:
    return str(one.did("PUT", f"/v1/users/{other_id}/chat")["room"]["id"])


def rooms_of(who: Client) -> list[str]:
    return [row["id"] for row in who.get("/v1/rooms")["rooms"]]


@pytest.mark.parametrize("with_shard", [True, False], ids=["shard made", "shard not made"])
def test_a_crash_leaves_a_whole_chat_or_none(tmp_path: Path, *, with_shard: bool) -> None:
    """After a restart the chat stands for both if its shard does, else it is gone whole and can be opened anew."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna, ben = nobody.guest(), nobody.guest()
        room_id, ben_id = open_chat(anna, ben.id), ben.id
        tokens = anna.token, ben.token
    half_make(place, room_id, with_shard=with_shard)
    with serving(place) as server, client_of(server) as nobody:
        anna, ben = map(nobody.with_token, tokens)
        assert rooms_of(anna) == rooms_of(ben) == ([room_id] if with_shard else [])
        again = open_chat(anna, ben_id)
        assert (again == room_id) is with_shard
        assert rooms_of(anna) == rooms_of(ben) == [again]
        assert open_chat(ben, anna.id) == again


@pytest.mark.parametrize("with_shard", [True, False], ids=["shard made", "shard not made"])
def test_who_opens_a_half_made_chat_mends_it(tmp_path: Path, *, with_shard: bool) -> None:
    """A chat whose making failed half-way, as by a full disk, is mended by the next who opens it, without a restart."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna, ben = nobody.guest(), nobody.guest()
        room_id = open_chat(anna, ben.id)
        half_make(place, room_id, with_shard=with_shard)
        time.sleep(1.2)  # another process's change is seen within a second
        assert anna.refused("GET", f"/v1/rooms/{room_id}").status == 404
        again = open_chat(ben, anna.id)
        assert (again == room_id) is with_shard
        assert rooms_of(anna) == rooms_of(ben) == [again]


def test_a_chat_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """When the shard cannot be made nobody has a chat, and the next try makes one."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna, ben = nobody.guest(), nobody.guest()
        away = place.shards.rename(place.folder / "away")
        assert anna.refused("PUT", f"/v1/users/{ben.id}/chat").status >= 500
        assert rooms_of(anna) == rooms_of(ben) == []
        away.rename(place.shards)
        assert open_chat(ben, anna.id) == open_chat(anna, ben.id)


async def test_a_leaving_that_was_cut_short_is_mended_by_repeating_it(tmp_path: Path) -> None:
    """When a crash came between the stores, the owner leaves once more, and the directory knows the heir or the end."""
    async with open_stores(Place(tmp_path).settings()) as stores:
        entrance = Entrance(stores.directory, stores.pool, 100)
        async with stores.directory.database.write() as writer:
            owner, heir = [(await users.create(writer, username=name, now_ms=NOW_MS)).id for name in ("owner", "heir")]
        room, _ = await room_creation.found_group(
            stores.directory, stores.pool, owner_id=owner, others=[heir], now_ms=NOW_MS
        )
        for leaver, owner_id, state in ((owner, heir, "active"), (heir, heir, "deleted")):
            assert await stores.pool.write(room.id, group_actions.leave, leaver, now_ms=NOW_MS)
            assert await groups.leave(entrance, room.id, leaver, client=NO_CLIENT, now_ms=NOW_MS)
            async with stores.directory.database.read() as reader:
                shown = await rooms.find(reader, room.id)
                assert (shown.owner_id, shown.state) == (owner_id, state)
                assert await members.find(reader, room.id, leaver) is None
            assert not await groups.leave(entrance, room.id, leaver, client=NO_CLIENT, now_ms=NOW_MS)


@pytest.mark.crash
def test_killing_the_server_while_chats_are_opened_leaves_one_for_each_pair(tmp_path: Path) -> None:
    """After SIGKILL every acknowledged chat stands, and every pair has one chat, which both are in."""
    with process(Place(tmp_path)) as served:
        opened: dict[str, str] = {}
        with client_of(served.running) as nobody:
            anna = nobody.guest()
            others = [nobody.guest() for _ in range(120)]
            ids = {other.id: other for other in others}
            anna_id, tokens = anna.id, {user_id: other.token for user_id, other in ids.items()}

            def open_all(from_anna: bool, mine: list[str]) -> None:
                for user_id in mine:
                    one, other = (anna, user_id) if from_anna else (ids[user_id], anna_id)
                    try:
                        opened[user_id] = open_chat(one, other)
                    except httpx.TransportError:
                        return

            wanted = list(ids)
            threads = [
                threading.Thread(target=open_all, args=(number % 2 == 0, wanted[number // 2 :: 2]))
                for number in range(4)
            ]
            for thread in threads:
                thread.start()
            until(lambda: len(opened) >= 20)
            served.kill()
            for thread in threads:
                thread.join()
        assert len(opened) < len(wanted)
        acknowledged = dict(opened)
        served.start()
        with client_of(served.running) as nobody:
            anna = nobody.with_token(anna.token)
            for user_id in wanted[: len(acknowledged) + 4]:
                room_id = open_chat(anna, user_id)
                assert acknowledged.get(user_id, room_id) == room_id
                other = nobody.with_token(tokens[user_id])
                assert open_chat(other, anna_id) == room_id
                assert rooms_of(other) == [room_id]
