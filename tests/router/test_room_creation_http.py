"""A room that is half-made when the server dies is whole or gone when it is back, and its name is free in between."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import sqlite
from directory import rooms, users
from rookery.composition import open_stores
from router.workflows import room_creation
from tests.router.clients import Client, client_of
from tests.router.serving import Place, Process, process, serving, until

NOW_MS = 1_750_000_000_000


def half_make(place: Place, room_id: str, *, with_shard: bool) -> None:
    """Put the stores into the state of a crash: a registry row without its end, with or without its shard."""
    directory = sqlite.connect(place.folder / "data" / "directory.db")
    try:
        directory.execute("UPDATE rooms SET state = 'creating' WHERE id = ?", (int(room_id),))
        directory.execute("DELETE FROM room_members WHERE room_id = ?", (int(room_id),))
    finally:
        directory.close()
    if not with_shard:
        (place.shards / f"{room_id}.db").unlink()


@pytest.mark.parametrize("with_shard", [True, False], ids=["shard made", "shard not made"])
def test_a_crash_between_registry_and_shard_is_mended(tmp_path: Path, *, with_shard: bool) -> None:
    """At the next start the room stands, with its owner and channels, if its shard does, else its name is free."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room = anna.found()
        token = anna.token
    half_make(place, room.id, with_shard=with_shard)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.with_token(token)
        if with_shard:
            assert anna.get(room.path)["room"]["member_count"] == 1
            assert [row["id"] for row in anna.get("/v1/rooms")["rooms"]] == [room.id]
            assert anna.say(room, "still here")
            assert anna.refused("POST", "/v1/rooms", {"name": room.name}).type == "taken"
        else:
            assert anna.refused("GET", room.path).status == 404
            assert anna.get("/v1/rooms")["rooms"] == []
            assert anna.post("/v1/rooms", {"name": room.name})["room"]["id"] != room.id


def test_a_room_that_cannot_be_made_leaves_its_name_free(tmp_path: Path) -> None:
    """When the shard cannot be made the registry forgets the room at once."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        away = place.shards.rename(place.folder / "away")
        assert anna.refused("POST", "/v1/rooms", {"name": "phoenix"}).status >= 500
        away.rename(place.shards)
        assert anna.post("/v1/rooms", {"name": "phoenix"})["room"]["state"] == "active"
        assert len(anna.get("/v1/rooms")["rooms"]) == 1


def test_a_half_made_room_is_not_there_yet(tmp_path: Path) -> None:
    """While a room is being made, or waits to be mended, nobody can see it, and its name is taken."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room = anna.found(is_public=True)
        assert anna.get(room.path)["is_member"]
        half_make(place, room.id, with_shard=True)
        time.sleep(1.2)  # another process's change is seen within a second
        assert anna.refused("GET", room.path) == anna.refused("GET", "/v1/rooms/1")
        assert anna.refused("GET", f"/v1/rooms/by-name/{room.name}").status == 404
        assert anna.refused("POST", f"{room.path}/join").status == 404
        assert room.id not in [row["id"] for row in anna.get("/v1/rooms/public")["rooms"]]
        assert anna.refused("POST", "/v1/rooms", {"name": room.name}).type == "taken"


def create_until_killed(served: Process) -> tuple[str, dict[str, str], list[str]]:
    """Create rooms from four clients, kill the server amid that, and return a token, what was made, what was tried."""
    made: dict[str, str] = {}
    tried = [f"room-{number}" for number in range(1_000)]
    waiting = iter(tried)
    lock = threading.Lock()

    def create(anna: Client) -> None:
        while (name := _next(waiting, lock)) is not None:
            try:
                made[name] = anna.post("/v1/rooms", {"name": name})["room"]["id"]
            except httpx.TransportError:
                return

    with client_of(served.running) as nobody:
        anna = nobody.guest()
        assert anna.token
        threads = [threading.Thread(target=create, args=(anna,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(made) >= 20)
        served.kill()
        for thread in threads:
            thread.join()
    return anna.token, made, tried[: len(made) + len(threads)]


def _next(names: Iterator[str], lock: threading.Lock) -> str | None:
    with lock:
        return next(names, None)


async def test_all_half_made_rooms_are_mended(tmp_path: Path) -> None:
    """However many rooms a crash left half-made, one start mends them all, but for those whose shard is broken."""
    async with open_stores(Place(tmp_path).settings()) as stores:
        async with stores.directory.database.write() as writer:
            owner = await users.create(writer, username="owner", now_ms=NOW_MS)
            for number in range(rooms.PAGE_MAX + 10):
                name = f"room-{number}"
                room = await rooms.register(
                    writer, kind="community", name=name, display_name=name, owner_id=owner.id, now_ms=NOW_MS
                )
                if number == 0:
                    (Place(tmp_path).shards / f"{room.id}.db").touch()
        assert await room_creation.mend(stores.directory, stores.pool, now_ms=NOW_MS) == rooms.PAGE_MAX + 9
        async with stores.directory.database.read() as reader:
            assert [room.name for room in await rooms.unfinished(reader)] == ["room-0"]


@pytest.mark.crash
def test_killing_the_server_while_rooms_are_made_leaves_whole_ones(tmp_path: Path) -> None:
    """After SIGKILL amid creations every acknowledged room stands, and every other name is whole or free."""
    place = Place(tmp_path)
    with process(place) as served:
        token, made, tried = create_until_killed(served)
        served.start()
        with client_of(served.running) as nobody:
            anna = nobody.with_token(token)
            listed = {row["name"]: row["id"] for row in anna.get("/v1/rooms", limit=100)["rooms"]}
            assert made.items() <= listed.items()
            for name in tried:
                if name in listed:
                    assert len(anna.get(f"/v1/rooms/{listed[name]}")["channels"]) == 3
                else:
                    assert anna.post("/v1/rooms", {"name": name})
