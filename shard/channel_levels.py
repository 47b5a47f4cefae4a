"""What people want to hear of single channels; of a whole room it stands in the directory. Theirs alone: no events."""

from typing import Literal

from ids import ChannelId, UserId
from shard.access import Channel, Sight
from shard.connections import Reader, Writer

Level = Literal["all", "mentions", "none"]


def put(writer: Writer, channel: Channel, level: Level) -> None:
    """Note what the channel's opener wants to hear of it."""
    writer.run(
        "INSERT INTO channel_levels (user_id, channel_id, level) VALUES (?, ?, ?) "
        "ON CONFLICT (user_id, channel_id) DO UPDATE SET level = excluded.level",
        (channel.user_id, channel.id, level),
    )


def clear(writer: Writer, channel: Channel) -> None:
    """Let the level of the room hold for the channel again."""
    writer.run("DELETE FROM channel_levels WHERE user_id = ? AND channel_id = ?", (channel.user_id, channel.id))


def of_member(reader: Reader, user_id: UserId, sight: Sight) -> list[tuple[ChannelId, Level]]:
    """Return the levels that a member has set for channels that they still see; at most one for each channel."""
    rows = reader.all("SELECT channel_id, level FROM channel_levels WHERE user_id = ? ORDER BY channel_id", (user_id,))
    return [(row[0], row[1]) for row in rows if row[0] in sight.channels]
