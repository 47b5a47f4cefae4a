"""Mentions of a message, decided in the transaction that stores it.

Valid targets are present members who see the channel, mentionable roles, and everyone if the author has the permission.
Everything else that a text names (`shard/text/mention_marks.py`) is plain text.
"""

import orjson

from ids import MessageId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.engine.connections import Reader, Writer
from shard.errors import NotFoundError
from shard.text import mention_marks
from shard.text.mention_marks import Called


def of(reader: Reader, channel: Channel, content: str, named: Called | None = None, *, now_ms: int) -> str | None:
    """Return the mentions of a message of `channel.user_id`, packed as in a page: JSON of [type, id], None if none.

    `named` are the targets of the text where they were read before.
    """
    if "@" not in content:
        return None
    called = mention_marks.parse(content) if named is None else named
    # The role with the room's own id is everyone's.
    everyone = called.everyone or reader.room_id in called.role_ids
    found = [("user", user_id) for user_id in called.user_ids if _sees(reader, UserId(user_id), channel, now_ms)]
    if called.role_ids:
        found += [("role", role_id) for role_id in _mentionable(reader, channel, called.role_ids)]
    if everyone and channel.may(permissions.MENTION_EVERYONE):
        found.append(("everyone", 0))
    return orjson.dumps(sorted(found)).decode() if found else None


def _sees(reader: Reader, user_id: UserId, channel: Channel, now_ms: int) -> bool:
    try:
        access.open_channel(reader, user_id, channel.id, 0, now_ms=now_ms)
    except NotFoundError:
        return False
    return True


def _mentionable(reader: Reader, channel: Channel, role_ids: tuple[int, ...]) -> list[int]:
    rows = reader.all(
        "SELECT id FROM roles WHERE id IN (SELECT value FROM json_each(?)) AND id <> ? AND (is_mentionable = 1 OR ?)",
        (orjson.dumps(role_ids).decode(), reader.room_id, channel.may(permissions.MENTION_EVERYONE)),
    )
    return [row[0] for row in rows]


def record(writer: Writer, message_id: MessageId, packed: str) -> None:
    """Store the mentions of a message."""
    writer.run(_INSERT, (message_id, packed))


def forget(writer: Writer, message_ids: list[MessageId]) -> None:
    """Delete the mentions of messages."""
    writer.run(
        "DELETE FROM message_mentions WHERE message_id IN (SELECT value FROM json_each(?))",
        (orjson.dumps(message_ids).decode(),),
    )


_INSERT = (
    "INSERT INTO message_mentions (message_id, target_type, target_id) "
    "SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
)
