"""Reactions to messages: adding, removing and listing them.

The caller has checked the emoji (`emoji.is_one`). An emoji that the message has already needs only the permissions to
read; a new one needs ADD_REACTIONS, as at Discord.
"""

from typing import Final

from ids import ChannelId, MessageId, UserId
from shard import access, permissions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.event_types import EventType
from shard.tables import audit, messages, reactions

READING: Final = permissions.READ_HISTORY
MODERATING: Final = permissions.MANAGE_MESSAGES | permissions.READ_HISTORY


def react(
    writer: Writer, user_id: UserId, channel_id: ChannelId, message_id: MessageId, emoji: str, *, now_ms: int
) -> None:
    """Add the user's reaction to a message; an existing one stays.

    Raises ConflictError in an archived channel and for one emoji too many.
    """
    channel = access.open_channel(writer, user_id, channel_id, READING, now_ms=now_ms)
    messages.one(writer, channel, message_id)
    there = reactions.emoji_of(writer, message_id)
    if emoji not in there and not channel.may(permissions.ADD_REACTIONS):
        raise ForbiddenError("This needs the permission add_reactions.", need="add_reactions")
    if reactions.is_timed_out(writer, channel, now_ms=now_ms):
        raise ForbiddenError("A time-out leaves only reading.", need="no time-out")
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if emoji not in there and len(there) >= reactions.PER_MESSAGE_MAX:
        raise ConflictError(f"A message has at most {reactions.PER_MESSAGE_MAX} different reactions; join one of them.")
    reactions.add(writer, channel, message_id, emoji, now_ms=now_ms)


def take_back(
    writer: Writer, user_id: UserId, channel_id: ChannelId, message_id: MessageId, emoji: str, *, now_ms: int
) -> None:
    """Remove the user's own reaction, if it exists."""
    channel = access.open_channel(writer, user_id, channel_id, READING, now_ms=now_ms)
    messages.one(writer, channel, message_id)
    reactions.remove(writer, channel, message_id, emoji, user_id, now_ms=now_ms)


def remove_reaction(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    emoji: str,
    reactor_id: UserId,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Remove another user's reaction; raises NotFoundError if there is none."""
    channel = access.open_channel(writer, user_id, channel_id, MODERATING, now_ms=now_ms)
    messages.one(writer, channel, message_id)
    if not reactions.remove(writer, channel, message_id, emoji, reactor_id, now_ms=now_ms):
        raise NotFoundError("reaction")
    audit.append(
        writer,
        EventType.REACTION_REMOVED,
        actor_id=user_id,
        target=("message", message_id),
        before={"emoji": emoji, "user_id": str(reactor_id)},
        reason=reason,
        now_ms=now_ms,
    )


def clear_reactions(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    emoji: str | None,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Remove everybody's reactions with an emoji, or with None all reactions of a message."""
    channel = access.open_channel(writer, user_id, channel_id, MODERATING, now_ms=now_ms)
    messages.one(writer, channel, message_id)
    gone = reactions.clear(writer, channel, message_id, emoji, now_ms=now_ms)
    if gone:
        audit.append(
            writer,
            EventType.REACTION_CLEARED,
            actor_id=user_id,
            target=("message", message_id),
            before={"reactions": gone},
            reason=reason,
            now_ms=now_ms,
        )


def who_reacted(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    message_id: MessageId,
    emoji: str,
    *,
    after: UserId | None,
    limit: int,
    now_ms: int,
) -> list[UserId]:
    """Return the users who reacted with an emoji, by id."""
    channel = access.open_channel(reader, user_id, channel_id, READING, now_ms=now_ms)
    messages.one(reader, channel, message_id)
    return reactions.who(reader, message_id, emoji, after=after, limit=limit)
