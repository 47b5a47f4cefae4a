"""How SQLite finds what a shard is asked for: by an index that fits, never by reading a table or sorting it."""

import re
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

import sqlite
from migrations import engine

_SLOW = re.compile(r"\bSCAN (?!\w+ VIRTUAL TABLE INDEX \d+:\S*M)|USE TEMP B-TREE")
"""Reading a whole table or index, or sorting; a full-text MATCH is called a scan and is none."""

QUERIES: dict[str, tuple[str, str]] = {
    "newest page of a channel": (
        "SELECT id, content FROM messages WHERE channel_id = ? AND is_deleted = 0 ORDER BY id DESC LIMIT ?",
        "idx_messages_channel_id (channel_id=?)",
    ),
    "page before a message": (
        "SELECT id, content FROM messages WHERE channel_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_messages_channel_id (channel_id=? AND id<?)",
    ),
    "page after a message": (
        "SELECT id, content FROM messages WHERE channel_id = ? AND id > ? ORDER BY id LIMIT ?",
        "idx_messages_channel_id (channel_id=? AND id>?)",
    ),
    "page of a thread": (
        "SELECT id, content FROM messages WHERE thread_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_messages_thread_id (thread_id=? AND id<?)",
    ),
    "page of a thread in its channel": (
        "SELECT id FROM messages WHERE thread_id = ? AND +channel_id = ? AND id > ? ORDER BY id LIMIT ?",
        "idx_messages_thread_id (thread_id=? AND id>?)",
    ),
    "unread count": (
        "SELECT user_id, thread_id, is_deleted FROM messages WHERE channel_id = ? AND id > ? ORDER BY id DESC LIMIT ?",
        "idx_messages_channel_id (channel_id=? AND id>?)",
    ),
    "unread count of a thread": (
        "SELECT user_id, is_deleted FROM messages WHERE thread_id = ? AND id > ? ORDER BY id DESC LIMIT ?",
        "idx_messages_thread_id (thread_id=? AND id>?)",
    ),
    "unread messages of threads that stand further back than their channel": (
        "SELECT t.thread_id FROM read_markers t CROSS JOIN messages m ON m.thread_id = t.thread_id "
        "AND m.id > t.last_read_id AND m.id <= ? WHERE t.user_id = ? AND t.channel_id = ? AND t.thread_id > 0 LIMIT ?",
        "m USING COVERING INDEX idx_messages_thread_id (thread_id=? AND id>? AND id<?)",
    ),
    "messages that call somebody": (
        "SELECT message_id FROM message_mentions WHERE target_type = ? AND target_id = ? AND message_id < ? "
        "ORDER BY message_id DESC LIMIT ?",
        "idx_message_mentions_target (target_type=? AND target_id=? AND message_id<?)",
    ),
    "last id of a channel": (
        "SELECT max(id) FROM messages WHERE channel_id = ?",
        "COVERING INDEX idx_messages_channel_id (channel_id=?)",
    ),
    "emoji of a message": (
        "SELECT emoji, count FROM reaction_counts WHERE message_id = ?",
        "PRIMARY KEY (message_id=?)",
    ),
    "who reacted": (
        "SELECT user_id FROM reactions WHERE message_id = ? AND emoji = ? AND user_id > ? ORDER BY user_id LIMIT ?",
        "PRIMARY KEY (message_id=? AND emoji=? AND user_id>?)",
    ),
    "one's own reactions in a stretch": (
        "SELECT message_id, emoji FROM reactions WHERE user_id = ? AND message_id BETWEEN ? AND ?",
        "COVERING INDEX idx_reactions_user_id (user_id=? AND message_id>? AND message_id<?)",
    ),
    "levels of a member": (
        "SELECT channel_id, level FROM channel_levels WHERE user_id = ? ORDER BY channel_id",
        "PRIMARY KEY (user_id=?)",
    ),
    "a user's messages": (
        "SELECT id, content FROM messages WHERE user_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_messages_user_id (user_id=? AND id<?)",
    ),
    "what a person wrote since a time": (
        "SELECT id, content FROM messages WHERE user_id = ? AND id >= ? ORDER BY id DESC LIMIT ?",
        "idx_messages_user_id (user_id=? AND id>?)",
    ),
    "last message of a person in a channel with slow mode": (
        "SELECT created_at FROM messages WHERE user_id = ? AND id >= ? AND +channel_id = ? "
        "AND content_type <> 'system' ORDER BY id DESC LIMIT 1",
        "idx_messages_user_id (user_id=? AND id>?)",
    ),
    "last message that is left in a channel": (
        "SELECT id FROM messages WHERE channel_id = ? AND is_deleted = 0 ORDER BY id DESC LIMIT 1",
        "idx_messages_channel_id (channel_id=?)",
    ),
    "last message that is left in a thread": (
        "SELECT id, created_at FROM messages WHERE thread_id = ? AND is_deleted = 0 ORDER BY id DESC LIMIT 1",
        "idx_messages_thread_id (thread_id=?)",
    ),
    "pins of a channel": (
        "SELECT id, content FROM messages WHERE channel_id = ? AND is_pinned = 1 ORDER BY id DESC LIMIT ?",
        "idx_messages_pinned (channel_id=?)",
    ),
    "message of a nonce": (
        "SELECT id FROM messages WHERE user_id = ? AND nonce = ?",
        "idx_messages_user_id_nonce (user_id=? AND nonce=?)",
    ),
    "search for words": (
        "SELECT rowid AS id FROM messages_fts WHERE messages_fts MATCH ? AND rowid < ? AND rowid >= ? "
        "ORDER BY rowid DESC LIMIT ?",
        "messages_fts VIRTUAL TABLE INDEX",
    ),
    "search without a word": (
        "SELECT id FROM messages WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?",
        "INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ),
    "search in a channel": (
        "SELECT id FROM messages WHERE channel_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?",
        "COVERING INDEX idx_messages_channel_id (channel_id=? AND id>? AND id<?)",
    ),
    "search in a thread": (
        "SELECT id FROM messages WHERE thread_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?",
        "COVERING INDEX idx_messages_thread_id (thread_id=? AND id>? AND id<?)",
    ),
    "search from a user": (
        "SELECT id FROM messages WHERE user_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?",
        "COVERING INDEX idx_messages_user_id (user_id=? AND id>? AND id<?)",
    ),
    "search by mention": (
        "SELECT message_id AS id FROM message_mentions WHERE target_type = ? AND target_id = ? AND message_id < ? "
        "AND message_id >= ? ORDER BY message_id DESC LIMIT ?",
        "idx_message_mentions_target (target_type=? AND target_id=? AND message_id>? AND message_id<?)",
    ),
    "search with files": (
        "SELECT DISTINCT message_id AS id FROM message_attachments "
        "WHERE message_id IS NOT NULL AND message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?",
        "COVERING INDEX idx_message_attachments_message_id (message_id>? AND message_id<?)",
    ),
    "search with reactions": (
        "SELECT DISTINCT message_id AS id FROM reaction_counts "
        "WHERE message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?",
        "reaction_counts USING PRIMARY KEY (message_id>? AND message_id<?)",
    ),
    "search goes on at the next visible message": (
        "SELECT max((SELECT max(m.id) FROM messages m WHERE m.channel_id = c.value AND m.id < ?)) FROM json_each(?) c",
        "m USING COVERING INDEX idx_messages_channel_id (channel_id=? AND id<?)",
    ),
    "channel by name": (
        "SELECT id FROM channels WHERE name = ? COLLATE NOCASE AND deleted_at IS NULL",
        "idx_channels_name (name=?)",
    ),
    "the door of a channel": (
        "SELECT c.overwrites_packed, m.roles_packed FROM members m, channels c "
        "WHERE m.user_id = ? AND m.left_at IS NULL AND c.id = ? AND c.deleted_at IS NULL",
        "c USING INTEGER PRIMARY KEY (rowid=?)",
    ),
    "a slice of a deleted channel": (
        "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE channel_id = ? ORDER BY id LIMIT ?)",
        "idx_messages_channel_id (channel_id=?)",
    ),
    "overwrites of a category": (
        "SELECT target_type, target_id, allow, deny FROM category_overwrites WHERE category_id = ?",
        "PRIMARY KEY (category_id=?)",
    ),
    "overwrites of a channel": (
        "SELECT target_type, target_id, allow, deny FROM channel_overwrites WHERE channel_id = ?",
        "PRIMARY KEY (channel_id=?)",
    ),
    "thread by title": (
        "SELECT id FROM threads WHERE channel_id = ? AND title = ?",
        "idx_threads_channel_id_title (channel_id=? AND title=?)",
    ),
    "last active threads of a channel": (
        "SELECT id, title FROM threads WHERE channel_id = ? AND (last_message_at, id) < (?, ?) "
        "ORDER BY last_message_at DESC, id DESC LIMIT ?",
        "idx_threads_channel_id_last_message_at (channel_id=? AND last_message_at<?)",
    ),
    "active threads of a channel": (
        "SELECT id, title FROM threads WHERE channel_id = ? AND (last_message_at, id) < (?, ?) AND is_archived = 0 "
        "AND last_message_at > ? ORDER BY last_message_at DESC, id DESC LIMIT ?",
        "idx_threads_channel_id_last_message_at (channel_id=? AND last_message_at>? AND last_message_at<?)",
    ),
    "active threads of a room": (
        "SELECT id, title FROM threads WHERE (last_message_at, id) < (?, ?) AND is_archived = 0 "
        "AND last_message_at > ? AND +channel_id IN (?, ?) ORDER BY last_message_at DESC, id DESC LIMIT ?",
        "idx_threads_last_message_at (last_message_at>? AND last_message_at<?)",
    ),
    "threads whose titles begin so": (
        "SELECT id, title FROM threads WHERE channel_id = ? AND title >= ? COLLATE NOCASE AND title < ? COLLATE NOCASE "
        "ORDER BY title COLLATE NOCASE, id LIMIT ?",
        "idx_threads_title (channel_id=? AND title>? AND title<?)",
    ),
    "roles of a member": (
        "SELECT role_id FROM member_roles WHERE user_id = ?",
        "PRIMARY KEY (user_id=?)",
    ),
    "members of a role": (
        "SELECT user_id FROM member_roles WHERE role_id = ? AND user_id > ? ORDER BY user_id LIMIT ?",
        "idx_member_roles_role_id (role_id=? AND user_id>?)",
    ),
    "page of members": (
        "SELECT user_id, nickname FROM members WHERE left_at IS NULL AND user_id > ? ORDER BY user_id LIMIT ?",
        "INTEGER PRIMARY KEY (rowid>?)",
    ),
    "members of a search": (
        "SELECT m.user_id, (SELECT group_concat(mr.role_id) FROM member_roles mr WHERE mr.user_id = m.user_id) "
        "FROM members m WHERE m.user_id IN (?, ?, ?) AND m.left_at IS NULL ORDER BY m.user_id",
        "m USING INTEGER PRIMARY KEY (rowid=?)",
    ),
    "ban of somebody": (
        "SELECT reason FROM bans WHERE user_id = ? AND (expires_at IS NULL OR expires_at > ?)",
        "bans USING INTEGER PRIMARY KEY (rowid=?)",
    ),
    "page of bans": (
        "SELECT user_id FROM bans WHERE user_id > ? AND (expires_at IS NULL OR expires_at > ?) "
        "ORDER BY user_id LIMIT ?",
        "bans USING INTEGER PRIMARY KEY (rowid>?)",
    ),
    "acts by somebody that a moderator sees": (
        "SELECT id FROM audit_log WHERE id < ? AND actor_id = ? AND "
        "CASE target_type WHEN 'member' THEN 1 ELSE CASE target_type WHEN 'channel' THEN target_id "
        "WHEN 'category' THEN (SELECT c.id FROM channels c WHERE c.category_id = target_id "
        "AND c.id IN (?, ?, ?) LIMIT 1) "
        "WHEN 'thread' THEN (SELECT t.channel_id FROM threads t WHERE t.id = target_id) "
        "END IN (?, ?, ?) END ORDER BY id DESC LIMIT ?",
        "idx_audit_log_actor_id (actor_id=? AND id<?)",
    ),
    "mentions of a user": (
        "SELECT message_id FROM message_mentions "
        "WHERE target_type = 'user' AND target_id = ? AND message_id > ? ORDER BY message_id LIMIT ?",
        "idx_message_mentions_target (target_type=? AND target_id=? AND message_id>?)",
    ),
    "reactions of a page": (
        "SELECT message_id, emoji, user_id FROM reactions WHERE message_id IN (?, ?, ?)",
        "PRIMARY KEY (message_id=?)",
    ),
    "reactions of a user": (
        "SELECT message_id, emoji FROM reactions WHERE user_id = ? AND message_id > ? ORDER BY message_id LIMIT ?",
        "idx_reactions_user_id (user_id=? AND message_id>?)",
    ),
    "attachments of a page": (
        "SELECT message_id, id, filename FROM message_attachments WHERE message_id IN (?, ?, ?)",
        "idx_message_attachments_message_id (message_id=?)",
    ),
    "uploads nobody attached": (
        "SELECT id FROM message_attachments WHERE state <> 'attached' AND created_at < ? ORDER BY created_at LIMIT ?",
        "idx_message_attachments_unattached (created_at<?)",
    ),
    "uploads of a person that no message has": (
        "SELECT count(*) FROM message_attachments WHERE user_id = ? AND state <> 'attached'",
        "idx_message_attachments_waiting (user_id=?)",
    ),
    "uploads that a message is to have": (
        "SELECT id, state FROM message_attachments WHERE id IN (?, ?, ?) AND channel_id = ? AND user_id = ?",
        "INTEGER PRIMARY KEY (rowid=?)",
    ),
    "files whose bytes are to be removed": (
        "SELECT id, object_key FROM freed_files WHERE id > 0 ORDER BY id LIMIT ?",
        "INTEGER PRIMARY KEY (rowid>?)",
    ),
    "events after a number": (
        "SELECT seq, type, channel_id, message_id FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
        "INTEGER PRIMARY KEY (rowid>?)",
    ),
    "edit history of a message": (
        "SELECT seq, type, payload FROM events WHERE message_id = ? AND type <> 'message.created' ORDER BY seq",
        "idx_events_message_id (message_id=?)",
    ),
    "acts of a moderator": (
        "SELECT id, action FROM audit_log WHERE actor_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_audit_log_actor_id (actor_id=? AND id<?)",
    ),
    "acts upon someone or something": (
        "SELECT id, action FROM audit_log WHERE target_id = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_audit_log_target_id (target_id=? AND id<?)",
    ),
    "acts of a kind": (
        "SELECT id, action FROM audit_log WHERE action = ? AND id < ? ORDER BY id DESC LIMIT ?",
        "idx_audit_log_action (action=? AND id<?)",
    ),
    "read markers of a user": (
        "SELECT channel_id, thread_id, last_read_id FROM read_markers WHERE user_id = ?",
        "PRIMARY KEY (user_id=?)",
    ),
    "open voice session": (
        "SELECT id, started_at FROM voice_sessions WHERE channel_id = ? AND ended_at IS NULL",
        "idx_voice_sessions_open (channel_id=?)",
    ),
    "past voice sessions": (
        "SELECT id, started_at FROM voice_sessions WHERE channel_id = ? AND (started_at, id) < (?, ?) "
        "ORDER BY started_at DESC, id DESC LIMIT ?",
        "idx_voice_sessions_channel_id (channel_id=? AND started_at<?)",
    ),
    "open voice session of a person": (
        "SELECT p.session_id, s.channel_id, p.user_id, p.joined_at "
        "FROM voice_participants p JOIN voice_sessions s ON s.id = p.session_id "
        "WHERE p.user_id = ? AND p.left_at IS NULL",
        "idx_voice_participants_open (user_id=?)",
    ),
    "last span of a person in a voice session": (
        "SELECT joined_at, left_at FROM voice_participants WHERE session_id = ? AND user_id = ? "
        "ORDER BY joined_at DESC LIMIT 1",
        "PRIMARY KEY (session_id=? AND user_id=?)",
    ),
    "webhook": ("SELECT token_hash, channel_id FROM webhooks WHERE id = ?", "INTEGER PRIMARY KEY (rowid=?)"),
    "events that a webhook wants": (
        "SELECT seq, type FROM events WHERE seq > ? AND seq <= ? AND channel_id IN (?, ?, ?) "
        "AND (type IN (?, ?) OR substr(type, 1, instr(type, '.') - 1) IN (?, ?)) ORDER BY seq LIMIT ?",
        "events USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
    ),
    "segments that may continue a page": (
        "SELECT id, object_key FROM segments "
        "WHERE channel_id = ? AND last_id > ? AND first_id < ? ORDER BY last_id DESC LIMIT ?",
        "idx_segments_channel_id (channel_id=? AND last_id>?)",
    ),
    "where a thread is archived": (
        "SELECT segment_id FROM segment_threads WHERE thread_id = ? AND last_id > ? AND first_id < ?",
        "PRIMARY KEY (thread_id=?)",
    ),
    "threads of a segment": (
        "SELECT thread_id FROM segment_threads WHERE segment_id = ?",
        "idx_segment_threads_segment_id (segment_id=?)",
    ),
    "files of an archived message": (
        "SELECT id FROM archived_attachments WHERE message_id = ?",
        "idx_archived_attachments_message_id (message_id=?)",
    ),
    "files of a segment": (
        "SELECT id FROM archived_attachments WHERE segment_id = ?",
        "idx_archived_attachments_segment_id (segment_id=?)",
    ),
}
"""What a shard is asked for often, and the access path that must answer it."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[apsw.Connection]:
    """Make an empty shard."""
    path: Path = tmp_path_factory.mktemp("plans") / "shard.db"
    connection = sqlite.create(path, sqlite.SHARD_APPLICATION_ID)
    engine.apply(connection, engine.load(engine.SHARD_FOLDER), now_ms=1)
    yield connection
    connection.close()


def plan(shard: apsw.Connection, sql: str) -> list[str]:
    """Return the steps by which SQLite would answer a query."""
    # A cached EXPLAIN is not prepared again when the schema changes, because it never looks at the schema.
    rows = shard.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?"), can_cache=False)
    return [str(row[3]) for row in rows]


def slow_steps(steps: list[str]) -> list[str]:
    return [step for step in steps if _SLOW.search(step)]


@pytest.mark.parametrize(("sql", "path"), QUERIES.values(), ids=QUERIES)
def test_a_common_query_uses_its_index(shard: apsw.Connection, sql: str, path: str) -> None:
    """A common query reads only what it returns, through the index made for it."""
    steps = plan(shard, sql)
    assert slow_steps(steps) == []
    assert any(path in step for step in steps), steps


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM messages WHERE content = ?",
        "SELECT id FROM messages WHERE channel_id = ? ORDER BY created_at",
        "SELECT count(*) FROM messages",
        "SELECT e.seq FROM events e JOIN channels c ON c.id = e.channel_id WHERE c.id = ?",
        "SELECT DISTINCT content_type FROM messages WHERE channel_id = ?",
        "SELECT rowid FROM messages_fts WHERE words = ?",
    ],
)
def test_a_slow_query_is_noticed(shard: apsw.Connection, sql: str) -> None:
    """Queries that read or sort a whole table are told from the others."""
    assert slow_steps(plan(shard, sql)) != []


def test_a_missing_index_is_noticed(shard: apsw.Connection) -> None:
    """Without its index a channel's page is answered by walking the whole room, and its row of the table fails."""
    sql, path = QUERIES["page before a message"]
    assert any(path in step for step in plan(shard, sql))
    shard.execute("BEGIN; DROP INDEX idx_messages_channel_id; DROP INDEX idx_messages_pinned")
    try:
        assert not any(path in step for step in plan(shard, sql))
    finally:
        shard.execute("ROLLBACK")


def test_every_index_has_its_query(shard: apsw.Connection) -> None:
    """No index is kept, and paid for at every write, without a query of this table that needs it."""
    paths = {step for sql, _ in QUERIES.values() for step in plan(shard, sql)}
    names = shard.execute("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    unused = {str(name) for (name,) in names if not any(f"INDEX {name} " in path for path in paths)}
    assert unused == set()
