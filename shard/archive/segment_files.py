"""Segment files: consecutive messages of one channel with all their rows, as a SQLite file with its own search index.

The tables have the names and columns of the shard's, so the same functions read both (pages, search, reactions,
versions). Words are cut and folded anew in every file. A file is written once, checked, compressed and never changed.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import orjson
import zstandard

import sqlite
import word_forms
from ids import ChannelId, MessageId, RoomId, ThreadId, UserId
from shard.archive import bloom
from shard.engine import files
from shard.engine.connections import Reader
from shard.errors import ShardFullError
from shard.text import tokens

FORMAT: Final = 2
FORMATS_READ: Final = (1, FORMAT)
"""Those of format 1 are searched without their index, and built again by the archiver."""
MESSAGES_MAX: Final = 20_000
"""Messages of one segment: a few megabytes, fetched in some tens of milliseconds."""
CONTENT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of text of one segment: it has fewer messages where they are long."""
FILE_BYTES_MAX: Final = 512 * 1024 * 1024
"""Bytes of an unpacked segment: one that claims to be larger is not ours."""
_LEVEL: Final = 3
"""zstd's level 6 took three times as long and made objects a fourteenth smaller."""
_CHUNK_BYTES: Final = 1024 * 1024

_SCHEMA: Final = """
    CREATE TABLE segment (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL,
        room_id INTEGER NOT NULL, channel_id INTEGER NOT NULL, first_id INTEGER NOT NULL, until_id INTEGER NOT NULL,
        message_count INTEGER NOT NULL, folding TEXT NOT NULL);
    CREATE TABLE messages (id INTEGER PRIMARY KEY, channel_id INTEGER NOT NULL, thread_id INTEGER,
        user_id INTEGER NOT NULL, content TEXT NOT NULL, content_type TEXT NOT NULL, metadata TEXT,
        reply_to_id INTEGER, nonce TEXT, edit_count INTEGER NOT NULL, is_pinned INTEGER NOT NULL,
        is_deleted INTEGER NOT NULL, created_at INTEGER NOT NULL, edited_at INTEGER, search_text TEXT,
        extras INTEGER NOT NULL) STRICT;
    CREATE TABLE message_attachments (id INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, user_id INTEGER NOT NULL,
        filename TEXT NOT NULL, size_bytes INTEGER NOT NULL, mime_type TEXT NOT NULL, sha256 TEXT NOT NULL,
        object_key TEXT NOT NULL, state TEXT NOT NULL, width INTEGER, height INTEGER, duration_ms INTEGER,
        created_at INTEGER NOT NULL, channel_id INTEGER, position INTEGER NOT NULL) STRICT;
    CREATE TABLE message_mentions (message_id INTEGER NOT NULL, target_type TEXT NOT NULL, target_id INTEGER NOT NULL,
        PRIMARY KEY (message_id, target_type, target_id)) STRICT, WITHOUT ROWID;
    CREATE TABLE reactions (message_id INTEGER NOT NULL, emoji TEXT NOT NULL, user_id INTEGER NOT NULL,
        created_at INTEGER NOT NULL, PRIMARY KEY (message_id, emoji, user_id)) STRICT, WITHOUT ROWID;
    CREATE TABLE reaction_counts (message_id INTEGER NOT NULL, emoji TEXT NOT NULL, count INTEGER NOT NULL,
        created_at INTEGER NOT NULL, PRIMARY KEY (message_id, emoji)) STRICT, WITHOUT ROWID;
    CREATE TABLE events (seq INTEGER PRIMARY KEY, type TEXT NOT NULL, channel_id INTEGER, message_id INTEGER,
        actor_id INTEGER, payload TEXT, created_at INTEGER NOT NULL) STRICT;
    CREATE VIEW messages_search (id, words) AS SELECT id, coalesce(search_text, content) FROM messages;
    CREATE VIRTUAL TABLE messages_fts USING fts5 (words, content = 'messages_search', content_rowid = 'id',
        tokenize = 'ascii');
"""
_INDEXES: Final = """
    CREATE INDEX idx_messages_thread_id ON messages (thread_id, id) WHERE thread_id IS NOT NULL;
    CREATE INDEX idx_messages_user_id ON messages (user_id, id);
    CREATE INDEX idx_message_attachments_message_id ON message_attachments (message_id);
    CREATE INDEX idx_message_mentions_target ON message_mentions (target_type, target_id, message_id);
    CREATE INDEX idx_reactions_user_id ON reactions (user_id, message_id);
    CREATE INDEX idx_events_message_id ON events (message_id, seq);
"""
_COPIED: Final = {
    "message_attachments": (
        "id, message_id, user_id, filename, size_bytes, mime_type, sha256, object_key, state, width, height, "
        "duration_ms, created_at, channel_id, position",
        "m.extras & 2",
    ),
    "message_mentions": ("message_id, target_type, target_id", "m.extras & 1"),
    "reactions": ("message_id, emoji, user_id, created_at", "m.extras & 4"),
    "reaction_counts": ("message_id, emoji, count, created_at", "m.extras & 4"),
    "events": ("seq, type, channel_id, message_id, actor_id, payload, created_at", "o.type <> 'message.created'"),
}
_MESSAGE: Final = (
    "id, channel_id, thread_id, user_id, content, content_type, metadata, reply_to_id, nonce, edit_count, is_pinned, "
    "is_deleted, created_at, edited_at, extras"
)


