"""A room that sleeps, as clients meet it: they wait a moment, or hear when to ask again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from directory import alerts, room_orders
from ids import RoomId
from objects import folders
from rookery import composition
from rookery.composition import now_ms
from tests.router.clients import Client, client_of
from tests.router.serving import Place, Running, serving, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(Place(tmp_path)) as running:
        yield running


@pytest.fixture
def owner(server: Running) -> Iterator[Client]:
    with client_of(server) as nobody:
        yield nobody.guest()


def put_away(server: Running, room_id: str) -> None:
    """Have the server hibernate a room, as the command does."""

    async def order() -> None:
        async with (
            composition.open_directory(server.place.settings()) as directory,
            directory.database.write() as writer,
        ):
            await room_orders.place(writer, RoomId(int(room_id)), "hibernate", now_ms=now_ms())

    asyncio.run(order())
    file = server.place.shards / f"{room_id}.db"
    until(lambda: not file.exists())


def test_a_client_hears_when_to_ask_for_a_room_again(owner: Client, server: Running) -> None:
    """While object storage fails, every way into the room is 503 with Retry-After, other rooms go on, and it heals."""
    made, other = (owner.post("/v1/rooms", {"name": name}) for name in ("sleepy", "awake"))
    room_id, path = made["room"]["id"], f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}/messages"
    owner.post(path, {"content": "before"})
    put_away(server, room_id)
    archive = server.place.folder / "data" / "archive"
    key = next(folders.walk(archive, "shards/", "", at_once=10))
    object_file = folders.path_of(archive, key)
    aside = object_file.rename(server.place.folder / "aside")
    object_file.mkdir()
    for method, asked, body in (
        ("GET", path, None),
        ("POST", path, {"content": "no"}),
        ("GET", f"/v1/rooms/{room_id}/search?q=before", None),
    ):
        answer = owner.ask(method, asked, body)
        assert (answer.status_code, answer.json()["type"]) == (503, "/docs#problem-room-waking")
        assert int(answer.headers["retry-after"]) >= 1
    assert owner.get(f"/v1/rooms/{other['room']['id']}/channels")
    object_file.rmdir()
    object_file.write_bytes(aside.read_bytes()[:-1])
    until(lambda: owner.ask("GET", path).json()["type"] == "/docs#problem-room-broken")
    object_file.write_bytes(aside.read_bytes())
    until(lambda: owner.ask("GET", path).status_code == 200, seconds=10)
    assert [message["content"] for message in owner.get(path)["messages"]] == ["before"]


def test_a_room_whose_object_is_gone_is_an_alert(owner: Client, server: Running) -> None:
    """Whoever finds a hibernated room without its object gets 503, and the operator one alert with its key."""
    room = owner.found()
    put_away(server, room.id)
    archive = server.place.folder / "data" / "archive"
    key = next(folders.walk(archive, "shards/", "", at_once=10))
    folders.path_of(archive, key).unlink()

    async def told() -> list[tuple[str, str]]:
        async with (
            composition.open_directory(server.place.settings()) as directory,
            directory.database.read() as reader,
        ):
            found = await alerts.list_page(reader, is_open=True, limit=9)
            return [(str(alert.room_id), alert.reason or "") for alert in found]

    for _ in range(2):
        assert owner.refused("GET", f"{room.general}/messages").type == "room-broken"
    until(lambda: bool(asyncio.run(told())))
    assert owner.refused("GET", f"{room.general}/messages").type == "room-broken"
    assert asyncio.run(told()) == [(room.id, f"1 object in object storage amiss: {key} is missing")]


def test_rooms_that_sleep_are_listed_and_found(owner: Client, server: Running) -> None:
    """The lists of rooms show one that sleeps and do not wake it, and asking for it by itself does."""
    made = owner.post("/v1/rooms", {"name": "sleepy", "is_public": True})
    room_id = made["room"]["id"]
    put_away(server, room_id)
    file = server.place.shards / f"{room_id}.db"
    assert [room["id"] for room in owner.get("/v1/rooms")["rooms"]] == [room_id]
    assert [room["id"] for room in owner.get("/v1/rooms/public")["rooms"]] == [room_id]
    assert owner.get("/v1/unread")["hibernated_room_ids"] == [room_id]
    assert not file.exists()
    assert owner.get(f"/v1/rooms/{room_id}/unread")["channels"]
    assert file.exists()
