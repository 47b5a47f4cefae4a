"""Texts that the disk has damaged: their rows are told as damaged, and everything else is served."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from directory import alerts
from rookery import composition
from rookery.server import periodic
from tests.router.clients import Client, Room, client_of
from tests.router.hearing import hearing
from tests.router.serving import Place, Running, serving, until


@dataclass(frozen=True, slots=True)
class Made:
    """A stopped installation with a room, and the token of its owner."""

    place: Place
    token: str
    room: Room
    message_id: str

    def flip(self, old: bytes, new: bytes) -> None:
        """Change bytes of the room's file as a failing disk does, in every place."""
        path = self.place.shards / f"{self.room.id}.db"
        _flip(path, old, new)


def _flip(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(content.replace(old, new))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.setattr(periodic, "DAMAGES_EVERY_SECONDS", 0.05)
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.register("anna")
        anna.did("PATCH", "/v1/users/me", {"display_name": "Anna Magpie"})
        room = anna.found(description="of magpies")
        thread = anna.post(f"{room.general}/threads", {"title": "twigs and straw"})
        anna.say(room, "first feather")
        spoilt = anna.say(room, "second feather", thread_id=thread["id"], nonce="spoilt-nonce")
        anna.say(room, "third feather", reply_to_id=spoilt["id"])
        anna.did("PUT", f"{room.general}/messages/{spoilt['id']}/pin", {})
        anna.did("PATCH", f"{room.path}/members/{anna.id}", {"nickname": "the builder"})
        assert anna.token is not None
        return Made(place, anna.token, room, spoilt["id"])


@pytest.fixture
def server(made: Made) -> Iterator[Running]:
    """A server over rows of which some have a byte that is no text any more."""
    made.flip(b"second feather", b"sec\xffnd feather")
    made.flip(b"twigs and straw", b"twigs\xc3and straw")
    made.flip(b"the builder", b"the b\x80ilder")
    _flip(made.place.folder / "data" / "directory.db", b"Anna Magpie", b"Anna M\xffgpie")
    with serving(made.place) as running:
        yield running


@pytest.fixture
def anna(made: Made, server: Running) -> Iterator[Client]:
    """The owner."""
    with client_of(server) as nobody:
        yield nobody.with_token(made.token)


def contents(page: Any) -> list[tuple[str, bool]]:
    said = [message for message in page["messages"] if message["content_type"] != "system"]
    return [(message["content"], message.get("is_damaged", False)) for message in said]


def test_a_page_comes_with_the_damaged_row_told(anna: Client, made: Made) -> None:
    """Every way to a damaged message shows what can be read of it and says so; the others are as they were."""
    path, spoilt = f"{made.room.general}/messages", ("sec\ufffdnd feather", True)
    assert contents(anna.get(path)) == [("third feather", False), spoilt, ("first feather", False)]
    one = anna.get(f"{path}/{made.message_id}")
    assert (one["content"], one["is_damaged"], one["nonce"]) == (*spoilt, "spoilt-nonce")
    assert contents(anna.get(f"{made.room.general}/pins")) == [spoilt]
    assert contents(anna.get(f"{made.room.path}/export"))[1] == spoilt
    found = anna.get(f"{made.room.path}/search", q="feather")
    assert [hit["content"] for hit in found["messages"]] == ["third feather", spoilt[0], "first feather"]
    (thread,) = anna.get(f"{made.room.general}/threads")["threads"]
    assert thread["title"].startswith("twigs\ufffd")
    assert contents(anna.get(path, thread_id=thread["id"])) == [spoilt]
    (member,) = anna.get(f"{made.room.path}/members")["members"]
    assert member["nickname"].startswith("the b\ufffd")
    assert anna.get("/v1/users/me")["display_name"].startswith("Anna M\ufffd")
    assert anna.get(f"{made.room.path}/unread")


def test_events_of_damaged_rows_are_replayed(server: Running, made: Made) -> None:
    """A gateway client that resumes gets every event, and the damaged message as what it is."""
    made.flip(b'"the b\x80ilder"', b'\x01the b\x80ilder"')
    with hearing(server, made.token, resume={made.room.id: 1}) as (hearer, _):
        told: list[tuple[str, bool]] = []
        while "third feather" not in (content for content, _ in told):
            events = hearer.op("events")["events"]
            made_now = [event["d"] for event in events if event["type"] == "message.created"]
            told += [(message["content"], message.get("is_damaged", False)) for message in made_now]
    assert ("sec\ufffdnd feather", True) in told


def test_a_damaged_message_can_be_removed(anna: Client, made: Made) -> None:
    """Deleting it leaves the others as they were."""
    anna.did("DELETE", f"{made.room.general}/messages/{made.message_id}")
    page = anna.get(f"{made.room.general}/messages")
    assert contents(page) == [("third feather", False), ("first feather", False)]


def test_a_damaged_row_can_be_changed_and_removed(anna: Client, made: Made) -> None:
    """Its author mends it by an edit, and deletes it; the room goes on meanwhile."""
    path = f"{made.room.general}/messages"
    anna.say(made.room, "fourth feather")
    edited = anna.did("PATCH", f"{path}/{made.message_id}", {"content": "second feather"})
    assert (edited["content"], "is_damaged" in edited) == ("second feather", False)
    made_anew = anna.get(f"{path}/{made.message_id}/history")["versions"]
    assert made_anew[0]["content"].startswith("sec\ufffd")
    anna.did("DELETE", f"{path}/{made.message_id}")
    assert [content for content, _ in contents(anna.get(path))] == ["fourth feather", "third feather", "first feather"]


def test_the_operator_is_told_once(anna: Client, made: Made) -> None:
    """Reading damage marks the room: one alert, the room stays open, and a check says what is damaged."""
    for _ in range(3):
        anna.get(f"{made.room.general}/messages")

    async def raised() -> list[alerts.Alert]:
        async with composition.open_directory(made.place.settings()) as directory, directory.database.read() as reader:
            return await alerts.list_page(reader, is_open=True, limit=10)

    until(lambda: bool(asyncio.run(raised())))
    anna.get(f"{made.room.general}/messages")
    anna.say(made.room, "and on")
    (alert,) = asyncio.run(raised())
    assert (alert.kind, alert.level, str(alert.room_id)) == ("damage", "critical", made.room.id)
    assert alert.reason == "a text in its file cannot be read"