class Piece(NamedTuple):
    """The facts of a message that a cut needs: its id and thread, its sender's nonce, and the size of its text."""

    id: MessageId
    thread_id: ThreadId | None
    user_id: UserId
    nonce: str | None
    text_bytes: int


@dataclass(frozen=True, slots=True)
class Built:
    """A segment that is ready to be stored: `path` has the bytes of the object, `pieces` its messages in order."""

    path: Path
    sha256: str
    size_bytes: int
    file_bytes: int
    first_id: MessageId
    until_id: MessageId
    built_seq: int
    filter: bytes
    pieces: list[Piece]


@contextmanager
def _explained(room_id: RoomId) -> Iterator[None]:
    try:
        yield
    except apsw.FullError as error:
        raise ShardFullError("There is no space left to build a segment of the archive.") from error
    except apsw.Error as error:
        raise files.translate(error, room_id) from error


def build(
    live: Path, folder: Path, room_id: RoomId, channel_id: ChannelId, *, below: int, after: int = 0
) -> Built | None:
    """Build a segment of a channel's oldest messages with ids between two, at most MESSAGES_MAX, in one snapshot of a
    shard's file; None when there are none. Pinned messages stay out. Raises ShardFullError and UnavailableError.
    """
    with _explained(room_id), _building(folder / f"building-{after}.db") as (connection, path):
        connection.execute("ATTACH ? AS source", (str(live),))
        connection.execute("BEGIN")
        until = connection.execute(_UNTIL, (channel_id, after, below, MESSAGES_MAX, CONTENT_BYTES_MAX)).fetchall()[0][0]
        if until is None:
            return None
        condition = "o.channel_id = ?1 AND o.id > ?2 AND o.id <= ?3 AND o.is_deleted = 0 AND o.is_pinned = 0"
        _copy(connection, condition, (channel_id, after, until))
        built_seq = connection.execute("SELECT coalesce(max(seq), 0) FROM source.events").fetchall()[0][0]
        assert isinstance(built_seq, int)
        return _finished(connection, path, room_id, channel_id, built_seq)


def rebuild(file: Path, folder: Path, room_id: RoomId, channel_id: ChannelId, *, hidden: set[int]) -> Built | None:
    """Build a segment from another one's unpacked file, without some messages; None when none is left."""
    with _explained(room_id), _building(folder / "rebuilding.db") as (connection, path):
        connection.execute("ATTACH ? AS source", (str(file),))
        connection.execute("BEGIN")
        connection.execute("CREATE TEMP TABLE hidden (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO hidden (id) VALUES (?)", ((one,) for one in hidden))
        _copy(connection, "o.id NOT IN (SELECT id FROM hidden)", ())
        if not connection.execute("SELECT count(*) FROM main.messages").fetchall()[0][0]:
            return None
        return _finished(connection, path, room_id, channel_id, 0)


@contextmanager
def _building(path: Path) -> Iterator[tuple[apsw.Connection, Path]]:
    """Yield an empty segment file, which is removed afterwards."""
    path.unlink(missing_ok=True)
    connection = sqlite.create_plain(path, sqlite.SEGMENT_APPLICATION_ID)
    try:
        connection.execute(_SCHEMA)
        connection.create_scalar_function("words_to_index", _words_to_index, 1, deterministic=True)
        yield connection, path
    finally:
        connection.close()
        path.unlink(missing_ok=True)


def _words_to_index(*arguments: object) -> str | None:
    return tokens.to_index(str(arguments[0]))


def _copy(connection: apsw.Connection, condition: str, parameters: tuple[object, ...]) -> None:
    connection.execute(
        f"INSERT INTO main.messages ({_MESSAGE}, search_text) "  # noqa: S608
        f"SELECT {_MESSAGE}, words_to_index(content) FROM source.messages o "
        f"WHERE {condition} ORDER BY id",
        parameters,
    )
    for table, (columns, joined) in _COPIED.items():
        named = ", ".join(f"o.{column}" for column in columns.split(", "))
        connection.execute(
            f"INSERT INTO main.{table} ({columns}) SELECT {named} FROM main.messages m "  # noqa: S608
            f"CROSS JOIN source.{table} o ON o.message_id = m.id AND {joined}"
        )


