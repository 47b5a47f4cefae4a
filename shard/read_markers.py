"""How far people have read, and what they have not read yet.

A channel's marker (thread 0) goes for all that is said in the channel, a thread's own marker goes before it for what is
said in that thread. Without any, somebody has read what there was when they joined. What counts as unread is counted
when it is asked for: messages behind the marker that others sent; not those of the server, and none that was deleted.

Markers are their owner's alone. The log is for all who see a channel, so they leave no event in it.
"""

from typing import Final, NamedTuple

import orjson

import ids
from ids import ChannelId, MessageId, ThreadId, UserId
from shard.access import Channel, Membership
from shard.connections import Reader, Writer
from shard.rows import HAS_MENTIONS

LOOKED_AT_MAX: Final = 1_000
"""Messages of a channel that a count looks at, newest first; a larger count is capped, and says so."""
MENTIONS_MAX: Final = 1_000
"""Mentions of one person, one of their roles or everyone that a count looks at, newest first."""
THREADS_MAX: Final = 200
"""Threads of a room, last active first, that are looked at for unread messages: more than anyone follows."""


class ChannelUnread(NamedTuple):
    """What a member has not read of a channel, its threads included; `level` is what they want to hear of it."""

    channel_id: ChannelId
    last_message_id: MessageId | None
    last_read_id: MessageId
    unread_count: int
    is_capped: bool
    level: str | None
    mention_count: int = 0


class ThreadUnread(NamedTuple):
    """What a member has not read of a thread."""

    channel_id: ChannelId
    thread_id: ThreadId
    title: str
    last_message_id: MessageId
    last_read_id: MessageId
    unread_count: int
    is_capped: bool
    mention_count: int = 0


class Standing(NamedTuple):
    """Where somebody stands in a channel or thread: the last id they have read, the last one of before they joined, and
    the last one that there is, each of which may be no message."""

    last_read_id: MessageId
    joined_id: MessageId
    newest_id: MessageId


def standing(reader: Reader, channel: Channel, thread_id: ThreadId | None) -> Standing:
    """Return how far the channel's opener has read it, or one of its threads."""
    row = reader.one(_STANDING, (channel.user_id, channel.id, thread_id or 0))
    assert row is not None
    return Standing._make(row)


def put(
    writer: Writer, channel: Channel, thread_id: ThreadId | None, last_read_id: MessageId, *, goes_back: bool
) -> None:
    """Move a marker of the channel's opener.

    A channel's marker takes those of its threads along that it passes, forth or back.
    """
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


def put_all(writer: Writer, user_id: UserId, channels: list[ChannelId]) -> None:
    """Mark all that is said so far in these channels as read."""
    packed = orjson.dumps(channels).decode()
    writer.run(_PUT_ALL, (user_id, packed))
    writer.run(
        "DELETE FROM read_markers WHERE user_id = ? AND channel_id IN (SELECT value FROM json_each(?)) "
        "AND thread_id > 0",
        (user_id, packed),
    )


def unread(reader: Reader, member: Membership, channels: list[ChannelId]) -> list[ChannelUnread]:
    """Return what a member has not read of these channels, which they may read, in this order."""
    row = reader.one(_UNREAD, (member.user_id, orjson.dumps(channels).decode()))
    assert row is not None
    found, lowest = [], ids.ID_MAX
    for channel_id, last_id, floor, level, (ahead, is_full, has_mentions), (behind, mark) in orjson.loads(row[0]):
        if has_mentions or is_full or behind:
            lowest = min(lowest, floor, mark)
        is_capped = bool(is_full) or behind == LOOKED_AT_MAX
        found.append(ChannelUnread(channel_id, last_id, floor, ahead + behind, is_capped, level))
    if lowest == ids.ID_MAX:
        return found
    called: dict[int, int] = {}
    for channel_id, _, count in _mentions(reader, member, lowest):
        called[channel_id] = called.get(channel_id, 0) + count
    return [one._replace(mention_count=called[one.channel_id]) if one.channel_id in called else one for one in found]


def unread_threads(reader: Reader, member: Membership, channels: list[ChannelId]) -> list[ThreadUnread]:
    """Return the threads of these channels in which a member has not read all, last active first.

    Looks at the THREADS_MAX that were active last.
    """
    row = reader.one(_UNREAD_THREADS, (member.user_id, orjson.dumps(channels).decode(), THREADS_MAX))
    assert row is not None
    found = [
        ThreadUnread(channel_id, thread_id, title, last_id, floor, count, bool(is_full))
        for channel_id, thread_id, title, last_id, floor, (count, is_full) in orjson.loads(row[0])
        if count
    ]
    if not found:
        return []
    mentions = _mentions(reader, member, min(one.last_read_id for one in found))
    called = {thread_id: count for _, thread_id, count in mentions}
    return [one._replace(mention_count=called.get(one.thread_id, 0)) for one in found]


def _mentions(reader: Reader, member: Membership, lowest: int) -> list[tuple[int, int | None, int]]:
    """Return (channel, thread, count) of the unread messages above an id that call a member, one of their roles or
    everyone; also of channels that the member does not see."""
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
# Two counts for each channel: of the newest messages behind its marker, but for those that a thread's own marker has
# passed; and of those before its marker in threads whose own markers stand further back.
_UNREAD = f"""
    SELECT json_group_array(json_array(
        r.id, r.last_message_id, r.floor, r.level,
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
    WHERE r.last_message_id > r.floor
"""  # noqa: S608
CALLS = """
    SELECT 'user' AS type, ?1 AS id UNION ALL SELECT 'everyone', 0
    UNION ALL SELECT 'role', role_id FROM member_roles WHERE user_id = ?1
"""
"""What calls a person, as (type, id): a table for a statement whose first parameter is who that is."""
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
