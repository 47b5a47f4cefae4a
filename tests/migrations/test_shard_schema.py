"""The schema of a shard: what it refuses by itself, what its triggers keep in step, and how small it starts."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import sqlite
from migrations import engine
from shard.tables import counters
from tests.migrations import archive_rows

SIZE_BYTES_MAX = 200 * 1024
"""What an empty room may cost on disk; a direct conversation is a shard, too."""

SHA256 = "0" * 64
AT = 1_700_000_000_000

_OWN: dict[str, dict[str, object]] = {
    "members": {"user_id": 7, "joined_at": AT},
    "roles": {"id": 1, "name": "everyone", "color": "#aabbcc", "permissions": 3, "created_at": AT},
    "member_roles": {"user_id": 7, "role_id": 1, "granted_by": 7, "granted_at": AT},
    "bans": {"user_id": 8, "reason": "spam", "banned_by": 7, "banned_at": AT},
    "categories": {"id": 1, "name": "Text", "created_at": AT},
    "channels": {"id": 2, "name": "Talk", "type": "text", "category_id": 1, "created_by": 7, "created_at": AT},
    "channel_overwrites": {"channel_id": 2, "target_type": "role", "target_id": 1, "allow": 5, "deny": 2},
    "threads": {"id": 3, "channel_id": 2, "title": "Tea", "created_by": 7, "last_message_at": AT, "created_at": AT},
    "messages": {"id": 4, "channel_id": 2, "user_id": 7, "content": "Hello", "nonce": "n", "created_at": AT},
    "message_attachments": {
        "id": 5,
        "message_id": 4,
        "user_id": 7,
        "filename": "a.png",
        "size_bytes": 9,
        "mime_type": "image/png",
        "sha256": SHA256,
        "object_key": "k",
        "state": "attached",
        "channel_id": 2,
        "created_at": AT,
    },
    "freed_files": {"id": 10, "user_id": 8, "size_bytes": 9, "object_key": "k"},
    "file_usage": {"user_id": 8, "size_bytes": 9},
    "message_mentions": {"message_id": 4, "target_type": "user", "target_id": 7},
    "reactions": {"message_id": 4, "emoji": "🐦", "user_id": 7, "created_at": AT},
    "reaction_counts": {"message_id": 4, "emoji": "🐦", "count": 1, "created_at": AT},
    "category_overwrites": {"category_id": 1, "target_type": "role", "target_id": 1, "allow": 5, "deny": 2},
    "audit_log": {
        "id": 1,
        "actor_id": 7,
        "action": "member.banned",
        "target_type": "member",
        "target_id": 8,
        "after": "{}",
        "created_at": AT,
        "hash": b"0" * 32,
    },
    "channel_levels": {"user_id": 7, "channel_id": 2, "level": "mentions"},
    "read_markers": {"user_id": 7, "channel_id": 2, "last_read_id": 4},
    "moved_reads": {"user_id": 7, "message_id": 4, "is_read": 1},
    "events": {"seq": 1, "type": "message.created", "channel_id": 2, "message_id": 4, "created_at": AT},
    "voice_sessions": {"id": 6, "channel_id": 2, "started_at": AT, "external_session_id": "sfu-1"},
    "voice_participants": {"session_id": 6, "user_id": 7, "joined_at": AT, "renewed_at": AT},
    "webhooks": {
        "id": 8,
        "channel_id": 2,
        "name": "Build",
        "direction": "incoming",
        "token_hash": b"0" * 32,
        "created_by": 7,
        "created_at": AT,
    },
}
ROWS = _OWN | archive_rows.ROWS
"""One good row of every table but `room`, in an order that satisfies the references."""

REFUSED: list[tuple[str, dict[str, object]]] = [
    ("members", {"user_id": 0}),
    ("members", {"nickname": ""}),
    ("members", {"nickname": "n" * 65}),
    ("roles", {"name": ""}),
    ("roles", {"color": "red"}),
    ("roles", {"color": "#AABBCC"}),
    ("roles", {"permissions": -1}),
    ("roles", {"is_mentionable": 2}),
    ("member_roles", {"user_id": 99}),
    ("member_roles", {"role_id": 99}),
    ("bans", {"reason": "r" * 513}),
    ("categories", {"name": "n" * 101}),
    ("channels", {"name": ""}),
    ("channels", {"type": "forum"}),
    ("channels", {"thread_mode": "sometimes"}),
    ("channels", {"slow_mode_seconds": 21_601}),
    ("channels", {"category_id": 99}),
    ("channels", {"is_private": "yes"}),
    ("channel_overwrites", {"target_type": "user"}),
    ("channel_overwrites", {"allow": 3, "deny": 2}),
    ("threads", {"title": ""}),
    ("threads", {"title": "t" * 201}),
    ("threads", {"channel_id": 99}),
    ("messages", {"id": 0}),
    ("messages", {"channel_id": 99}),
    ("messages", {"thread_id": 99}),
    ("messages", {"user_id": 0}),
    ("messages", {"content": None}),
    ("messages", {"content": b"Hello"}),
    ("messages", {"content": "x" * 8001}),
    ("messages", {"content_type": "video"}),
    ("messages", {"metadata": "{"}),
    ("messages", {"nonce": ""}),
    ("messages", {"nonce": "n" * 65}),
    ("messages", {"is_deleted": 2}),
    ("messages", {"created_at": "today"}),
    ("message_attachments", {"state": "lost"}),
    ("message_attachments", {"state": "pending"}),
    ("message_attachments", {"message_id": None}),
    ("message_attachments", {"sha256": "0" * 63}),
    ("message_attachments", {"size_bytes": -1}),
    ("message_attachments", {"channel_id": 0}),
    ("message_attachments", {"position": -1}),
    ("freed_files", {"object_key": ""}),
    ("file_usage", {"size_bytes": -1}),
    ("message_mentions", {"target_type": "channel"}),
    ("message_mentions", {"target_type": "everyone"}),
    ("message_mentions", {"target_id": 0}),
    ("reactions", {"emoji": ""}),
    ("reactions", {"message_id": 99}),
    ("reaction_counts", {"count": 0}),
    ("channel_levels", {"user_id": 0}),
    ("channel_levels", {"channel_id": 99}),
    ("channel_levels", {"level": "some"}),
    ("category_overwrites", {"allow": 3, "deny": 2}),
    ("audit_log", {"action": "banned"}),
    ("audit_log", {"after": "[]"}),
    ("audit_log", {"target_id": None}),
    ("audit_log", {"hash": b"0"}),
    ("read_markers", {"last_read_id": -1}),
    ("moved_reads", {"is_read": 2}),
    ("moved_reads", {"message_id": 99}),
    ("events", {"type": "created"}),
    ("events", {"payload": "{"}),
    ("voice_sessions", {"ended_at": AT - 1}),
    ("voice_sessions", {"external_session_id": ""}),
    ("voice_sessions", {"recording_url": "u" * 2001}),
    ("voice_participants", {"left_at": AT - 1}),
    ("webhooks", {"direction": "both"}),
    ("webhooks", {"token_hash": b"0" * 31}),
    ("webhooks", {"token_hash": None}),
    ("webhooks", {"direction": "outgoing"}),
    ("webhooks", {"channel_id": None}),
    ("webhooks", {"disabled_at": AT}),
    *archive_rows.WRONG,
]
"""One change each that turns the good row of a table into one that the schema must refuse."""


INDEX = counters.INDEX
"""How the application makes messages findable."""


def insert(shard: apsw.Connection, table: str, changes: dict[str, object] | None = None) -> None:
    """Insert a table's good row, with changes; a message is indexed, as at the end of the application's transaction."""
    row = ROWS[table] | (changes or {})
    marks = ", ".join("?" * len(row))
    shard.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))
    if table == "messages":
        shard.execute(INDEX, (f"[{row['id']}]",))


def rows(shard: apsw.Connection, sql: str) -> list[tuple[object, ...]]:
    return list(shard.execute(sql).fetchall())


def found(shard: apsw.Connection, words: str) -> list[tuple[object, ...]]:
    """Return the ids of the messages that a search finds."""
    return list(shard.execute("SELECT rowid FROM messages_fts WHERE messages_fts MATCH ? ORDER BY 1", (words,)))


def check_index(shard: apsw.Connection) -> None:
    """Compare the search index with the messages; raises apsw.CorruptError where they differ."""
    shard.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """Make one shard for all tests of this file."""
    connection = sqlite.create(tmp_path_factory.mktemp("shard") / "shard.db", sqlite.SHARD_APPLICATION_ID)
    engine.apply(connection, engine.load(engine.SHARD_FOLDER), now_ms=AT)
    connection.execute("INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, 1, 'community', 7, 0)")
    yield connection
    connection.close()


@pytest.fixture
def shard(migrated: apsw.Connection) -> Iterator[apsw.Connection]:
    """Put one good row into every table, for one test."""
    migrated.execute("BEGIN")
    for table in ROWS:
        insert(migrated, table)
    yield migrated
    migrated.execute("ROLLBACK")


def test_every_table_has_a_good_row(shard: apsw.Connection) -> None:
    """These tests know every table of the schema."""
    names = rows(shard, "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    assert {str(name) for (name,) in names} == {*ROWS, "room", "migrations", "sqlite_schema"}


@pytest.mark.parametrize(("table", "changes"), REFUSED, ids=[f"{table}-{changes}"[:60] for table, changes in REFUSED])
def test_a_bad_value_is_refused(migrated: apsw.Connection, table: str, changes: dict[str, object]) -> None:
    """The row that is taken as it stands is refused with one value out of bounds."""
    migrated.execute("BEGIN")
    try:
        for name in ROWS:
            if name == table:
                break
            insert(migrated, name)
        with pytest.raises(apsw.ConstraintError, match=r"CHECK|FOREIGN KEY|NOT NULL|cannot store"):
            insert(migrated, table, changes)
        insert(migrated, table)
    finally:
        migrated.execute("ROLLBACK")


@pytest.mark.parametrize("kind", ["forum", "Community", None])
def test_a_room_has_a_known_kind(shard: apsw.Connection, kind: str | None) -> None:
    """A room is a community, a group or a direct conversation."""
    with pytest.raises(apsw.ConstraintError):
        shard.execute("UPDATE room SET kind = ?", (kind,))
    for known in ("group", "direct", "community"):
        shard.execute("UPDATE room SET kind = ?", (known,))


@pytest.mark.parametrize("one", [1, 2])
def test_a_shard_holds_one_room(shard: apsw.Connection, one: int) -> None:
    """There is no second row of `room`, whatever its key."""
    with pytest.raises(apsw.ConstraintError):
        shard.execute(
            "INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (?, 2, 'group', 7, 0)", (one,)
        )
    assert rows(shard, "SELECT room_id FROM room") == [(1,)]


def test_content_may_have_8000_characters(shard: apsw.Connection) -> None:
    """The bound on content counts characters, not bytes."""
    insert(shard, "messages", {"id": 40, "nonce": None, "content": "ß" * 8000})
    with pytest.raises(apsw.ConstraintError, match="content"):
        insert(shard, "messages", {"id": 41, "nonce": None, "content": "ß" * 8001})


def test_a_nonce_is_used_once_by_each_user(shard: apsw.Connection) -> None:
    """A user's repeated nonce is refused; another user's, another nonce and none at all are not."""
    with pytest.raises(apsw.ConstraintError, match=r"messages\.user_id, messages\.nonce"):
        insert(shard, "messages", {"id": 40})
    insert(shard, "messages", {"id": 40, "user_id": 8})
    insert(shard, "messages", {"id": 41, "nonce": "m"})
    insert(shard, "messages", {"id": 42, "nonce": None})
    insert(shard, "messages", {"id": 43, "nonce": None})


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("channels", {"id": 20, "name": "tALK"}),
        ("threads", {"id": 30}),
        ("voice_sessions", {"id": 60}),
        ("reactions", {}),
        ("message_mentions", {}),
    ],
)
def test_a_double_is_refused(shard: apsw.Connection, table: str, changes: dict[str, object]) -> None:
    """Names, open sessions, reactions and mentions exist once."""
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        insert(shard, table, changes)


def test_another_session_opens_when_the_first_ended(shard: apsw.Connection) -> None:
    """A channel has one open voice session at a time and any number of past ones."""
    shard.execute("UPDATE voice_sessions SET ended_at = started_at")
    insert(shard, "voice_sessions", {"id": 60})
    assert rows(shard, "SELECT count(*) FROM voice_sessions") == [(2,)]


def test_the_search_index_follows_the_messages(shard: apsw.Connection) -> None:
    """Inserting, editing, hiding, restoring and deleting a message each leave the index equal to the messages."""
    insert(shard, "messages", {"id": 40, "nonce": None, "content": "Fürst", "search_text": "Furst"})
    check_index(shard)
    assert found(shard, "furst") == [(40,)]
    shard.execute("UPDATE messages SET content = 'Good night', search_text = NULL WHERE id = 40")
    check_index(shard)
    assert (found(shard, "furst"), found(shard, "night")) == ([], [(40,)])
    shard.execute("UPDATE messages SET search_text = '早安 安早' WHERE id = 40")
    check_index(shard)
    assert (found(shard, "night"), found(shard, "早安")) == ([], [(40,)])
    shard.execute("UPDATE messages SET is_deleted = 1 WHERE id = 40")
    check_index(shard)
    assert found(shard, "早安") == []
    shard.execute("UPDATE messages SET content = '', search_text = NULL WHERE id = 40")
    shard.execute("UPDATE messages SET content = 'Back', is_deleted = 0 WHERE id = 40")
    check_index(shard)
    assert found(shard, "back") == [(40,)]
    shard.execute("DELETE FROM messages WHERE id = 40")
    check_index(shard)
    assert (found(shard, "back"), found(shard, "hello")) == ([], [(4,)])


def test_a_message_that_starts_deleted_is_never_found(shard: apsw.Connection) -> None:
    """An imported message that was already deleted enters and leaves without touching the index."""
    insert(shard, "messages", {"id": 40, "nonce": None, "content": "secret", "is_deleted": 1})
    check_index(shard)
    assert found(shard, "secret") == []
    shard.execute("DELETE FROM messages WHERE id = 40")
    check_index(shard)


@pytest.mark.parametrize("trigger", ["messages_update", "messages_delete"])
def test_the_index_check_notices_a_missing_trigger(shard: apsw.Connection, trigger: str) -> None:
    """Without any one of its triggers the index differs from the messages, and the check says so."""
    insert(shard, "messages", {"id": 40, "nonce": None, "content": "old"})
    check_index(shard)
    shard.execute(f"DROP TRIGGER {trigger}")
    insert(shard, "messages", {"id": 41, "nonce": None, "content": "new"})
    shard.execute("UPDATE messages SET content = 'newer' WHERE id = 4")
    shard.execute("DELETE FROM messages WHERE id = 40")
    with pytest.raises(apsw.CorruptError):
        check_index(shard)


@pytest.mark.parametrize(
    ("change", "hits"),
    [
        ("UPDATE messages SET content = 'later' WHERE id = 40", [(40,)]),
        ("UPDATE messages SET is_deleted = 1 WHERE id = 40", []),
        ("DELETE FROM messages WHERE id = 40", []),
        ("UPDATE messages SET is_pinned = 1 WHERE id = 40", []),
    ],
)
def test_a_message_may_change_before_it_is_indexed(shard: apsw.Connection, change: str, hits: list[object]) -> None:
    """What happens to a message in the transaction that sent it neither spoils the index nor enters it twice."""
    row = ROWS["messages"] | {"id": 40, "nonce": None, "content": "soon"}
    shard.execute(f"INSERT INTO messages ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    shard.execute(change)
    shard.execute(INDEX, ("[40, 40, 41]",))
    check_index(shard)
    assert found(shard, "later") == hits


@pytest.mark.parametrize("change", ["type = 'message.edited'", "seq = 2", "payload = '{}'", "created_at = 0"])
def test_the_event_log_is_append_only(shard: apsw.Connection, change: str) -> None:
    """No column of a written event can be changed, while new events follow."""
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        shard.execute(f"UPDATE events SET {change}")
    insert(shard, "events", {"seq": 2})


def test_deleting_a_channel_takes_what_is_in_it(shard: apsw.Connection) -> None:
    """What belongs to a channel goes with it, in every table, and the search index too."""
    shard.execute("DELETE FROM channels")
    kept = {
        "members",
        "roles",
        "member_roles",
        "bans",
        "categories",
        "category_overwrites",
        "events",
        "room",
    } | archive_rows.KEPT
    gone = set(ROWS) - kept - {"audit_log", "freed_files", "file_usage"}
    left = {table for table in gone if rows(shard, f"SELECT count(*) FROM {table}") != [(0,)]}
    assert left == set()
    check_index(shard)
    assert found(shard, "hello") == []


def test_deleting_a_thread_keeps_its_messages(shard: apsw.Connection) -> None:
    """The messages of a deleted thread stay in their channel."""
    insert(shard, "messages", {"id": 40, "nonce": None, "thread_id": 3})
    shard.execute("DELETE FROM threads")
    assert rows(shard, "SELECT id, thread_id FROM messages") == [(4, None), (40, None)]


def test_an_empty_shard_is_small(tmp_path: Path) -> None:
    """A closed shard with one channel is one file below its bound."""
    path = tmp_path / "room.db"
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    engine.apply(connection, engine.load(engine.SHARD_FOLDER), now_ms=AT)
    connection.execute("INSERT INTO room (one, room_id, kind, created_at) VALUES (1, 1, 'direct', 0)")
    insert(connection, "channels", {"category_id": None})
    assert connection.pragma("application_id") == sqlite.SHARD_APPLICATION_ID
    assert connection.pragma("auto_vacuum") == 2
    connection.close()
    assert [file.name for file in tmp_path.iterdir()] == ["room.db"]
    assert path.stat().st_size < SIZE_BYTES_MAX