def _finished(connection: apsw.Connection, path: Path, room_id: RoomId, channel_id: ChannelId, built_seq: int) -> Built:
    """Index the copied messages, close the file, and compress it."""
    connection.execute(
        "INSERT INTO segment SELECT 1, ?, ?, ?, min(id), max(id), count(*), ? FROM main.messages",
        (FORMAT, room_id, channel_id, word_forms.VERSION),
    )
    connection.execute("INSERT INTO main.messages_fts (rowid, words) SELECT id, words FROM main.messages_search")
    connection.execute("INSERT INTO main.messages_fts (messages_fts) VALUES ('optimize')")
    connection.execute(_INDEXES)
    connection.execute("COMMIT")
    connection.execute("DETACH source")
    pieces = [Piece(*row) for row in connection.execute(f"{_PIECES} ORDER BY id")]
    bits = bloom.build(_keys(connection))
    connection.close()
    packed = path.with_suffix(".zst")
    sha256, size_bytes = _pack(path, packed)
    file_bytes = path.stat().st_size
    return Built(packed, sha256, size_bytes, file_bytes, pieces[0].id, pieces[-1].id, built_seq, bits, pieces)


def _keys(connection: apsw.Connection) -> Iterator[bytes]:
    connection.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, messages_fts, row)")
    for (term,) in connection.execute("SELECT term FROM temp.terms"):
        yield bloom.word(term)
    for (user_id,) in connection.execute("SELECT DISTINCT user_id FROM messages"):
        yield bloom.author(user_id)
    for kind, target in connection.execute("SELECT DISTINCT target_type, target_id FROM message_mentions"):
        yield bloom.mention(kind, target)


def _pack(path: Path, packed: Path) -> tuple[str, int]:
    """Compress a file, and return the SHA-256 and the size of the result."""
    digest, size_bytes = hashlib.sha256(), 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj(path.stat().st_size)
    with path.open("rb") as source, packed.open("wb") as target:
        while chunk := source.read(_CHUNK_BYTES):
            size_bytes += _put(compressor.compress(chunk), target.write, digest.update)
        size_bytes += _put(compressor.flush(), target.write, digest.update)
    return digest.hexdigest(), size_bytes


def _put(chunk: bytes, *takers: Callable[[bytes], object]) -> int:
    for take in takers:
        take(chunk)
    return len(chunk)


def guard(reader: Reader) -> tuple[int, int, int, int, int]:
    """Return a segment's own row: format, channel, first id, last id and count of messages; zeros if it has none."""
    row = reader.one(
        "SELECT format, channel_id, first_id, until_id, message_count FROM segment WHERE room_id = ?", (reader.room_id,)
    )
    return (0, 0, 0, 0, 0) if row is None else (row[0], row[1], row[2], row[3], row[4])


class Edges(NamedTuple):
    """First and last ids in a segment, of all messages and of those in threads; None where there are no messages."""

    all: tuple[int, int] | None
    threads: dict[int, tuple[int, int] | None]


def edges(reader: Reader, *, hidden: Sequence[int], cut_id: int, thread_ids: Sequence[int]) -> Edges:
    """Return the edges of those messages of a segment that have moved and are not hidden."""
    within = (orjson.dumps(list(hidden)).decode(), cut_id)
    counts = "id <= ?2 AND id NOT IN (SELECT value FROM json_each(?1))"
    row = reader.one(f"SELECT min(id), max(id) FROM messages WHERE {counts}", within)  # noqa: S608
    sql = f"SELECT min(id), max(id) FROM messages WHERE thread_id = ?3 AND {counts}"  # noqa: S608
    found = {thread_id: _edge(reader.one(sql, (*within, thread_id))) for thread_id in thread_ids}
    return Edges(_edge(row), found)


def _edge(row: tuple[Any, ...] | None) -> tuple[int, int] | None:
    return None if row is None or row[0] is None else (row[0], row[1])


def pieces(reader: Reader, *, after: int) -> list[Piece]:
    """Return a segment's messages after an id, in order."""
    return [Piece(*row) for row in reader.all(f"{_PIECES} WHERE id > ? ORDER BY id", (after,))]


_PIECES: Final = "SELECT id, thread_id, user_id, nonce, octet_length(content) FROM messages"
_UNTIL: Final = """
    SELECT max(id) FROM (
        SELECT id, sum(length(content) + 200) OVER (ORDER BY id) AS total FROM (
            SELECT id, content FROM source.messages
            WHERE channel_id = ?1 AND id > ?2 AND id < ?3 AND is_deleted = 0 AND is_pinned = 0
            ORDER BY id LIMIT ?4))
    WHERE total <= max(?5, (SELECT 8200))
"""
