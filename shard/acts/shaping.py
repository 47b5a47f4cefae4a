"""Founding a room and shaping it: channels."""

from collections.abc import Sequence
from dataclasses import dataclass

from ids import UserId
from shard import access, audit, channels, permissions, rooms
from shard.channels import ChannelRow
from shard.connections import Reader, Writer


@dataclass(frozen=True, slots=True)
class ChannelDraft:
    """A channel to make."""

    name: str
    type: str = "text"
    description: str | None = None
    thread_mode: str = "optional"


DEFAULT_CHANNELS = (
    ChannelDraft("general", description="Talk about anything."),
    ChannelDraft("announcements", type="announcement", description="News of this community."),
    ChannelDraft("voice", type="voice"),
)


def found_room(
    writer: Writer, kind: str, owner_id: UserId, drafts: Sequence[ChannelDraft], *, now_ms: int
) -> list[ChannelRow]:
    """Write the first rows of a new room: its owner, its everyone role and its channels."""
    rooms.found(writer, kind, owner_id, now_ms=now_ms)
    return [_insert_channel(writer, draft, owner_id, now_ms) for draft in drafts]


def create_channel(writer: Writer, user_id: UserId, draft: ChannelDraft, *, now_ms: int) -> ChannelRow:
    """Add a channel to the end of the room's list."""
    access.open_room(writer, user_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    channel = _insert_channel(writer, draft, user_id, now_ms)
    made = {"name": channel.name, "type": channel.type}
    audit.append(writer, "channel.created", actor_id=user_id, target=("channel", channel.id), after=made, now_ms=now_ms)
    return channel


def _insert_channel(writer: Writer, draft: ChannelDraft, user_id: UserId, now_ms: int) -> ChannelRow:
    return channels.insert(
        writer,
        draft.name,
        type_=draft.type,
        description=draft.description,
        thread_mode=draft.thread_mode,
        created_by=user_id,
        now_ms=now_ms,
    )


def list_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Return the channels that a member sees."""
    return channels.visible(reader, access.open_channels(reader, user_id, now_ms=now_ms))
