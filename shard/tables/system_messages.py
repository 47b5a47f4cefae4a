"""System messages: the server's messages about the room itself, posted in its system channel, if it has one."""

from collections.abc import Mapping
from typing import Any

from ids import ChannelId, UserId
from shard.engine.connections import Reader, Writer
from shard.tables import messages


def post(writer: Writer, kind: str, facts: Mapping[str, Any], actor_id: UserId, now_ms: int) -> None:
    """Store and log a message about an action of `actor_id` (`messages.insert_system`).

    Without a system channel that takes messages, nothing is stored.
    """
    row = writer.one(_OPEN)
    if row is not None:
        messages.insert_system(writer, row[0], kind, facts, actor_id, now_ms)


def channel_id(reader: Reader) -> ChannelId | None:
    """Return the room's system channel, None if it has none."""
    row = reader.one("SELECT system_channel_id FROM room")
    return None if row is None else row[0]


def choose(writer: Writer, chosen: ChannelId | None) -> None:
    """Make a channel the room's system channel; None removes it."""
    writer.run("UPDATE room SET system_channel_id = ?", (chosen,))


def choose_first(writer: Writer) -> None:
    """Make the first text channel of a new room its system channel."""
    writer.run(
        "UPDATE room SET system_channel_id = "
        "(SELECT id FROM channels WHERE type = 'text' ORDER BY position, id LIMIT 1)"
    )


_OPEN = (
    "SELECT c.id FROM room r JOIN channels c ON c.id = r.system_channel_id "
    "WHERE c.is_archived = 0 AND c.type <> 'voice'"
)
