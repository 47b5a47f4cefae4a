"""Messages that were moved, as their readers had read them: a move changes nobody's read state.

A message counts as read by the marker of the thread that it is in. Moved to where a member's marker says otherwise, it
gets a row for that member, which goes before the marker until the member moves it past the message, either way.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard.engine.connections import Reader, Writer
from shard.rows import Message

LOOKED_AT_MAX: Final = 1_000
"""Rows of one member that a count looks at."""


class Difference(NamedTuple):
    """A message by which a count of the markers is wrong: `by` 1 too low or -1 too high; `calls` the member."""

    channel_id: ChannelId
    thread_id: ThreadId | None
    message_id: MessageId
    by: int
    calls: bool


def keep(writer: Writer, channel_id: ChannelId, found: Sequence[Message], thread_id: ThreadId | None) -> None:
    """Keep what every member has read of messages that are about to move into a thread, or with None out of theirs.

    Only members with a marker of a thread that the messages leave or enter can have read them otherwise there.
    """
    threads = {one.thread_id for one in found} | {thread_id}
    moved = orjson.dumps([[one.id, one.thread_id or 0, one.user_id] for one in found]).decode()
    touched = orjson.dumps([number for number in threads if number is not None]).decode()
    writer.run(_KEEP, (channel_id, moved, thread_id or 0, touched))


def settle(
    writer: Writer, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId | None, *, above: int, until: int
) -> None:
    """Have the markers decide again for messages of a channel, or of one of its threads, with ids between two."""
    writer.run(_SETTLE, (user_id, above, until, channel_id, thread_id))


def settle_all(writer: Writer, user_id: UserId, channels: list[ChannelId]) -> None:
    """Have the markers decide again for all messages of some channels."""
    writer.run(_SETTLE_ALL, (user_id, orjson.dumps(channels).decode()))


def differences(reader: Reader, user_id: UserId) -> list[Difference]:
    """Return where a member's rows differ from their markers, in all channels, LOOKED_AT_MAX at most."""
    rows = reader.all(_DIFFERENCES, (user_id, LOOKED_AT_MAX))
    return [Difference(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows]


_JOINED: Final = f"(max(u.joined_at, {ids.EPOCH_MS}) - {ids.EPOCH_MS} << {ids.SEQUENCE_BITS}) - 1"
_KEEP: Final = f"""
    INSERT INTO moved_reads (user_id, message_id, is_read)
    SELECT r.user_id, r.id, r.was_read FROM (
        SELECT u.user_id, j.value ->> 0 AS id,
               coalesce(x.is_read, j.value ->> 0 <= max(coalesce(o.last_read_id, k.last_read_id, 0), {_JOINED}))
               AS was_read,
               j.value ->> 0 <= max(coalesce(n.last_read_id, k.last_read_id, 0), {_JOINED}) AS will_be_read,
               x.is_read IS NOT NULL AS is_known
        FROM members u CROSS JOIN json_each(?2) j
        LEFT JOIN read_markers k ON k.user_id = u.user_id AND k.channel_id = ?1 AND k.thread_id = 0
        LEFT JOIN read_markers o ON o.user_id = u.user_id AND o.channel_id = ?1 AND o.thread_id = j.value ->> 1
        LEFT JOIN read_markers n ON n.user_id = u.user_id AND n.channel_id = ?1 AND n.thread_id = ?3
        LEFT JOIN moved_reads x ON x.user_id = u.user_id AND x.message_id = j.value ->> 0
        WHERE u.user_id <> j.value ->> 2 AND EXISTS (
            SELECT 1 FROM json_each(?4) t CROSS JOIN read_markers m
            ON m.user_id = u.user_id AND m.channel_id = ?1 AND m.thread_id = t.value)
    ) r WHERE r.was_read <> r.will_be_read OR r.is_known
    ON CONFLICT (user_id, message_id) DO UPDATE SET is_read = excluded.is_read
"""  # noqa: S608
_SETTLE: Final = """
    DELETE FROM moved_reads WHERE user_id = ?1 AND message_id > ?2 AND message_id <= ?3 AND EXISTS (
        SELECT 1 FROM messages m WHERE m.id = moved_reads.message_id AND m.channel_id = ?4
        AND (?5 IS NULL OR m.thread_id = ?5))
"""
_SETTLE_ALL: Final = """
    DELETE FROM moved_reads WHERE user_id = ?1 AND EXISTS (
        SELECT 1 FROM messages m WHERE m.id = moved_reads.message_id
        AND m.channel_id IN (SELECT value FROM json_each(?2)))
"""
_DIFFERENCES: Final = f"""
    SELECT m.channel_id, m.thread_id, m.id, 1 - 2 * x.is_read,
           EXISTS (SELECT 1 FROM message_mentions c WHERE c.message_id = m.id AND (
               (c.target_type = 'user' AND c.target_id = ?1) OR c.target_type = 'everyone'
               OR (c.target_type = 'role' AND c.target_id IN (SELECT role_id FROM member_roles WHERE user_id = ?1))))
    FROM moved_reads x CROSS JOIN messages m ON m.id = x.message_id
    CROSS JOIN members u ON u.user_id = ?1
    LEFT JOIN read_markers k ON k.user_id = ?1 AND k.channel_id = m.channel_id AND k.thread_id = 0
    LEFT JOIN read_markers o ON o.user_id = ?1 AND o.channel_id = m.channel_id AND o.thread_id = m.thread_id
    WHERE x.user_id = ?1 AND m.user_id <> ?1 AND m.is_deleted = 0 AND m.content_type <> 'system'
      AND m.id > {_JOINED}
      AND x.is_read = (m.id > max(coalesce(o.last_read_id, k.last_read_id, 0), {_JOINED}))
    LIMIT ?2
"""  # noqa: S608
