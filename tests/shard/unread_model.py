"""A plain model of a reader's unread messages: the set of the messages that they have read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import apsw
import pytest

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard import permissions
from shard.actions import members, messages
from shard.actions import threads as thread_actions
from shard.actions import unread as unread_actions
from shard.engine.connections import Writer
from shard.errors import NotFoundError
from shard.rows import Message
from shard.tables.messages import Draft
from tests.shard import direct, stage

READER = stage.ANNA
ROLE = 77
START = stage.NOW_MS + 1_000
Place = tuple[str, int | None]
"""A channel's name, and one of its threads by number."""
PLACES: list[Place] = [("general", None), ("general", 0), ("general", 1), ("other", None), ("other", 2)]
WORDS = {
    "nobody": "hello",
    "member": f"<@{READER}>",
    "role": f"<@&{ROLE}>",
    "everyone": "@everyone",
    "both": f"<@{READER}> <@&{ROLE}>",
}
HEARD_BY_ABSENT = {"member": "nobody", "both": "role"}
"""What is left of words that call somebody who does not see the channel."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One file for all examples, and its threads by number."""

    connection: apsw.Connection
    writer: Writer
    room: stage.Room
    threads: list[ThreadId]


def say(shard: Shard, count: int, content: str = "hello", place: Place = ("general", None)) -> list[MessageId]:
    """Send some messages as BEN."""
    sent = [
        messages.send_message(
            shard.writer, stage.BEN, shard.room.channels[place[0]],
            Draft(content, thread_id=None if place[1] is None else shard.threads[place[1]]), now_ms=START,
        ).message.id
        for _ in range(count)
    ]  # fmt: skip
    shard.writer.settle()
    return sent


def called(shard: Shard, *, before: MessageId | None, limit: int, now_ms: int = START) -> list[Message]:
    """Return a page of the reader's inbox."""
    history = direct.history(shard.writer)
    return direct.answer(history.list_mentions(shard.room.id, READER, before=before, limit=limit, now_ms=now_ms)).rows


@contextmanager
def opened(folder: Path) -> Iterator[Shard]:
    """Found a room with a role and threads, in which BEN sees a channel that can be hidden from the reader."""
    with direct.writing(folder) as (connection, writer, room):
        writer.run(
            "INSERT INTO roles (id, name, permissions, position, created_at) VALUES (?, 'crew', 0, 1, 1)", (ROLE,)
        )
        # BEN goes on talking in `other` while it is hidden from the reader.
        writer.run(
            "INSERT INTO channel_overwrites (channel_id, target_type, target_id, allow) VALUES (?, 'member', ?, ?)",
            (room.channels["other"], stage.BEN, permissions.VIEW_CHANNEL),
        )
        threads = [
            thread_actions.open_thread(writer, stage.OWNER, room.channels[name], str(number), now_ms=stage.NOW_MS).id
            for number, name in enumerate(("general", "general", "other"))
        ]
        writer.settle()
        yield Shard(connection, writer, room, threads)


@dataclass(slots=True)
class Said:
    """A message as the model knows it; `calls` has the words by which it calls the reader."""

    id: MessageId
    place: Place
    author: UserId
    calls: str
    is_deleted: bool = False


