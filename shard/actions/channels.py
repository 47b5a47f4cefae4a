"""Channels: creation, changes, deletion and lists."""

from dataclasses import dataclass, replace
from typing import TypedDict, cast

from ids import CategoryId, ChannelId, UserId
from shard import access, permissions
from shard.access import Category, Channel, Membership
from shard.actions import overwrites as overwrite_actions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.tables import audit, categories, channels, diffs, messages, overwrites, system_messages
from shard.tables.categories import CategoryRow
from shard.tables.channels import ChannelRow


@dataclass(frozen=True, slots=True)
class ChannelDraft:
    """A channel to create; `is_private` None takes the privacy of its category, and is public without one."""

    name: str
    type: str = "text"
    description: str | None = None
    thread_mode: str = "optional"
    category_id: CategoryId | None = None
    is_private: bool | None = None
    slow_mode_seconds: int = 0
    auto_archive_hours: int = 168


class ChannelChanges(TypedDict, total=False):
    """Changes to a channel; missing fields stay as they are."""

    name: str
    type: str
    description: str | None
    category_id: CategoryId | None
    is_private: bool
    is_archived: bool
    thread_mode: str
    slow_mode_seconds: int
    auto_archive_hours: int


def create_channel(
    writer: Writer, user_id: UserId, draft: ChannelDraft, *, reason: str | None = None, now_ms: int
) -> ChannelRow:
    """Add a channel to the end of the room's list, with the overwrites of its category.

    The maker of a private channel sees it. Raises NotFoundError for a category that they do not see, ForbiddenError
    without MANAGE_CHANNELS there or, for another privacy than the category's, MANAGE_ROLES.
    """
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    category, granted = None, actor.permissions
    if draft.category_id is not None:
        category = access.open_category(writer, user_id, draft.category_id, 0, now_ms=now_ms)
        granted = category.permissions
    access.require(granted, permissions.MANAGE_CHANNELS)
    if draft.is_private is not None and draft.is_private != (category is not None and category.is_private):
        access.require(granted, permissions.MANAGE_ROLES)
    channel = insert_channel(writer, draft, category, user_id, now_ms)
    if channel.is_private:
        overwrite_actions.keep_channel_visible(writer, user_id, channel.id, now_ms=now_ms)
    made = {"name": channel.name, "type": channel.type} | ({"is_private": True} if channel.is_private else {})
    audit.append(
        writer, EventType.CHANNEL_CREATED, actor_id=user_id, target=("channel", channel.id), after=made, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
    return channel


def insert_channel(
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
    """Edit a channel; without a difference nothing is written.

    In another category it takes that one's overwrites and privacy. Raises NotFoundError for a channel or category that
    the member does not see, ForbiddenError without MANAGE_CHANNELS in both or, if privacy or overwrites change,
    MANAGE_ROLES, and ConflictError for a taken name or a change between voice and text.
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
    overwrite_actions.require_copyable(reader, actor, channel, category, bool(row.is_private))
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
        overwrite_actions.keep_channel_visible(writer, user_id, row.id, now_ms=now_ms)
    was, now = diffs.between(channels.facts(before), channels.facts(row))
    audit.append(
        writer, EventType.CHANNEL_EDITED, actor_id=user_id, target=("channel", row.id), before=was, after=now,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip
    if "name" in now and row.type != "voice" and not row.is_archived:
        named = {"before": was["name"], "after": now["name"]}
        messages.insert_system(writer, row.id, "channel_renamed", named, user_id, now_ms)


def delete_channel(
    writer: Writer, user_id: UserId, channel_id: ChannelId, *, reason: str | None = None, now_ms: int
) -> None:
    """Delete a channel with all its messages, for everyone at once; `sweep` then frees the space."""
    writer.use_reserve()
    access.open_community(writer, user_id, 0, now_ms=now_ms)
    access.open_channel(writer, user_id, channel_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    row = channels.one(writer, channel_id)
    if system_messages.channel_id(writer) == channel_id:
        system_messages.choose(writer, None)
    channels.hide(writer, row, by=user_id, now_ms=now_ms)
    was = {**channels.facts(row), "message_count": row.message_count}
    audit.append(
        writer, EventType.CHANNEL_DELETED, actor_id=user_id, target=("channel", channel_id), before=was, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip


def sweep(writer: Writer) -> bool:
    """Remove a part of the contents of deleted channels, for the server itself; return whether there may be more."""
    return channels.sweep(writer)


def list_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Return the channels that a member sees."""
    return channels.visible(reader, access.open_channels(reader, user_id, now_ms=now_ms))


def list_all(reader: Reader, user_id: UserId, *, now_ms: int) -> tuple[list[CategoryRow], list[ChannelRow]]:
    """Return the categories and the channels that a member sees."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    granted = access.see_categories(reader, user_id, now_ms=now_ms)
    return categories.visible(reader, sight, granted), channels.visible(reader, sight)
