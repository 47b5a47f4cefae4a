"""A room whose file was restored while its listeners and webhook receivers had followed it further."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import sqlite
from tests.router.clients import Client, Room, client_of
from tests.router.receivers import Receiver, receiving
from tests.router.serving import Place, Process, Running, process, until
from tests.router.wires import speaking

REACHES = "[webhooks]\nallow_private_networks = true\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def copy_of(server: Running, room: Room) -> Path:
    """Back a room up beside the running server, as the documents say."""
    copy = server.place.folder / "backup.db"
    connection = sqlite.connect(server.place.shards / f"{room.id}.db")
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
    finally:
        connection.close()
    return copy


def restore(served: Process, room: Room, copy: Path) -> None:
    """Stop the server, put the backup in the place of the room's file, and start again."""
    served.terminate()
    served.wait()
    path = served.place.shards / f"{room.id}.db"
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    shutil.copyfile(copy, path)
    served.start()


def contents(receiver: Receiver) -> list[str]:
    found = [event for one in receiver.taken() for event in one.events]
    return [(event["d"] or {}).get("content") or event["type"] for event in found]


def test_followers_of_a_restored_room_learn_of_it(tmp_path: Path, receiver: Receiver) -> None:
    """Who followed the lost branch further than the restored one reaches is told to read the room anew, and a receiver
    gets every event of the new branch, however many there are by then."""
    with process(Place(tmp_path, more=REACHES)) as served, client_of(served.running) as nobody:
        owner: Client = nobody.register("owner_of_it")
        room = owner.found()
        hook = {"name": "out", "url": receiver.url(), "events": ["message", "room"]}
        owner.post(f"{room.path}/webhooks/outgoing", hook)
        owner.say(room, "kept")
        until(lambda: "kept" in contents(receiver))
        copy = copy_of(served.running, room)
        with speaking(served.running, owner) as speaker:
            owner.say(room, "lost")
            speaker.until_event(lambda event: (event["d"] or {}).get("content") == "lost")
            place = speaker.place(room)
        until(lambda: "lost" in contents(receiver))
        restore(served, room, copy)
        for number in range(place + 5):
            owner.say(room, f"new {number}")
        with speaking(served.running, owner, resume={room.id: place}) as speaker:
            told = speaker.next("resync")["d"]
            assert told["reason"] == "restored"
            assert speaker.next("resumed")["d"]["seq"] == told["seq"]
            owner.say(room, "the end")
            speaker.until_event(lambda event: (event["d"] or {}).get("content") == "the end")
            assert speaker.contents(room) == ["the end"]
            assert speaker.place(room) == told["seq"] + 1
        until(lambda: "the end" in contents(receiver))
        got = contents(receiver)
        assert got[got.index("room.restored") + 1 :] == [*(f"new {number}" for number in range(place + 5)), "the end"]
        numbers = [event["seq"] for one in receiver.taken() for event in one.events]
        # What the backup did not know to be delivered comes again.
        assert numbers[-place - 7 :] == sorted(set(numbers))[-place - 7 :]
        with speaking(served.running, owner, resume={room.id: told["seq"]}) as speaker:
            assert speaker.next("resumed")["d"]["seq"] == told["seq"] + 1
            assert not [frame for frame in speaker.heard if frame["op"] == "resync"]
