"""A room that is full: what it refuses and why, what goes on, and that it opens again by itself."""

import asyncio
import time
from pathlib import Path

from config.settings import Settings
from directory import shards
from ids import RoomId
from rookery import composition
from tests.monitor.fleets import place_of
from tests.router.clients import Client, Room, client_of
from tests.router.serving import Running, serving, until

FULL = "This room is full"


def walk(settings: Settings, room: Room, size_limit_bytes: int | None) -> None:
    """Walk once beside the server, as the command does, after a room was given a limit of its own."""

    async def walked() -> None:
        async with composition.open_directory(settings) as directory:
            async with directory.database.write() as writer:
                await shards.set_limit(writer, RoomId(int(room.id)), size_limit_bytes, by=None, now_ms=1)
            await composition.size_walk(settings, directory).run()

    asyncio.run(walked())
    time.sleep(1.2)  # another process's change is seen within a second


def test_a_full_room_lets_go_and_takes_again(tmp_path: Path) -> None:
    """A full room refuses with the reason, can be read, emptied and left, and opens by itself again."""
    with serving(place_of(tmp_path)) as server, client_of(server) as nobody:
        _fill_and_free(server, nobody)


def test_a_room_is_closed_and_opened_without_a_round(tmp_path: Path) -> None:
    """The first refused message closes the room, and deletions of a part of it open it for everyone soon after."""
    with serving(place_of(tmp_path)) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room = anna.found()
        said: list[str] = []
        while True:
            answer = anna.ask("POST", f"{room.general}/messages", {"content": f"{len(said)} " + "x" * 7_000})
            if answer.status_code == 507:
                break
            said.append(answer.json()["id"])
        until(lambda: anna.get(room.path)["room"]["state"] == "readonly")
        assert anna.refused("POST", f"{room.general}/messages", {"content": "x"}).detail.startswith(FULL)
        for begin in range(0, len(said) // 2, 50):
            anna.post(f"{room.general}/messages/bulk-delete", {"ids": said[begin : begin + 50]})
        until(lambda: anna.get(room.path)["room"]["state"] == "active")
        anna.say(room, "There is space again.")


def _fill_and_free(server: Running, nobody: Client) -> None:
    settings = server.place.settings()
    anna, ben, carl, dora, stranger = (nobody.guest() for _ in range(5))
    room, other = anna.found(), anna.found()
    anna.admit(room, ben, carl, dora)
    said = [anna.say(room, "x" * 7_000)["id"] for _ in range(150)]
    once = {"content": "The last one.", "nonce": "n-1"}
    last = anna.post(f"{room.general}/messages", once)
    walk(settings, room, 2**20)
    assert anna.post(f"{room.general}/messages", once) == last
    for path, body in (("/messages", {"content": "x"}), ("/threads", {"title": "x"})):
        refusal = anna.refused("POST", room.general + path, body)
        assert (refusal.status, refusal.type) == (507, "storage-full")
        assert refusal.detail.startswith(FULL)
        assert stranger.refused("POST", room.general + path, body).status == 404
    assert stranger.refused("DELETE", f"{room.general}/messages/{said[0]}", {}).status == 404
    assert anna.get(room.path)["room"]["state"] == "readonly"
    assert len(anna.get(f"{room.general}/messages")["messages"]) == 50
    anna.say(other, "other rooms go on")
    anna.did("DELETE", f"{room.general}/messages/{said[0]}", {})
    anna.post(f"{room.general}/messages/bulk-delete", {"ids": said[1:3]})
    anna.did("PUT", f"{room.path}/owner", {"user_id": ben.id})
    assert ben.did("PUT", f"{room.path}/owner", {"user_id": anna.id})["owner_id"] == anna.id
    ben.post(f"{room.path}/leave")
    anna.did("DELETE", f"{room.path}/members/{carl.id}", {})
    anna.did("PUT", f"{room.path}/bans/{dora.id}", {"reason": "spam"})
    assert anna.get(f"{room.path}/members")["users"] == [anna.get(f"/v1/users/{anna.id}")]
    anna.did("DELETE", room.general, {})
    walk(settings, room, 2**20)
    left = f"{room.path}/channels/{room.channels['announcements']}"
    anna.post(f"{left}/messages", {"content": "There is space again."})
