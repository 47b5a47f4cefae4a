"""Categories, and the order of categories and channels in a room."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, TypeVar

from ids import CategoryId, ChannelId, UserId
from shard import access, permissions
from shard.actions import channels as channel_actions
from shard.actions import overwrites
from shard.engine.connections import Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.tables import audit, categories, channels, diffs, events
from shard.tables.categories import CategoryRow

T = TypeVar("T", bound=int)


class CategoryChanges(TypedDict, total=False):
    """Changes to a category; missing fields stay as they are."""

    name: str
    is_private: bool
    collapsed_by_default: bool


@dataclass(frozen=True, slots=True)
class Order:
    """The wanted order of a room: its categories, and its channels, each with its category."""

    categories: Sequence[CategoryId]
    channels: Sequence[tuple[ChannelId, CategoryId | None]]


def create_category(
    writer: Writer,
    user_id: UserId,
    name: str,
    *,
    is_private: bool,
    collapsed_by_default: bool,
    reason: str | None = None,
    now_ms: int,
) -> CategoryRow:
    """Add a category below all others; a private one needs MANAGE_ROLES too, and its maker sees it."""
    need = permissions.MANAGE_CHANNELS | (permissions.MANAGE_ROLES if is_private else 0)
    access.open_community(writer, user_id, need, now_ms=now_ms)
    row = categories.insert(
        writer,
        name,
        is_private=is_private,
        collapsed_by_default=collapsed_by_default,
        created_by=user_id,
        now_ms=now_ms,
    )
    if is_private:
        overwrites.keep_category_visible(writer, user_id, row.id, now_ms=now_ms)
    audit.append(
        writer, EventType.CATEGORY_CREATED, actor_id=user_id, target=("category", row.id), after=categories.facts(row),
        reason=reason, now_ms=now_ms,
    )  # fmt: skip
    return row


def edit_category(
    writer: Writer,
    user_id: UserId,
    category_id: CategoryId,
    wanted: CategoryChanges,
    *,
    reason: str | None = None,
    now_ms: int,
) -> CategoryRow:
    """Edit a category, and the privacy of the channels that follow it; a change of privacy needs MANAGE_ROLES."""
    access.open_community(writer, user_id, 0, now_ms=now_ms)
    need = permissions.MANAGE_CHANNELS
    category = access.open_category(writer, user_id, category_id, need, now_ms=now_ms)
    before = categories.one(writer, category_id)
    row = replace(before, **wanted)
    is_other = bool(row.is_private) != category.is_private
    if is_other:
        access.require(category.permissions, permissions.MANAGE_ROLES)
    if categories.facts(row) == categories.facts(before):
        return before
    following = categories.followers(writer, category_id) if is_other else []
    categories.update(writer, before, row, by=user_id, now_ms=now_ms)
    for channel_id in following:
        channel = channels.one(writer, channel_id)
        turned = replace(channel, is_private=row.is_private)
        channels.update(writer, channel, turned, by=user_id, now_ms=now_ms)
    if row.is_private:
        overwrites.keep_category_visible(writer, user_id, category_id, now_ms=now_ms)
    was, now = diffs.between(categories.facts(before), categories.facts(row))
    audit.append(
        writer, EventType.CATEGORY_EDITED, actor_id=user_id, target=("category", category_id), before=was, after=now,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip
    return row


def delete_category(
    writer: Writer, user_id: UserId, category_id: CategoryId, *, reason: str | None = None, now_ms: int
) -> None:
    """Delete a category; its channels stay, without a category, with the privacy and overwrites that they have."""
    access.open_community(writer, user_id, 0, now_ms=now_ms)
    access.open_category(writer, user_id, category_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    row = categories.one(writer, category_id)
    categories.delete(writer, row, by=user_id, now_ms=now_ms)
    audit.append(
        writer, EventType.CATEGORY_DELETED, actor_id=user_id, target=("category", category_id),
        before=categories.facts(row), reason=reason, now_ms=now_ms,
    )  # fmt: skip


def arrange(writer: Writer, user_id: UserId, order: Order, *, reason: str | None = None, now_ms: int) -> None:
    """Put all categories and channels that a member sees in this order; those that they do not see keep their places.

    A channel that is listed with another category moves there (`channels.edit_channel`). Raises ForbiddenError without
    MANAGE_CHANNELS, ConflictError unless each category and channel that they see is listed once.
    """
    access.open_community(writer, user_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    seen_categories, seen_channels = channel_actions.list_all(writer, user_id, now_ms=now_ms)
    channel_ids = [channel_id for channel_id, _ in order.channels]
    _require_same(order.categories, (row.id for row in seen_categories), "category")
    _require_same(channel_ids, (row.id for row in seen_channels), "channel")
    had = {row.id: row.category_id for row in seen_channels}
    moves = [(channel_id, category_id) for channel_id, category_id in order.channels if category_id != had[channel_id]]
    for channel_id, category_id in moves:
        channel_actions.edit_channel(
            writer, user_id, channel_id, {"category_id": category_id}, reason=reason, now_ms=now_ms
        )
    before = [row.id for row in seen_categories], [row.id for row in seen_channels]
    after = list(order.categories), channel_ids
    if before == after:
        return
    categories.arrange(writer, _interleaved(categories.in_order(writer), order.categories))
    channels.arrange(writer, _interleaved(channels.in_order(writer), channel_ids))
    # No ids: everybody in the room receives the event, also members who do not see all of these channels.
    events.append(writer, EventType.ROOM_REORDERED, actor_id=user_id, now_ms=now_ms)
    was, now = ({"categories": list(map(str, one)), "channels": list(map(str, two))} for one, two in (before, after))
    audit.append(
        writer, EventType.ROOM_REORDERED, actor_id=user_id, target=("room", writer.room_id), before=was, after=now,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _require_same(named: Sequence[int], seen: Iterable[int], kind: str) -> None:
    if sorted(named) != sorted(seen):
        raise ConflictError(f"Name every {kind} that you see once. They may have changed: list them again.")


def _interleaved(everything: Sequence[T], wanted: Sequence[T]) -> list[T]:
    """Return everything, with the wanted items in their new order on the places that they had together."""
    named, following = set(wanted), iter(wanted)
    return [next(following) if one in named else one for one in everything]
