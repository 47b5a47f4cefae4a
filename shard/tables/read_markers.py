"""Read markers of members, and counts of unread messages.

A channel's marker (thread 0) holds for all messages in the channel; a thread's own marker takes precedence for the
messages of that thread. Without a marker, messages from before the member joined are read. Unread messages are counted
on request: messages above the marker that others sent; not those of the server, and no deleted ones.
Archived messages are not counted: where some lie above a marker, the count is capped.

Markers are private. Events of the log go to all who see a channel, so markers have no events.
"""

from typing import Final, NamedTuple, TypeVar

import orjson

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard.access import Channel, Membership
from shard.engine.connections import Reader, Writer
from shard.rows import HAS_MENTIONS
from shard.tables import moved_reads

LOOKED_AT_MAX: Final = 1_000
"""Messages of a channel that a count looks at, newest first; a larger count is capped, and says so.

It takes 0.3 ms.
"""
MENTIONS_MAX: Final = 1_000
"""Mentions of one person, one of their roles or everyone that a count examines, newest first."""
THREADS_MAX: Final = 200
"""Threads of a room, last active first, that are examined for unread messages: more than anyone follows."""


class ChannelUnread(NamedTuple):
    """Unread counts of a channel for a member, its threads included; `level` is their notification level."""

    channel_id: ChannelId
    last_message_id: MessageId | None
    last_read_id: MessageId
    unread_count: int
    is_capped: bool
    level: str | None
    mention_count: int = 0


class ThreadUnread(NamedTuple):
    """Unread counts of a thread for a member."""

    channel_id: ChannelId
    thread_id: ThreadId
    title: str
    last_message_id: MessageId
    last_read_id: MessageId
    unread_count: int
    is_capped: bool
    mention_count: int = 0


class Standing(NamedTuple):
    """The reading position of a member in a channel or thread.

    It has the last id that they have read, the last id from before they joined, and the last id of all; none of these
    needs to be that of a message.
    """

    last_read_id: MessageId
    joined_id: MessageId
    newest_id: MessageId


def standing(reader: Reader, channel: Channel, thread_id: ThreadId | None) -> Standing:
    """Return the reading position of `channel.user_id` in the channel or one of its threads."""
    row = reader.one(_STANDING, (channel.user_id, channel.id, thread_id or 0))
    assert row is not None
    return Standing._make(row)


def put(
    writer: Writer, channel: Channel, thread_id: ThreadId | None, last_read_id: MessageId, *, goes_back: bool
) -> None:
    """Move a marker of `channel.user_id`.

    A channel's marker also moves the markers of its threads that it passes, in either direction.
    """
    above, until = (last_read_id, ids.ID_MAX) if goes_back else (0, last_read_id)
    moved_reads.settle(writer, channel.user_id, channel.id, thread_id, above=above, until=until)
    writer.run(
        "INSERT INTO read_markers (user_id, channel_id, thread_id, last_read_id) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (user_id, channel_id, thread_id) DO UPDATE SET last_read_id = excluded.last_read_id "
        "WHERE last_read_id <> excluded.last_read_id",
        (channel.user_id, channel.id, thread_id or 0, last_read_id),
    )
    if thread_id is None:
        passed = (last_read_id, ids.ID_MAX) if goes_back else (0, last_read_id)
        writer.run(
            "DELETE FROM read_markers WHERE user_id = ? AND channel_id = ? AND thread_id > 0 "
            "AND last_read_id BETWEEN ? AND ?",
            (channel.user_id, channel.id, *passed),
        )


