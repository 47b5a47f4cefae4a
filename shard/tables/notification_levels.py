"""Notification levels of members for single channels, private to each member, so without events.

The level for a whole room is in the directory.
"""

from typing import Literal

from ids import ChannelId, UserId
from shard.access import Channel, Sight
from shard.engine.connections import Reader, Writer

Level = Literal["all", "mentions", "none"]


def put(writer: Writer, channel: Channel, level: Level) -> None:
    """Set the level of `channel.user_id` for the channel."""
    writer.run(
        "INSERT INTO channel_levels (user_id, channel_id, level) VALUES (?, ?, ?) "
        "ON CONFLICT (user_id, channel_id) DO UPDATE SET level = excluded.level",
        (channel.user_id, channel.id, level),
    )


def clear(writer: Writer, channel: Channel) -> None:
    """Remove the member's level for the channel, so that the level of the room applies again."""
    writer.run("DELETE FROM channel_levels WHERE user_id = ? AND channel_id = ?", (channel.user_id, channel.id))


def of_member(reader: Reader, user_id: UserId, sight: Sight) -> list[tuple[ChannelId, Level]]:
    """Return the levels that a member has set for channels that they still see; one for each channel at most."""
    rows = reader.all("SELECT channel_id, level FROM channel_levels WHERE user_id = ? ORDER BY channel_id", (user_id,))
    return [(row[0], row[1]) for row in rows if row[0] in sight.channels]
