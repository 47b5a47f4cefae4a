"""Founding a room and shaping it: channels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, cast

from ids import CategoryId, ChannelId, UserId
from shard import (
    access,
    announcements,
    audit,
    categories,
    changes,
    channels,
    messages,
    overwrites,
    permissions,
    rooms,
)
from shard.access import Category, Channel, Membership
from shard.acts import allowing
from shard.categories import CategoryRow
from shard.channels import ChannelRow
from shard.connections import Reader, Writer
from shard.errors import ConflictError


@dataclass(frozen=True, slots=True)
class ChannelDraft:
    """A channel to make; `is_private` None is as its category is, and not private without one."""

    name: str
    type: str = "text"
    description: str | None = None
    thread_mode: str = "optional"
    category_id: CategoryId | None = None
    is_private: bool | None = None
    slow_mode_seconds: int = 0
    auto_archive_hours: int = 168


class ChannelChanges(TypedDict, total=False):
    """What shall be otherwise about a channel."""

    name: str
    type: str
    description: str | None
    category_id: CategoryId | None
    is_private: bool
    is_archived: bool
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int


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
    made = [_insert_channel(writer, draft, None, owner_id, now_ms) for draft in drafts]
    announcements.choose_first(writer)
    return made


def create_channel(
    writer: Writer, user_id: UserId, draft: ChannelDraft, *, reason: str | None = None, now_ms: int
) -> ChannelRow:
    """Add a channel to the end of the room's list, with the overwrites of its category.

    Whoever makes a private channel sees it. Raises NotFoundError for a category that they do not see, ForbiddenError
    without MANAGE_CHANNELS there or, for another privacy than its own, MANAGE_ROLES.
    """
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    category, granted = None, actor.permissions
    if draft.category_id is not None:
        category = access.open_category(writer, user_id, draft.category_id, 0, now_ms=now_ms)
        granted = category.permissions
    access.require(granted, permissions.MANAGE_CHANNELS)
    if draft.is_private is not None and draft.is_private != (category is not None and category.is_private):
        access.require(granted, permissions.MANAGE_ROLES)
    channel = _insert_channel(writer, draft, category, user_id, now_ms)
    if channel.is_private:
        allowing.stay_in_channel(writer, user_id, channel.id, now_ms=now_ms)
    made = {"name": channel.name, "type": channel.type} | ({"is_private": True} if channel.is_private else {})
    audit.append(
        writer, "channel.created", actor_id=user_id, target=("channel", channel.id), after=made, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
    return channel


def _insert_channel(
    writer: Writer, draft: ChannelDraft, category: Category | None, user_id: UserId, now_ms: int
) -> ChannelRow:
    is_private = category is not None and category.is_private
    channel = channels.insert(
        writer,
        draft.name,
        type_=draft.type,
        description=draft.description,
        category_id=None if category is None else category.id,
        is_private=is_private if draft.is_private is None else draft.is_private,
        thread_mode=draft.thread_mode,
        slow_mode_seconds=draft.slow_mode_seconds,
        auto_archive_hours=draft.auto_archive_hours,
        created_by=user_id,
        now_ms=now_ms,
    )
    if category is not None:
        overwrites.copy(writer, category, channel.id)
    return channel


def edit_channel(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    wanted: ChannelChanges,
    *,
    reason: str | None = None,
    now_ms: int,
) -> ChannelRow:
    """Change a channel; what is as wanted already leaves no trace.

    Into another category it moves with that one's overwrites and privacy. Raises NotFoundError for a channel or
    category that one does not see, ForbiddenError without MANAGE_CHANNELS in both or, where privacy or overwrites
    change, MANAGE_ROLES, and ConflictError for a taken name or between voice and words.
    """
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    channel = access.open_channel(writer, user_id, channel_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    before = channels.one(writer, channel_id)
    category_id = wanted.get("category_id", before.category_id)
    category = None
    if category_id is not None and category_id != before.category_id:
        category = _open_destination(writer, actor, channel, before, category_id, now_ms)
        wanted = cast(ChannelChanges, {"is_private": category.is_private, **wanted})
    row = replace(before, **wanted)
    if row.type != before.type and "voice" in (row.type, before.type):
        raise ConflictError("A channel of words cannot become a voice channel, nor a voice channel one of words.")
    if bool(row.is_private) != bool(before.is_private):
        access.require(channel.permissions, permissions.MANAGE_ROLES)
    if channels.facts(row) != channels.facts(before):
        _change(writer, before, row, category, user_id, reason, now_ms)
    return channels.one(writer, channel_id)


def _open_destination(
    reader: Reader, actor: Membership, channel: Channel, row: ChannelRow, category_id: CategoryId, now_ms: int
) -> Category:
    need = permissions.MANAGE_CHANNELS
    category = access.open_category(reader, actor.user_id, category_id, need, now_ms=now_ms)
    allowing.require_copyable(reader, actor, channel, category, bool(row.is_private))
    return category


def _change(
    writer: Writer,
    before: ChannelRow,
    row: ChannelRow,
    category: Category | None,
    user_id: UserId,
    reason: str | None,
    now_ms: int,
) -> None:
    channels.update(writer, before, row, by=user_id, now_ms=now_ms)
    if category is not None:
        overwrites.copy(writer, category, row.id)
    if row.is_private:
        allowing.stay_in_channel(writer, user_id, row.id, now_ms=now_ms)
    was, now = changes.between(channels.facts(before), channels.facts(row))
    audit.append(
        writer, "channel.edited", actor_id=user_id, target=("channel", row.id), before=was, after=now, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
    if "name" in now and row.type != "voice" and not row.is_archived:
        named = {"before": was["name"], "after": now["name"]}
        messages.insert_system(writer, row.id, "channel_renamed", named, user_id, now_ms)


def delete_channel(
    writer: Writer, user_id: UserId, channel_id: ChannelId, *, reason: str | None = None, now_ms: int
) -> None:
    """Take a channel away with all that was said in it, from everyone at once; `sweep` then frees the space."""
    access.open_community(writer, user_id, 0, now_ms=now_ms)
    access.open_channel(writer, user_id, channel_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    row = channels.one(writer, channel_id)
    if announcements.channel_id(writer) == channel_id:
        announcements.choose(writer, None)
    channels.hide(writer, row, by=user_id, now_ms=now_ms)
    was = {**channels.facts(row), "message_count": row.message_count}
    audit.append(
        writer, "channel.deleted", actor_id=user_id, target=("channel", channel_id), before=was, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip


def sweep(writer: Writer) -> bool:
    """Remove some of what deleted channels left, asked by the server itself, and return whether there may be more."""
    return channels.sweep(writer)


def list_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Return the channels that a member sees."""
    return channels.visible(reader, access.open_channels(reader, user_id, now_ms=now_ms))


def list_all(reader: Reader, user_id: UserId, *, now_ms: int) -> tuple[list[CategoryRow], list[ChannelRow]]:
    """Return the categories and the channels that a member sees."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    granted = access.see_categories(reader, user_id, now_ms=now_ms)
    return categories.visible(reader, sight, granted), channels.visible(reader, sight)
