"""Cuts: the transactions that delete messages from the shard's tables and count them in their segment.

Each step is whole: a message that has moved is in the manifest alone, any other is in the tables alone. A message
that changed since its segment was built, or was pinned, stays in the tables, and its copy is hidden.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import orjson

import ids
from ids import ChannelId
from shard.archive import manifest, retention
from shard.archive.manifest import Segment
from shard.archive.retention import Policy
from shard.archive.segment_files import Piece
from shard.engine.connections import Reader, Writer

LOG_KEPT_MS: Final = 7 * 86_400_000
"""Age up to which the log keeps every event: a client or a webhook that was away for longer cannot resume."""
DROPPED_AT_ONCE: Final = 200
"""Rows of deleted messages that one step drops."""
ROWS_READ_AT_ONCE: Final = 500
"""Rows among which one step of `drop_deleted` drops those of deleted messages: some milliseconds."""
GENERATIONS_MAX: Final = 512
"""Most segments of a room with imported history: each moves the ids of later imports by 1/1,024 of a millisecond, and
the other half belongs to what is created here.

Beyond it 409.
"""
TRIMMED_AT_ONCE: Final = 2_000
"""Events that one step of trimming the log reads, about 2 ms."""


def nonce_hash(user_id: int, nonce: str) -> int:
    """Return the hash that is kept of an archived message's nonce."""
    digest = hashlib.blake2b(f"{user_id}:{nonce}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def is_spent(reader: Reader, user_id: int, nonce: str) -> bool:
    """Tell whether a user sent an archived message with this nonce."""
    return reader.one("SELECT 1 FROM archived_nonces WHERE hash = ?", (nonce_hash(user_id, nonce),)) is not None


def step(writer: Writer, segment: Segment, pieces: Sequence[Piece]) -> int:
    """Move the next messages of a segment, given as `pieces`, and return how many of them could be moved."""
    packed = orjson.dumps([piece.id for piece in pieces]).decode()
    row = writer.one(_MOVABLE, (packed, segment.channel_id, segment.built_seq))
    movable = frozenset(orjson.loads(row[0])) if row else frozenset()
    moved = [piece for piece in pieces if piece.id in movable]
    stay = [piece.id for piece in pieces if piece.id not in movable]
    cut_id = pieces[-1].id
    first_id, last_id = (moved[0].id, moved[-1].id) if moved else (None, None)
    manifest.advance(writer, segment.id, first_id=first_id, last_id=last_id, cut_id=cut_id, count=len(moved))
    if stay:
        manifest.hide(writer, segment.id, stay)
    manifest.add_threads(writer, segment.id, [(piece.id, piece.thread_id) for piece in moved])
    _delete(writer, segment, [piece.id for piece in moved])
    dropped = _drop_deleted(writer, segment, cut_id)
    _note_crowds(writer, [*(piece.id for piece in moved), *dropped])
    return len(moved)


def _delete(writer: Writer, segment: Segment, message_ids: Sequence[int]) -> None:
    packed = orjson.dumps(message_ids).decode()
    writer.run(_KEEP_FILES, (packed, segment.id))
    # The other rows of a message are deleted with it, by their foreign keys.
    writer.run("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (packed,))


def _drop_deleted(writer: Writer, segment: Segment, cut_id: int) -> list[int]:
    """Drop the empty rows of messages that were deleted before the cut reached them, and return their ids; their nonces
    are spent."""
    rows = writer.all(_DELETED, (segment.channel_id, cut_id, DROPPED_AT_ONCE))
    if rows:
        spend(writer, hashes([(row[1], row[2]) for row in rows]))
        packed = orjson.dumps([row[0] for row in rows]).decode()
        writer.run("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (packed,))
    return [row[0] for row in rows]


def drop_deleted(writer: Writer, after_id: int) -> int | None:
    """Drop the empty rows of deleted messages among the next rows after an id, except in channels on hold; their nonces
    are spent. Return the id of the last row that was read, None at the end.

    The room's newest row stays: no id may be given out twice, even if the clock was set back.
    """
    row = writer.one(_NEXT, (after_id, ROWS_READ_AT_ONCE))
    if row is None or row[0] is None:
        return None
    deleted = writer.all(_DELETED_BETWEEN, (after_id, row[0]))
    held = {each: retention.of_channel(writer, each, Policy()).is_held for each in {found[3] for found in deleted}}
    gone = [found for found in deleted if not held[found[3]]]
    if gone:
        spend(writer, hashes([(found[1], found[2]) for found in gone]))
        packed = orjson.dumps([found[0] for found in gone]).decode()
        writer.run("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?))", (packed,))
        _note_crowds(writer, [found[0] for found in gone])
    return int(row[0])


def generation_begins(generation: int) -> int:
    """Return the first number within a millisecond that an import may use, in a room that began so many segments."""
    return generation * (ids.IMPORTED_PER_MILLISECOND // GENERATIONS_MAX)


def _note_crowds(writer: Writer, gone: Sequence[int]) -> None:
    """Record the freed ids that an import of a later generation could use again."""
    row = writer.one("SELECT segments_made FROM room")
    assert row is not None
    begins = generation_begins(row[0])
    crowded = [number for number in gone if begins <= number % ids.PER_MILLISECOND < ids.IMPORTED_PER_MILLISECOND]
    if crowded:
        writer.run(_CROWDED, (orjson.dumps(crowded).decode(), ids.PER_MILLISECOND))


def hashes(nonces: Sequence[tuple[int, str | None]]) -> list[int]:
    """Return the hashes of nonces, given with their senders, in the order of the table."""
    return sorted(nonce_hash(user_id, nonce) for user_id, nonce in nonces if nonce is not None)


def spend(writer: Writer, spent: Sequence[int]) -> None:
    """Record nonces as spent, given as hashes. Neighbours are cheapest: they are on the same pages."""
    writer.use_reserve()
    writer.run(
        "INSERT INTO archived_nonces (hash) SELECT value FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
        (orjson.dumps(spent).decode(),),
    )


def trim_log(writer: Writer, after_seq: int, *, now_ms: int) -> int | None:
    """Remove events after a number of the log whose messages are not in the tables any more: their creation, and the
    events that their segment has. Return the number of the last event that was read, None at the part that is kept.

    `room.first_seq` advances with it: from there on the log has every event.
    """
    end = _kept_from(writer, now_ms)
    row = writer.one("SELECT min(seq) - 1 FROM events WHERE seq > ?", (after_seq,))
    begin = after_seq if row is None or row[0] is None else max(after_seq, int(row[0]))  # a branch begins far above
    until = min(begin + TRIMMED_AT_ONCE, end - 1)
    if until <= after_seq:
        return None
    writer.run(_TRIM, (after_seq, until))
    if writer.changed():
        writer.run("UPDATE room SET first_seq = max(first_seq, ?)", (until + 1,))
    return until


def _kept_from(reader: Reader, now_ms: int) -> int:
    """Return the number of the first event to keep: younger than LOG_KEPT_MS, or not yet delivered to a webhook."""
    low, high = 1, (reader.one("SELECT coalesce(max(seq), 0) + 1 FROM events") or (1,))[0]
    while low < high:
        middle = (low + high) // 2
        row = reader.one("SELECT created_at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,))
        if row is not None and row[0] < now_ms - LOG_KEPT_MS:
            low = middle + 1
        else:
            high = middle
    row = reader.one("SELECT min(last_seq) FROM webhooks WHERE direction = 'outgoing' AND disabled_at IS NULL")
    return low if row is None or row[0] is None else min(low, int(row[0]) + 1)


def is_told(reader: Reader, *, before_ms: int, below: int) -> bool:
    """Tell whether every webhook has received its events of messages before a time, and of messages below an id that
    were imported since; an event cannot be delivered once its message has moved.

    The permissions of the webhook's keeper are not considered.
    """
    return reader.one(_UNTOLD, (before_ms, below)) is None


def floor(reader: Reader, channel_id: ChannelId, *, kept: int) -> int:
    """Return the id of the oldest of a channel's newest `kept` rows, which stay; 0 when it has no more than those."""
    row = reader.one(
        "SELECT id FROM messages WHERE channel_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (channel_id, kept)
    )
    return 0 if row is None else int(row[0]) + 1


def count_old(reader: Reader, channel_id: ChannelId, *, above: int = 0, below: int, limit: int) -> int:
    """Return how many messages of a channel with ids between two could move, at most `limit`."""
    row = reader.one(
        "SELECT count(*) FROM (SELECT 1 FROM messages WHERE channel_id = ? AND id > ? AND id < ? AND is_deleted = 0 "
        "AND is_pinned = 0 LIMIT ?)",
        (channel_id, above, below, limit),
    )
    assert row is not None
    return int(row[0])


_UNTOLD: Final = """
    SELECT 1 FROM webhooks w WHERE w.direction = 'outgoing' AND w.disabled_at IS NULL AND EXISTS (
        SELECT 1 FROM events e WHERE e.seq > w.last_seq AND e.message_id IS NOT NULL
          AND (e.created_at < ?1 OR (e.type = 'message.created' AND e.message_id < ?2))
          AND (w.channel_id IS NULL OR e.channel_id = w.channel_id)
          AND EXISTS (SELECT 1 FROM json_each(w.events)
                      WHERE value IN ('*', e.type, substr(e.type, 1, instr(e.type, '.') - 1))))
"""
_MOVABLE: Final = """
    SELECT json_group_array(id) FROM messages
    WHERE id IN (SELECT value FROM json_each(?1)) AND channel_id = ?2 AND is_deleted = 0 AND is_pinned = 0
      AND NOT EXISTS (SELECT 1 FROM events e WHERE e.message_id = messages.id AND e.type <> 'message.created'
                      AND e.seq > ?3)
"""
_KEEP_FILES: Final = """
    INSERT INTO archived_attachments (id, message_id, channel_id, user_id, filename, size_bytes, mime_type, sha256,
                                      object_key, width, height, duration_ms, created_at, segment_id)
    SELECT id, message_id, channel_id, user_id, filename, size_bytes, mime_type, sha256,
           object_key, width, height, duration_ms, created_at, ?2
    FROM message_attachments WHERE message_id IN (SELECT value FROM json_each(?1))
"""
_CROWDED: Final = """
    INSERT INTO archived_crowds (begin_id, last_id)
    SELECT value - value % ?2, max(value) FROM json_each(?1) GROUP BY 1
    ON CONFLICT (begin_id) DO UPDATE SET last_id = max(last_id, excluded.last_id)
"""
_DELETED: Final = (
    "SELECT id, user_id, nonce FROM messages WHERE channel_id = ? AND id <= ? AND is_deleted = 1 ORDER BY id LIMIT ?"
)
_NEXT: Final = "SELECT max(id) FROM (SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?)"
_DELETED_BETWEEN: Final = (
    "SELECT id, user_id, nonce, channel_id FROM messages WHERE id > ? AND id <= ? AND is_deleted = 1 "
    "AND id < (SELECT max(id) FROM messages) ORDER BY id"
)
# Of a message that a user deleted, only the log still has facts; of one that was deleted by age, nothing remains.
_TRIM: Final = """
    DELETE FROM events WHERE seq > ?1 AND seq <= ?2 AND message_id IS NOT NULL AND type <> 'message.deleted'
      AND CASE (SELECT coalesce(json_type(d.payload, '$.replaced'), 'erased') FROM events d
                WHERE d.message_id = events.message_id AND d.type <> 'message.created' AND d.type = 'message.deleted')
          WHEN 'erased' THEN true
          WHEN 'object' THEN type = 'message.created'
                             AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = events.message_id)
          ELSE NOT EXISTS (SELECT 1 FROM messages m WHERE m.id = events.message_id) END
"""