def put_all(writer: Writer, user_id: UserId, channels: list[ChannelId]) -> MessageId | None:
    """Mark all messages so far in these channels as read, and return the newest one, if there is one."""
    packed = orjson.dumps(channels).decode()
    moved_reads.settle_all(writer, user_id, channels)
    writer.run(_PUT_ALL, (user_id, packed))
    writer.run(
        "DELETE FROM read_markers WHERE user_id = ? AND channel_id IN (SELECT value FROM json_each(?)) "
        "AND thread_id > 0",
        (user_id, packed),
    )
    row = writer.one(
        "SELECT max(last_read_id) FROM read_markers WHERE user_id = ? "
        "AND channel_id IN (SELECT value FROM json_each(?)) AND thread_id = 0",
        (user_id, packed),
    )
    return None if row is None or row[0] is None else MessageId(row[0])


def unread(reader: Reader, member: Membership, channels: list[ChannelId]) -> list[ChannelUnread]:
    """Return a member's unread counts of these channels, which they may read, in this order."""
    row = reader.one(_UNREAD, (member.user_id, orjson.dumps(channels).decode()))
    assert row is not None
    found, lowest = [], ids.ID_MAX
    for channel_id, last_id, floor, level, is_archived, in_front, in_threads in orjson.loads(row[0]):
        (ahead, is_full, has_mentions), (behind, mark) = in_front, in_threads
        if has_mentions or is_full or behind:
            lowest = min(lowest, floor, mark)
        is_capped = bool(is_full) or behind == LOOKED_AT_MAX or bool(is_archived)
        found.append(ChannelUnread(channel_id, last_id, floor, ahead + behind, is_capped, level))
    called: dict[int, int] = {}
    if lowest != ids.ID_MAX:
        for channel_id, _, count in _mentions(reader, member, lowest):
            called[channel_id] = called.get(channel_id, 0) + count
    moved: dict[int, int] = {}
    for one in moved_reads.differences(reader, member.user_id):
        moved[one.channel_id] = moved.get(one.channel_id, 0) + one.by
        called[one.channel_id] = called.get(one.channel_id, 0) + one.by * one.calls
    if not called and not moved:
        return found
    return [_corrected(one, moved.get(one.channel_id, 0), called.get(one.channel_id, 0)) for one in found]


def unread_threads(reader: Reader, member: Membership, channels: list[ChannelId]) -> list[ThreadUnread]:
    """Return the threads of these channels with unread messages for a member, last active first.

    Examines the THREADS_MAX threads that were active last.
    """
    moved: dict[int, int] = {}
    called: dict[int | None, int] = {}
    for one in moved_reads.differences(reader, member.user_id):
        if one.thread_id is not None:
            moved[one.thread_id] = moved.get(one.thread_id, 0) + one.by
            called[one.thread_id] = called.get(one.thread_id, 0) + one.by * one.calls
    parameters = (member.user_id, orjson.dumps(channels).decode(), THREADS_MAX, orjson.dumps([*moved]).decode())
    row = reader.one(_UNREAD_THREADS, parameters)
    assert row is not None
    found = [
        ThreadUnread(channel_id, thread_id, title, last_id, floor, count, bool(is_full or is_archived))
        for channel_id, thread_id, title, last_id, floor, is_archived, (count, is_full) in orjson.loads(row[0])
        if count or is_archived or thread_id in moved
    ]
    if not found:
        return []
    for _, thread_id, count in _mentions(reader, member, min(one.last_read_id for one in found)):
        called[thread_id] = called.get(thread_id, 0) + count
    counted = [_corrected(one, moved.get(one.thread_id, 0), called.get(one.thread_id, 0)) for one in found]
    return [one for one in counted if one.unread_count or one.is_capped]


Unread = TypeVar("Unread", ChannelUnread, ThreadUnread)


def _corrected(one: Unread, by: int, mention_count: int) -> Unread:
    """Return a count of the markers with so many more messages; a capped one has a lower bound, and keeps it."""
    count = one.unread_count if one.is_capped else max(one.unread_count + by, 0)
    return one._replace(unread_count=count, mention_count=max(mention_count, 0))


