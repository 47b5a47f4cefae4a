"""What the door reads packed is what the tables say: after the migration that packs it, and after every change."""

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

import sqlite
from migrations import engine

MIGRATIONS = engine.load(engine.SHARD_FOLDER)
WANTED = {
    "room": "SELECT group_concat(id || ',' || permissions || ',' || position ORDER BY id) FROM roles",
    "members": "SELECT group_concat(role_id ORDER BY role_id) FROM member_roles WHERE user_id = {id}",
    "channels": (
        "SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny "
        "ORDER BY target_type, target_id) FROM channel_overwrites WHERE channel_id = {id}"
    ),
    "categories": (
        "SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny "
        "ORDER BY target_type, target_id) FROM category_overwrites WHERE category_id = {id}"
    ),
}
FILL = """
    INSERT INTO room (one, room_id, kind, owner_id, created_at) VALUES (1, 1, 'community', 7, 0);
    INSERT INTO roles (id, name, permissions, position, created_at)
        VALUES (1, 'everyone', 5, 0, 0), (9, 'low', 6, 1, 0);
    INSERT INTO members (user_id, joined_at) VALUES (7, 0), (8, 0);
    INSERT INTO member_roles VALUES (7, 9, 7, 0), (7, 1, 7, 0);
    INSERT INTO categories (id, name, created_at) VALUES (3, 'c', 0), (4, 'd', 0);
    INSERT INTO channels (id, name, type, created_by, created_at) VALUES (5, 'a', 'text', 7, 0), (6, 'b', 'text', 7, 0);
    INSERT INTO channel_overwrites VALUES (5, 'role', 9, 1, 2), (5, 'member', 8, 0, 4), (5, 'role', 1, 8, 0);
"""
FILL_CATEGORY = "INSERT INTO category_overwrites VALUES (4, 'role', 9, 1, 2)"
CHANGES = [
    "INSERT INTO roles (id, name, permissions, position, created_at) VALUES (10, 'new', 7, 2, 0)",
    "UPDATE roles SET permissions = 1 WHERE id = 9",
    "UPDATE roles SET position = 5 WHERE id = 9",
    "UPDATE roles SET name = 'other' WHERE id = 9",
    "DELETE FROM roles WHERE id = 9",
    "DELETE FROM roles",
    "INSERT INTO member_roles VALUES (8, 9, 7, 0)",
    "INSERT OR REPLACE INTO member_roles VALUES (7, 9, 8, 1)",
    "DELETE FROM member_roles WHERE user_id = 7 AND role_id = 9",
    "DELETE FROM member_roles",
    "INSERT INTO channel_overwrites VALUES (6, 'role', 9, 1, 2)",
    "INSERT INTO channel_overwrites VALUES (5, 'role', 9, 16, 0) ON CONFLICT DO UPDATE SET allow = 16, deny = 0",
    "DELETE FROM channel_overwrites WHERE target_type = 'role'",
    "INSERT INTO category_overwrites VALUES (3, 'role', 9, 1, 2), (3, 'member', 8, 0, 4)",
    "UPDATE category_overwrites SET allow = 64 WHERE category_id = 4",
    "DELETE FROM category_overwrites WHERE category_id = 4",
]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[int], apsw.Connection]]:
    """Return a maker of shards at the version before or after the packing."""
    opened: list[apsw.Connection] = []

    def made(version: int) -> apsw.Connection:
        connection = sqlite.create(tmp_path / f"{version}.db", sqlite.SHARD_APPLICATION_ID)
        engine.apply(connection, MIGRATIONS[:version], now_ms=1)
        opened.append(connection)
        return connection

    yield made
    for connection in opened:
        connection.close()


def is_packed(shard: apsw.Connection) -> bool:
    """Tell whether every packed text is what its tables say."""
    for table, wanted in WANTED.items():
        column = "overwrites_packed" if table in ("channels", "categories") else "roles_packed"
        key = {"room": "one", "members": "user_id"}.get(table, "id")
        for number, packed in shard.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
            if packed != (shard.execute(wanted.format(id=number)).get or ""):
                return False
    return True


def noticed(shard: apsw.Connection, change: str) -> bool:
    """Make a change, tell whether it left anything behind, and take it back."""
    shard.execute("SAVEPOINT change")
    try:
        shard.execute(change)
        return not is_packed(shard)
    finally:
        shard.execute("ROLLBACK TO change; RELEASE change")


def test_what_was_there_is_packed(make: Callable[[int], apsw.Connection]) -> None:
    """A shard that had roles and overwrites before the migration has them packed after it."""
    shard = make(3)
    shard.execute(FILL)
    engine.apply(shard, MIGRATIONS[:4], now_ms=2)
    assert is_packed(shard)
    assert shard.execute("SELECT overwrites_packed FROM channels WHERE id = 5").get == "1,8,0,4,0,1,8,0,0,9,1,2"


def test_every_change_is_packed(make: Callable[[int], apsw.Connection]) -> None:
    """After each change of roles, of who has them and of overwrites the packed text follows."""
    shard = make(len(MIGRATIONS))
    shard.execute(f"{FILL}; {FILL_CATEGORY}")
    assert is_packed(shard)
    assert [change for change in CHANGES if noticed(shard, change)] == []


@pytest.mark.parametrize(
    "trigger",
    [
        f"{table}_{when}"
        for table in ("roles", "member_roles", "channel_overwrites", "category_overwrites")
        for when in ("insert", "update", "delete")
        if (table, when) != ("member_roles", "update")  # a member's role is given and taken, never changed
    ],
)
def test_a_missing_trigger_is_noticed(make: Callable[[int], apsw.Connection], trigger: str) -> None:
    """Without any one of the triggers some change leaves the packed text behind, and the check above says so."""
    shard = make(len(MIGRATIONS))
    shard.execute(f"{FILL}; {FILL_CATEGORY}")
    shard.execute(f"DROP TRIGGER {trigger}")
    assert [change for change in CHANGES if noticed(shard, change)] != []
