"""The archive's manifest: the segments of each channel and thread, and the messages of each segment that count.

Rows are read in the snapshot in which access to the channel was checked. A message in a segment's object counts up to
`cut_id`, and unless it is `hidden`; all others are in the shard, or deleted.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

import word_forms
from ids import ChannelId, MessageId, ThreadId
from shard.access import Channel
from shard.archive.segment_files import Built, Edges
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError

PAGE_MAX: Final = 64
"""Segments that one read of the manifest returns: more than one answer needs."""
NONCE_USED: Final = (
    "This nonce was already used for another message, or for one that was deleted; make a new one for every message."
)


class Segment(NamedTuple):
    """One row of the manifest. `hidden` are messages of the object that are not shown to anyone, `folding` is the
    version in which its words are folded."""

    id: int
    channel_id: ChannelId
    object_key: str
    sha256: str
    size_bytes: int
    file_bytes: int
    first_id: MessageId
    last_id: MessageId
    cut_id: MessageId
    until_id: MessageId
    built_seq: int
    message_count: int
    folding: str
    hidden: frozenset[int]

    @property
    def is_cut(self) -> bool:
        """True once all messages of the object have moved."""
        return self.cut_id == self.until_id


def between(
    reader: Reader, channel_id: ChannelId, thread_id: ThreadId | None, *, above: int, below: int, newest_first: bool
) -> list[Segment]:
    """Return the segments of a channel, or of one of its threads, that may have messages with ids between two."""
    order = "last_id DESC" if newest_first else "first_id ASC"
    if thread_id is None:
        return _found(reader, f"{_SELECT} WHERE {_BETWEEN} ORDER BY s.{order} LIMIT ?", channel_id, above, below)
    sql = (
        f"{_SELECT} JOIN segment_threads t ON t.segment_id = s.id WHERE t.thread_id = ? AND +s.channel_id = ? "
        f"AND t.last_id > ? AND t.first_id < ? AND t.message_count > 0 ORDER BY s.{order} LIMIT ?"
    )
    return _found(reader, sql, thread_id, channel_id, above, below)


def of_channels(
    reader: Reader, channel_ids: Sequence[ChannelId], *, above: int, below: int, newest_first: bool
) -> list[Segment]:
    """Return the segments of some channels that may have messages with ids between two."""
    order = "last_id DESC" if newest_first else "first_id ASC"
    sql = (
        f"{_SELECT} WHERE channel_id IN (SELECT value FROM json_each(?)) AND last_id > ? AND first_id < ? "  # noqa: S608
        f"ORDER BY {order} LIMIT ?"
    )
    return _found(reader, sql, orjson.dumps(list(channel_ids)).decode(), above, below)


def is_full(named: Sequence[Segment]) -> bool:
    """Tell whether the manifest may have more segments than these, which one read returned."""
    return len(named) == PAGE_MAX


def covering(reader: Reader, channel_id: ChannelId, message_id: int) -> list[Segment]:
    """Return the segments of a channel that may have a message which is not in the tables."""
    sql = f"{_SELECT} WHERE s.channel_id = ? AND s.last_id >= ? AND s.first_id <= ? LIMIT ?"
    found = _found(reader, sql, channel_id, message_id, message_id)
    return [one for one in found if message_id not in one.hidden]


def any_of(reader: Reader, channel_id: ChannelId) -> bool:
    """Tell whether a channel has archived messages."""
    return reader.one("SELECT 1 FROM segments WHERE channel_id = ? LIMIT 1", (channel_id,)) is not None


def reaches(reader: Reader, channel_id: ChannelId, thread_id: ThreadId | None, *, above: int, below: int) -> bool:
    """Tell whether a channel, or a thread of it, has archived messages with ids between two."""
    if thread_id is None:
        sql = f"SELECT 1 FROM segments s WHERE {_BETWEEN} LIMIT 1"  # noqa: S608
        return reader.one(sql, (channel_id, above, below)) is not None
    sql = (
        "SELECT 1 FROM segment_threads WHERE thread_id = ? AND last_id > ? AND first_id < ? "
        "AND message_count > 0 LIMIT 1"
    )
    return reader.one(sql, (thread_id, above, below)) is not None


def one(reader: Reader, segment_id: int) -> Segment | None:
    """Return a row of the manifest."""
    found = _found(reader, f"{_SELECT} WHERE s.id = ? LIMIT ?", segment_id)
    return found[0] if found else None


def uncut(reader: Reader, *, after: int = 0) -> Segment | None:
    """Return the next segment after an id with messages that have not moved yet."""
    found = _found(reader, f"{_SELECT} WHERE cut_id < until_id AND s.id > ? ORDER BY s.id LIMIT ?", after)
    return found[0] if found else None


def to_rewrite(reader: Reader, *, after: int = 0) -> Segment | None:
    """Return the next segment after an id whose object has hidden messages, or words as another release folded them."""
    needed = "(hidden_count > 0 OR folding <> ?) AND cut_id = until_id"
    sql = f"{_SELECT} WHERE {needed} AND s.id > ? ORDER BY s.id LIMIT ?"
    found = _found(reader, sql, word_forms.VERSION, after)
    return found[0] if found else None


class Totals(NamedTuple):
    """Sums over the manifest; `unfinished` counts segments with messages that have not moved yet."""

    messages: int
    size_bytes: int
    segments: int
    hidden: int
    unfinished: int


def totals(reader: Reader) -> Totals:
    """Return the sums over all segments."""
    row = reader.one(
        "SELECT coalesce(sum(message_count), 0), coalesce(sum(size_bytes), 0), count(*), "
        "coalesce(sum(hidden_count), 0), coalesce(sum(cut_id < until_id), 0) FROM segments"
    )
    assert row is not None
    return Totals._make(row)


def filters(reader: Reader, segment_ids: Sequence[int]) -> dict[int, bytes]:
    """Return the filters of segments."""
    rows = reader.all(
        "SELECT segment_id, filter FROM segment_filters WHERE segment_id IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(segment_ids)).decode(),),
    )
    return {row[0]: row[1] for row in rows}


def insert(
    writer: Writer, channel_id: ChannelId, object_key: str, built: Built, *, first_id: int, cut_id: int, now_ms: int
) -> int:
    """Insert a segment of which no message counts yet, and return its id."""
    segment_id = writer.ids.next(now_ms)
    writer.run(
        "INSERT INTO segments (id, channel_id, object_key, sha256, size_bytes, file_bytes, first_id, last_id, cut_id, "
        "until_id, built_seq, message_count, created_at, folding) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        (
            segment_id, channel_id, object_key, built.sha256, built.size_bytes, built.file_bytes, first_id, first_id,
            cut_id, built.until_id, built.built_seq, now_ms, word_forms.VERSION,
        ),
    )  # fmt: skip
    _keep(writer, object_key)
    writer.run("UPDATE room SET segments_made = segments_made + 1")
    writer.run("INSERT INTO segment_filters (segment_id, filter) VALUES (?, ?)", (segment_id, built.filter))
    return segment_id


def advance(
    writer: Writer, segment_id: int, *, first_id: int | None, last_id: int | None, cut_id: int, count: int
) -> None:
    """Count `count` more messages of a segment, and everything up to `cut_id` as moved."""
    writer.run(
        "UPDATE segments SET first_id = CASE message_count WHEN 0 THEN coalesce(?1, first_id) ELSE first_id END, "
        "last_id = coalesce(?2, last_id), cut_id = ?3, message_count = message_count + ?4 WHERE id = ?5",
        (first_id, last_id, cut_id, count, segment_id),
    )


def add_threads(writer: Writer, segment_id: int, moved: Sequence[tuple[int, int | None]]) -> None:
    """Count moved messages in their threads, given as (id, thread), in order."""
    writer.run(_ADD_THREADS, (segment_id, orjson.dumps(moved).decode()))


def hide(writer: Writer, segment_id: int, message_ids: Sequence[int]) -> None:
    """Hide messages of a segment from now on."""
    packed = orjson.dumps(list(message_ids)).decode()
    writer.run(
        "INSERT INTO segment_hidden (segment_id, message_id) SELECT ?, value FROM json_each(?) WHERE true "
        "ON CONFLICT DO NOTHING",
        (segment_id, packed),
    )
    writer.run("UPDATE segments SET hidden_count = hidden_count + ? WHERE id = ?", (writer.changed(), segment_id))


def uncount(writer: Writer, segment_id: int, gone: Sequence[int | None], edges: Edges) -> None:
    """Subtract newly hidden messages, given by their threads, from the counts; `edges` are of the remaining ones."""
    first_id, last_id = edges.all or (None, None)
    writer.run(
        "UPDATE segments SET message_count = message_count - ?, first_id = coalesce(?, first_id), "
        "last_id = coalesce(?, last_id) WHERE id = ?",
        (len(gone), first_id, last_id, segment_id),
    )
    for thread_id, edge in edges.threads.items():
        first_id, last_id = edge or (None, None)
        writer.run(
            "UPDATE segment_threads SET message_count = message_count - ?, first_id = coalesce(?, first_id), "
            "last_id = coalesce(?, last_id) WHERE thread_id = ? AND segment_id = ?",
            (gone.count(thread_id), first_id, last_id, thread_id, segment_id),
        )


def swap(writer: Writer, old: Segment, object_key: str, built: Built) -> bool:
    """Replace a segment's object by one without its hidden messages.

    Returns False, and changes nothing, if more messages were hidden meanwhile, or the object was replaced already.
    """
    now = one(writer, old.id)
    if now is None or now.object_key != old.object_key or now.hidden != old.hidden or now.cut_id != old.cut_id:
        return False
    writer.run(
        "UPDATE segments SET object_key = ?, sha256 = ?, size_bytes = ?, file_bytes = ?, first_id = ?, last_id = ?, "
        "cut_id = ?, until_id = ?, message_count = ?, folding = ?, hidden_count = 0 WHERE id = ?",
        (
            object_key, built.sha256, built.size_bytes, built.file_bytes, built.first_id, built.until_id,
            built.until_id, built.until_id, len(built.pieces), word_forms.VERSION, old.id,
        ),
    )  # fmt: skip
    _keep(writer, object_key)
    writer.run("DELETE FROM segment_hidden WHERE segment_id = ?", (old.id,))
    writer.run("UPDATE segment_filters SET filter = ? WHERE segment_id = ?", (built.filter, old.id))
    writer.run("DELETE FROM segment_threads WHERE segment_id = ?", (old.id,))
    add_threads(writer, old.id, [(piece.id, piece.thread_id) for piece in built.pieces])
    return True


def _keep(writer: Writer, object_key: str) -> None:
    # The same messages make the same object: it may have been freed before.
    writer.run("DELETE FROM freed_objects WHERE object_key = ?", (object_key,))


def remove(writer: Writer, segment_id: int) -> None:
    """Delete a segment from the manifest; a trigger records that its object is to be removed."""
    writer.run("DELETE FROM segments WHERE id = ?", (segment_id,))


def freed(reader: Reader, *, after: str = "", limit: int = PAGE_MAX) -> list[str]:
    """Return keys of objects that no segment needs any more, in order, behind a key."""
    sql = "SELECT object_key FROM freed_objects WHERE object_key > ? ORDER BY object_key LIMIT ?"
    return [row[0] for row in reader.all(sql, (after, limit))]


def forget(writer: Writer, object_key: str) -> None:
    """Forget an object that was removed."""
    writer.run("DELETE FROM freed_objects WHERE object_key = ?", (object_key,))


def keys(reader: Reader, object_keys: Sequence[str]) -> frozenset[str]:
    """Return the given keys that the manifest has, or that are to be removed."""
    packed = orjson.dumps(list(object_keys)).decode()
    rows = reader.all(
        "SELECT object_key FROM segments WHERE object_key IN (SELECT value FROM json_each(?1)) "
        "UNION ALL SELECT object_key FROM freed_objects WHERE object_key IN (SELECT value FROM json_each(?1))",
        (packed,),
    )
    return frozenset(row[0] for row in rows)


def _found(reader: Reader, sql: str, *parameters: object) -> list[Segment]:
    found = []
    for *row, hidden in reader.all(sql, (*parameters, PAGE_MAX)):
        found.append(Segment._make((*row, frozenset(orjson.loads(hidden) if hidden else ()))))
    return found


_BETWEEN: Final = "s.channel_id = ? AND s.last_id > ? AND s.first_id < ? AND s.message_count > 0"
_SELECT: Final = (
    "SELECT s.id, s.channel_id, s.object_key, s.sha256, s.size_bytes, s.file_bytes, s.first_id, s.last_id, s.cut_id, "
    "s.until_id, s.built_seq, s.message_count, s.folding, CASE WHEN s.hidden_count THEN "
    "(SELECT json_group_array(message_id) FROM segment_hidden h WHERE h.segment_id = s.id) END FROM segments s"
)
_ADD_THREADS: Final = """
    INSERT INTO segment_threads (thread_id, segment_id, first_id, last_id, message_count)
    SELECT value ->> 1, ?1, min(value ->> 0), max(value ->> 0), count(*) FROM json_each(?2)
    WHERE value ->> 1 IS NOT NULL GROUP BY 1
    ON CONFLICT (thread_id, segment_id) DO UPDATE
    SET last_id = excluded.last_id, message_count = message_count + excluded.message_count
"""


class MaybeArchivedError(NotFoundError):
    """A message is not in the tables, but `segments` may have it. Not caught, it is a NotFoundError."""

    def __init__(self, channel: Channel, message_id: MessageId, segments: Sequence[Segment]) -> None:
        self.channel = channel
        self.message_id = message_id
        self.segments = segments
        super().__init__("message")


class MaybeSentError(ConflictError):
    """A nonce was used before, and its message is not in the tables, but `segments` may have it."""

    def __init__(self, channel: Channel, nonce: str, segments: Sequence[Segment]) -> None:
        self.channel = channel
        self.nonce = nonce
        self.segments = segments
        super().__init__(NONCE_USED)