def _mentions(reader: Reader, member: Membership, lowest: int) -> list[tuple[int, int | None, int]]:
    """Return (channel, thread, count) of the unread messages above an id that mention a member, one of their roles or
    everyone; channels that the member does not see are included."""
    row = reader.one(_MENTIONS, (member.user_id, lowest))
    return [] if row is None else [(channel, thread, count) for channel, thread, count in orjson.loads(row[0])]


_JOINED = f"""
    (SELECT (max(joined_at, {ids.EPOCH_MS}) - {ids.EPOCH_MS} << {ids.SEQUENCE_BITS}) - 1
     FROM members WHERE user_id = ?1)
"""  # noqa: S608
_STANDING = f"""
    SELECT max(coalesce(o.last_read_id, k.last_read_id, 0), me.joined), me.joined,
           coalesce(CASE ?3 WHEN 0 THEN (SELECT max(id) FROM messages WHERE channel_id = ?2)
                    ELSE coalesce((SELECT max(id) FROM messages WHERE thread_id = ?3),
                                  (SELECT max(last_id) FROM segment_threads WHERE thread_id = ?3)) END, 0)
    FROM (SELECT {_JOINED} AS joined) me
    LEFT JOIN read_markers k ON k.user_id = ?1 AND k.channel_id = ?2 AND k.thread_id = 0
    LEFT JOIN read_markers o ON o.user_id = ?1 AND o.channel_id = ?2 AND o.thread_id = ?3
"""  # noqa: S608
_COUNTS = "m.user_id <> ?1 AND m.is_deleted = 0 AND m.content_type <> 'system'"
# Two counts for each channel: of the newest messages above its marker, except those that a thread's own marker has
# passed; and of those below its marker in threads whose own markers are older. Before them, whether segments
# have messages that belong to either.
_UNREAD = f"""
    SELECT json_group_array(json_array(
        r.id, r.last_message_id, r.floor, r.level,
        EXISTS (SELECT 1 FROM segments s WHERE s.channel_id = r.id AND s.last_id > r.floor AND s.message_count > 0)
        OR EXISTS (
            SELECT 1 FROM read_markers t CROSS JOIN segment_threads s
            ON s.thread_id = t.thread_id AND s.last_id > max(t.last_read_id, r.joined) AND s.message_count > 0
            WHERE t.user_id = ?1 AND t.channel_id = r.id AND t.thread_id > 0 AND t.last_read_id < r.floor),
        json(CASE WHEN r.last_message_id > r.floor THEN
            (SELECT json_array(
                 count(*) FILTER (WHERE {_COUNTS} AND NOT EXISTS (
                     SELECT 1 FROM read_markers t WHERE t.user_id = ?1 AND t.channel_id = r.id
                     AND t.thread_id = m.thread_id AND t.last_read_id >= m.id)),
                 count(*) = {LOOKED_AT_MAX}, max(extras & {HAS_MENTIONS}))
             FROM (SELECT id, thread_id, user_id, is_deleted, content_type, extras FROM messages
                   WHERE channel_id = r.id AND id > r.floor
                   ORDER BY id DESC LIMIT {LOOKED_AT_MAX}) m)
            ELSE '[0,0,0]' END),
        json((SELECT json_array(count(*), coalesce(min(b.last_read_id), {ids.ID_MAX})) FROM (
            SELECT t.last_read_id FROM read_markers t
            CROSS JOIN messages m ON m.thread_id = t.thread_id AND m.id > max(t.last_read_id, r.joined)
                                 AND m.id <= r.floor
            WHERE t.user_id = ?1 AND t.channel_id = r.id AND t.thread_id > 0 AND t.last_read_id < r.floor
              AND {_COUNTS} LIMIT {LOOKED_AT_MAX}) b))
    ) ORDER BY r.place)
    FROM (
        SELECT j.key AS place, c.id, c.last_message_id, me.joined, l.level,
               max(coalesce(k.last_read_id, 0), me.joined) AS floor
        FROM (SELECT {_JOINED} AS joined) me CROSS JOIN json_each(?2) j CROSS JOIN channels c ON c.id = j.value
        LEFT JOIN read_markers k ON k.user_id = ?1 AND k.channel_id = c.id AND k.thread_id = 0
        LEFT JOIN channel_levels l ON l.user_id = ?1 AND l.channel_id = c.id
    ) r
"""  # noqa: S608
_UNREAD_THREADS = f"""
    SELECT json_group_array(json_array(
        r.channel_id, r.id, r.title, r.last_message_id, r.floor,
        EXISTS (SELECT 1 FROM segment_threads s
                WHERE s.thread_id = r.id AND s.last_id > r.floor AND s.message_count > 0),
        json((SELECT json_array(count(*) FILTER (WHERE {_COUNTS}), count(*) = {LOOKED_AT_MAX})
              FROM (SELECT user_id, is_deleted, content_type FROM messages WHERE thread_id = r.id AND id > r.floor
                    ORDER BY id DESC LIMIT {LOOKED_AT_MAX}) m))
    ) ORDER BY r.last_message_at DESC, r.id DESC)
    FROM (
        SELECT t.*, max(coalesce(o.last_read_id, k.last_read_id, 0), {_JOINED}) AS floor
        FROM (SELECT * FROM threads WHERE +channel_id IN (SELECT value FROM json_each(?2))
              ORDER BY last_message_at DESC, id DESC LIMIT ?3) t
        LEFT JOIN read_markers k ON k.user_id = ?1 AND k.channel_id = t.channel_id AND k.thread_id = 0
        LEFT JOIN read_markers o ON o.user_id = ?1 AND o.channel_id = t.channel_id AND o.thread_id = t.id
    ) r
    WHERE r.last_message_id > r.floor OR r.id IN (SELECT value FROM json_each(?4))
"""  # noqa: S608
CALLS = """
    SELECT 'user' AS type, ?1 AS id UNION ALL SELECT 'everyone', 0
    UNION ALL SELECT 'role', role_id FROM member_roles WHERE user_id = ?1
"""
"""Targets that mention a person, as (type, id): a table for a statement whose first parameter is the person's id."""
_MENTIONS = f"""
    SELECT json_group_array(json_array(f.channel_id, f.thread_id, f.count)) FROM (
        SELECT m.channel_id, m.thread_id, count(*) AS count
        FROM (SELECT DISTINCT p.value AS id FROM ({CALLS}) t CROSS JOIN json_each((
                  SELECT json_group_array(message_id) FROM (
                      SELECT o.message_id FROM message_mentions o
                      WHERE o.target_type = t.type AND o.target_id = t.id AND o.message_id > ?2
                      ORDER BY o.message_id DESC LIMIT {MENTIONS_MAX}))) p) x
        CROSS JOIN messages m ON m.id = x.id
        LEFT JOIN read_markers k ON k.user_id = ?1 AND k.channel_id = m.channel_id AND k.thread_id = 0
        LEFT JOIN read_markers o ON o.user_id = ?1 AND o.channel_id = m.channel_id AND o.thread_id = m.thread_id
        WHERE {_COUNTS} AND m.id > max(coalesce(o.last_read_id, k.last_read_id, 0), {_JOINED})
        GROUP BY m.channel_id, m.thread_id
    ) f
"""  # noqa: S608
_PUT_ALL = """
    INSERT INTO read_markers (user_id, channel_id, thread_id, last_read_id)
    SELECT ?1, j.value, 0, m.id FROM json_each(?2) j CROSS JOIN messages m ON m.id = (
        SELECT max(id) FROM messages WHERE channel_id = j.value)
    WHERE true  -- so that the parser does not take ON for a join's
    ON CONFLICT (user_id, channel_id, thread_id) DO UPDATE SET last_read_id = excluded.last_read_id
    WHERE excluded.last_read_id <> last_read_id
"""
