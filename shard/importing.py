"""Loads history from elsewhere: many records in one act, each through the acts that everyone else uses.

The nonce of a record makes it arrive once, however often it is loaded; what people did since (leave a room, be
banned from it) is not undone by loading the same history again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ids import ChannelId, ThreadId, UserId
from shard import access, channels, cuts, members, rooms, threads
from shard.acts import branching, shaping, talking
from shard.acts.shaping import ChannelDraft
from shard.connections import Writer
from shard.errors import RejectedError
from shard.messages import Draft


class Record(NamedTuple):
    """One message of a history; `sent_at` in milliseconds UTC, no `topic` for a message outside threads."""

    channel: str
    topic: str | None
    user_id: UserId
    sent_at: int
    content: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a batch: `refused` has the position in the batch and the reason."""

    messages_new: int
    messages_known: int
    channels_new: int
    threads_new: int
    refused: tuple[tuple[int, str], ...]


def load_batch(writer: Writer, records: Sequence[Record], *, skip_refused: bool, now_ms: int) -> Loaded:
    """Store records in their order, with the channels and threads they name and their authors as members.

    A channel or thread that is missing is made with the time of its first message; a channel belongs to the room's
    owner. A record that the room refuses ends the batch before it, or is left out with `skip_refused`.
    """
    places = _Places(writer, now_ms)
    known = _known(writer, records)
    new = 0
    refused: list[tuple[int, str]] = []
    for position, record in enumerate(records):
        # Asked first: the thread of a known message may have another title by now, or be locked.
        if (record.user_id, record.nonce) in known:
            continue
        try:
            new += _load(writer, places, record, now_ms)
        except RejectedError as error:
            refused.append((position, str(error)))
            if not skip_refused:
                break
    return Loaded(new, len(known), places.channels_new, places.threads_new, tuple(refused))


def _known(writer: Writer, records: Sequence[Record]) -> set[tuple[int, str]]:
    """Return the authors and nonces of those records that are stored already, or were and are archived."""
    rows = writer.all(
        "SELECT m.user_id, m.nonce FROM json_each(?) r "
        "CROSS JOIN messages m ON m.user_id = r.value ->> 0 AND m.nonce = r.value ->> 1",
        (json.dumps([(record.user_id, record.nonce) for record in records]),),
    )
    stored = {(row[0], row[1]) for row in rows}
    asked = {(record.user_id, record.nonce) for record in records} - stored
    return stored | {(user_id, nonce) for user_id, nonce in asked if cuts.is_spent(writer, user_id, nonce)}


def _load(writer: Writer, places: "_Places", record: Record, now_ms: int) -> bool:
    user_id = record.user_id
    places.let_in(user_id)
    channel_id = places.channel(record)
    thread_id = None if record.topic is None else places.thread(channel_id, record.topic, record)
    draft = Draft(record.content, record.nonce, thread_id)
    return talking.send_message(writer, user_id, channel_id, draft, now_ms=now_ms, sent_at=record.sent_at).is_new


class _Places:
    """The channels, threads and members of one batch, looked up once and made where they are missing.

    It lives as long as its transaction: what another process changes before the next one is seen there.
    """

    def __init__(self, writer: Writer, now_ms: int) -> None:
        room = rooms.one(writer)
        assert room is not None
        assert room.owner_id is not None, "direct chats are not imported"
        self._writer = writer
        self._now_ms = now_ms
        self._owner_id = room.owner_id
        seen = access.open_channels(writer, room.owner_id, now_ms=now_ms)
        self._channels = {row.name.lower(): row.id for row in channels.visible(writer, seen)}
        self._threads: dict[tuple[ChannelId, str], ThreadId] = {}
        self._members: set[UserId] = set()
        self.channels_new = 0
        self.threads_new = 0

    def let_in(self, user_id: UserId) -> None:
        if user_id not in self._members:
            # Not by the act of joining: a history's people did not join today.
            members.add(self._writer, user_id, now_ms=self._now_ms)
            self._members.add(user_id)

    def channel(self, record: Record) -> ChannelId:
        name = record.channel.lower()
        if name not in self._channels:
            draft = ChannelDraft(record.channel)
            made = shaping.create_channel(self._writer, self._owner_id, draft, now_ms=record.sent_at)
            self._channels[name] = made.id
            self.channels_new += 1
        return self._channels[name]

    def thread(self, channel_id: ChannelId, title: str, record: Record) -> ThreadId:
        key = (channel_id, title)
        if key not in self._threads:
            channel = access.open_channel(self._writer, record.user_id, channel_id, 0, now_ms=self._now_ms)
            found = threads.titled(self._writer, channel, title, now_ms=self._now_ms)
            if found is None:
                found = branching.open_thread(
                    self._writer, record.user_id, channel_id, title, now_ms=record.sent_at, is_announced=False
                )
                self.threads_new += 1
            self._threads[key] = found.id
        return self._threads[key]