@dataclass(slots=True)
class Model:
    """The messages, those that were read, and the places of the reader's markers."""

    shard: Shard
    now_ms: int = START
    said: list[Said] = field(default_factory=list)
    read: set[MessageId] = field(default_factory=set)
    markers: dict[Place, int] = field(default_factory=dict)
    joined_ms: int = stage.NOW_MS
    is_in: bool = True
    has_role: bool = False
    sees_other: bool = True

    @property
    def joined_id(self) -> int:
        return ids.at(self.joined_ms) - 1

    def channel(self, place: Place) -> ChannelId:
        return self.shard.room.channels[place[0]]

    def thread(self, place: Place) -> ThreadId | None:
        return None if place[1] is None else self.shard.threads[place[1]]

    def sees(self, place: Place) -> bool:
        return self.is_in and (place[0] == "general" or self.sees_other)

    def marker(self, place: Place) -> int:
        return max(self.markers.get(place, self.markers.get((place[0], None), 0)), self.joined_id)

    def unread(self) -> list[Said]:
        """Return what the reader has not read of what they see."""
        return [
            one
            for one in self.said
            if one.id not in self.read and one.author != READER and not one.is_deleted and self.sees(one.place)
        ]

    def calls(self, one: Said) -> bool:
        return one.calls in ("member", "everyone", "both") or (one.calls == "role" and self.has_role)

    # What people do.

    def send(self, place: Place, author: UserId, calls: str) -> None:
        if author == READER and not self.sees(place):
            return
        draft = Draft(WORDS[calls], thread_id=self.thread(place))
        sent = messages.send_message(self.shard.writer, author, self.channel(place), draft, now_ms=self.now_ms).message
        heard = calls if self.sees(place) else HEARD_BY_ABSENT.get(calls, calls)
        if heard == "everyone" and author != stage.OWNER:
            heard = "nobody"
        self.said.append(Said(sent.id, place, author, heard))

    def delete(self, number: int) -> None:
        left = [one for one in self.said if not one.is_deleted]
        if left:
            one = left[number % len(left)]
            one.is_deleted = True
            messages.delete_message(self.shard.writer, stage.OWNER, self.channel(one.place), one.id, now_ms=self.now_ms)

    def move(self, number: int, place: Place) -> None:
        left = [one for one in self.said if not one.is_deleted and one.place[0] == place[0]]
        if left:
            one = left[number % len(left)]
            one.place = place
            messages.move_messages(
                self.shard.writer, stage.OWNER, self.channel(place), [one.id], self.thread(place), now_ms=self.now_ms
            )

    def mark(self, place: Place, number: int | None, may_go_back: bool) -> None:
        writer = self.shard.writer
        channel_id, thread_id = self.channel(place), self.thread(place)
        column, value = ("channel_id", channel_id) if thread_id is None else ("thread_id", thread_id)
        newest = (writer.one(f"SELECT max(id) FROM messages WHERE {column} = ?", (value,)) or (0,))[0] or 0
        asked = None if number is None or not self.said else self.said[number % len(self.said)].id
        mark = partial(
            unread_actions.mark_read,
            writer,
            READER,
            channel_id,
            thread_id,
            asked,
            may_go_back=may_go_back,
            now_ms=self.now_ms,
        )
        if not self.sees(place):
            with pytest.raises(NotFoundError):
                mark()
            return
        stands_at = self.marker(place)
        wanted = max(newest if asked is None else min(asked, newest), self.joined_id)
        goes_back = wanted < stands_at
        moved = mark()
        there = [one for one in self.said if one.place == place or (place[1] is None and one.place[0] == place[0])]
        if goes_back and not may_go_back:
            assert moved == stands_at
            # Only messages that were moved to behind the marker can have been unread there.
            self.read |= {one.id for one in there if one.id <= wanted}
            return
        assert moved == wanted
        if wanted == stands_at and place[1] is not None:
            self.read |= {one.id for one in there if one.id <= wanted}
            return
        if goes_back:
            self.read -= {one.id for one in there if one.id > wanted}
        else:
            self.read |= {one.id for one in there if one.id <= wanted}
        self.markers[place] = wanted
        if place[1] is None:
            for known in [known for known in self.markers if known[0] == place[0] and known[1] is not None]:
                if (self.markers[known] >= wanted) if goes_back else (self.markers[known] <= wanted):
                    del self.markers[known]

    def mark_room(self) -> None:
        if self.is_in:
            unread_actions.mark_room_read(self.shard.writer, READER, now_ms=self.now_ms)
            for place in PLACES:
                if self.sees(place):
                    self.read |= {one.id for one in self.said if one.place == place}
                    newest = self.shard.writer.one(
                        "SELECT max(id) FROM messages WHERE channel_id = ?", (self.channel(place),)
                    )
                    assert newest is not None
                    self.markers.pop(place, None)
                    self.markers[place[0], None] = newest[0]

    def turn_role(self) -> None:
        self.has_role = not self.has_role
        if self.has_role:
            self.shard.writer.run("INSERT INTO member_roles VALUES (?, ?, ?, 1)", (READER, ROLE, stage.OWNER))
        else:
            self.shard.writer.run("DELETE FROM member_roles WHERE user_id = ?", (READER,))

    def come_or_go(self) -> None:
        writer = self.shard.writer
        if self.is_in:
            members.leave(writer, READER, now_ms=self.now_ms)
            # Roles are of the membership.
            self.has_role = writer.one("SELECT 1 FROM member_roles WHERE user_id = ?", (READER,)) is not None
        else:
            members.join(writer, READER, now_ms=self.now_ms)
            self.joined_ms = self.now_ms
            self.read |= {one.id for one in self.said if one.id <= self.joined_id}
        self.is_in = not self.is_in

    def turn_private(self) -> None:
        self.sees_other = not self.sees_other
        self.shard.writer.run(
            "UPDATE channels SET is_private = ? WHERE id = ?",
            (not self.sees_other, self.shard.room.channels["other"]),
        )

    # What must hold.

    def check(self) -> None:
        """Compare every count of the shard with the model's."""
        self.shard.writer.settle()
        if not self.is_in:
            with pytest.raises(NotFoundError):
                unread_actions.count_unread(self.shard.writer, READER, now_ms=self.now_ms)
            return
        left = unread_actions.count_unread_threads(self.shard.writer, READER, now_ms=self.now_ms)
        assert left.channels == unread_actions.count_unread(self.shard.writer, READER, now_ms=self.now_ms)
        unread = self.unread()
        names = {channel_id: name for name, channel_id in self.shard.room.channels.items()}
        expected = {name: [one for one in unread if one.place[0] == name] for name in names.values()}
        found = {names[one.channel_id]: (one.unread_count, one.mention_count) for one in left.channels}
        assert ("other" in found) == self.sees_other
        assert found == {name: (len(expected[name]), sum(map(self.calls, expected[name]))) for name in found}
        threads = {number: [one for one in unread if one.place[1] == number] for number in range(3)}
        assert {(one.thread_id, one.unread_count, one.mention_count) for one in left.threads} == {
            (self.shard.threads[number], len(there), sum(map(self.calls, there)))
            for number, there in threads.items()
            if there
        }
        inbox = called(self.shard, before=None, limit=100, now_ms=self.now_ms)
        assert [one.id for one in inbox] == [
            one.id
            for one in reversed(self.said)
            if self.calls(one) and self.sees(one.place) and not one.is_deleted and one.author != READER
            and one.id > self.joined_id
        ]  # fmt: skip
