"""Import of history from other systems: many records in one transaction, each by the same actions as live messages.

The nonce of a record makes sure that it is stored once, however often it is loaded. Authorship makes nobody a member:
who left, was kicked or was banned stays out, and their messages are loaded like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import word_forms
from ids import ChannelId, ThreadId, UserId
from shard import access
from shard.actions import channels as channel_actions
from shard.actions import messages as message_actions
from shard.actions import threads as thread_actions
from shard.actions.channels import ChannelDraft
from shard.archive import cuts
from shard.engine import identity
from shard.engine.connections import Writer
from shard.errors import RejectedError
from shard.tables import channels, messages, threads
from shard.tables.messages import Draft


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
    """The result of a batch: `refused` has positions in the batch and reasons."""

    messages_new: int
    messages_known: int
    channels_new: int
    threads_new: int
    refused: tuple[tuple[int, str], ...]


def load_batch(writer: Writer, records: Sequence[Record], *, skip_refused: bool, now_ms: int) -> Loaded:
    """Store records in order, with the channels and threads that they name.

    A missing channel or thread is created with the time of its first message; a channel belongs to the room's
    owner. A refused record ends the batch before it, or is left out with `skip_refused`.
    """
    places = _Places(writer, now_ms)
    known = _known(writer, records)
    new = 0
    refused: list[tuple[int, str]] = []
    for position, record in enumerate(records):
        # Checked first: the thread of a known message may have another title by now, or be locked.
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
    """Return the authors and nonces of those records that are stored already, live or archived."""
    stored = messages.stored(writer, [(record.user_id, record.nonce) for record in records])
    asked = {(record.user_id, record.nonce) for record in records} - stored
    return stored | {(user_id, nonce) for user_id, nonce in asked if cuts.is_spent(writer, user_id, nonce)}


def _load(writer: Writer, places: "_Places", record: Record, now_ms: int) -> bool:
    user_id = record.user_id
    channel_id = places.channel(record)
    thread_id = None if record.topic is None else places.thread(channel_id, record.topic, record)
    draft = Draft(record.content, record.nonce, thread_id)
    return message_actions.send_message(
        writer, user_id, channel_id, draft, now_ms=now_ms, sent_at=record.sent_at
    ).is_new


class _Places:
    """The channels and threads of one batch, looked up once and created if missing.

    It lives as long as its transaction, so that the next one sees changes of other processes.
    """

    def __init__(self, writer: Writer, now_ms: int) -> None:
        room = identity.one(writer)
        assert room is not None
        assert room.owner_id is not None, "direct chats are not imported"
        self._writer = writer
        self._now_ms = now_ms
        self._owner_id = room.owner_id
        seen = access.open_channels(writer, room.owner_id, now_ms=now_ms)
        self._channels = {word_forms.name_key(row.name): row.id for row in channels.visible(writer, seen)}
        self._threads: dict[tuple[ChannelId, str], ThreadId] = {}
        self.channels_new = 0
        self.threads_new = 0

    def channel(self, record: Record) -> ChannelId:
        name = word_forms.name_key(record.channel)
        if name not in self._channels:
            draft = ChannelDraft(record.channel)
            made = channel_actions.create_channel(self._writer, self._owner_id, draft, now_ms=record.sent_at)
            self._channels[name] = made.id
            self.channels_new += 1
        return self._channels[name]

    def thread(self, channel_id: ChannelId, title: str, record: Record) -> ThreadId:
        key = (channel_id, title)
        if key not in self._threads:
            channel = access.open_for_history(self._writer, record.user_id, channel_id)
            found = threads.titled(self._writer, channel, title, now_ms=self._now_ms)
            if found is None:
                found = thread_actions.insert_thread(self._writer, channel, title, now_ms=record.sent_at)
                self.threads_new += 1
            self._threads[key] = found.id
        return self._threads[key]
