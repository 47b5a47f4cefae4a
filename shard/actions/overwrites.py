"""Overwrites and privacy of channels and categories.

Nobody sets a permission that they lack there themselves, or an overwrite for a role or a member that does not rank
below them. Channels with the same overwrites and privacy as their category follow its changes.
"""

from collections.abc import Mapping

from ids import CategoryId, ChannelId, RoleId, UserId
from shard import access, permissions
from shard.access import Category, Channel, Membership
from shard.engine.connections import Reader, Writer
from shard.errors import ForbiddenError
from shard.event_types import AuditAction
from shard.permissions import NONE, Overwrite
from shard.tables import audit, categories, members, overwrites, roles
from shard.tables.overwrites import Place, Target


def list_channel_overwrites(
    reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int
) -> Mapping[Target, Overwrite]:
    """Return the overwrites of a channel, for a member who may set them."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    return overwrites.listed(reader, overwrites.place(channel))


def list_category_overwrites(
    reader: Reader, user_id: UserId, category_id: CategoryId, *, now_ms: int
) -> Mapping[Target, Overwrite]:
    """Return the overwrites of a category, for a member who may set them."""
    category = access.open_category(reader, user_id, category_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    return overwrites.listed(reader, overwrites.place(category))


def set_in_channel(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    target: Target,
    overwrite: Overwrite | None,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Set an overwrite of a channel, or with None remove it; without a difference nothing is written.

    Raises NotFoundError for a channel, role or member that does not exist, ForbiddenError for an actor who may not set
    all that changes, ConflictError for one overwrite too many.
    """
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    channel = access.open_channel(writer, user_id, channel_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    before = _require_changeable(writer, actor, channel, target, overwrite)
    if before == overwrite:
        return
    _write_in_channel(writer, channel_id, target, overwrite, by=user_id, now_ms=now_ms)
    was, now = _facts(target, before), _facts(target, overwrite)
    audit.append(
        writer, AuditAction.CHANNEL_OVERWRITTEN, actor_id=user_id, target=("channel", channel_id), before=was,
        after=now, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def set_in_category(
    writer: Writer,
    user_id: UserId,
    category_id: CategoryId,
    target: Target,
    overwrite: Overwrite | None,
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Set an overwrite of a category and of the channels that follow it, as `set_in_channel` does."""
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    category = access.open_category(writer, user_id, category_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    before = _require_changeable(writer, actor, category, target, overwrite)
    if before == overwrite:
        return
    _write_in_category(writer, category_id, target, overwrite, by=user_id, now_ms=now_ms)
    was, now = _facts(target, before), _facts(target, overwrite)
    audit.append(
        writer, AuditAction.CATEGORY_OVERWRITTEN, actor_id=user_id, target=("category", category_id), before=was,
        after=now, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _facts(target: Target, overwrite: Overwrite | None) -> dict[str, object] | None:
    return None if overwrite is None else overwrites.facts(target, overwrite)


def _write_in_category(
    writer: Writer, category_id: CategoryId, target: Target, overwrite: Overwrite | None, *, by: UserId, now_ms: int
) -> None:
    """Change one overwrite of a category and of every channel that follows it."""
    following = categories.followers(writer, category_id)
    where = Place("category", category_id)
    was = _facts(target, overwrites.listed(writer, where).get(target))
    overwrites.write(writer, where, target, overwrite)
    row, now = categories.one(writer, category_id), _facts(target, overwrite)
    categories.note_overwrites(writer, row, now or {}, was or {}, by=by, now_ms=now_ms)
    for channel_id in following:
        _write_in_channel(writer, channel_id, target, overwrite, by=by, now_ms=now_ms)


def _write_in_channel(
    writer: Writer, channel_id: ChannelId, target: Target, overwrite: Overwrite | None, *, by: UserId, now_ms: int
) -> None:
    where = Place("channel", channel_id)
    before = overwrites.listed(writer, where).get(target)
    overwrites.write(writer, where, target, overwrite)
    overwrites.note(writer, channel_id, target, before, overwrite, by=by, now_ms=now_ms)


def _require_changeable(
    reader: Reader, actor: Membership, where: Channel | Category, target: Target, overwrite: Overwrite | None
) -> Overwrite | None:
    """Return the present overwrite of a target, for an actor who may replace it by this one; raises otherwise."""
    present = overwrites.listed(reader, overwrites.place(where))
    before = present.get(target)
    _require_settable(reader, actor, where.permissions, target, before, overwrite)
    if overwrite is not None:
        overwrites.require_space(present, target)
    return before


def _require_settable(
    reader: Reader, actor: Membership, granted: int, target: Target, before: Overwrite | None, after: Overwrite | None
) -> None:
    """Raise ForbiddenError unless the target ranks below the actor and `granted` has all permissions that change."""
    kind, target_id = target
    if kind == "role":
        position = roles.one(reader, actor, RoleId(target_id)).position
        access.require_above(actor, position, "Only somebody whose highest role is above this one may do this.")
    elif before is None or after is not None or members.is_present(reader, UserId(target_id)):
        access.open_member(reader, actor, UserId(target_id))  # the overwrite of a former member anyone may remove
    was, now = before or NONE, after or NONE
    missing = ((was.allow ^ now.allow) | (was.deny ^ now.deny)) & ~granted
    if missing:
        named = ", ".join(permissions.names(missing))
        raise ForbiddenError(
            f"You can only allow and deny what you may do here yourself; you lack {named}.", need=named
        )


def require_copyable(reader: Reader, actor: Membership, channel: Channel, category: Category, is_private: bool) -> None:
    """Raise ForbiddenError unless the actor may copy the overwrites and privacy of its new category to a channel."""
    has, gets = (overwrites.listed(reader, overwrites.place(where)) for where in (channel, category))
    changed = [target for target in {**has, **gets} if has.get(target) != gets.get(target)]
    if changed or is_private != category.is_private:
        access.require(channel.permissions, permissions.MANAGE_ROLES)
    for target in changed:
        _require_settable(reader, actor, channel.permissions, target, has.get(target), gets.get(target))


def keep_channel_visible(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> None:
    """Add an overwrite so that a member still sees a channel that they just made private."""
    if channel_id not in access.open_channels(writer, user_id, now_ms=now_ms).channels:
        target, overwrite = _own(writer, user_id, Place("channel", channel_id))
        _write_in_channel(writer, channel_id, target, overwrite, by=user_id, now_ms=now_ms)


def keep_category_visible(writer: Writer, user_id: UserId, category_id: CategoryId, *, now_ms: int) -> None:
    """Add an overwrite so that a member still sees a category that they just made private, and its followers."""
    if not access.see_categories(writer, user_id, now_ms=now_ms)[category_id] & permissions.VIEW_CHANNEL:
        target, overwrite = _own(writer, user_id, Place("category", category_id))
        _write_in_category(writer, category_id, target, overwrite, by=user_id, now_ms=now_ms)


def _own(reader: Reader, user_id: UserId, where: Place) -> tuple[Target, Overwrite]:
    target: Target = ("member", user_id)
    present = overwrites.listed(reader, where)
    overwrites.require_space(present, target)
    allow, deny = present.get(target, NONE)
    return target, Overwrite(allow | permissions.VIEW_CHANNEL, deny & ~permissions.VIEW_CHANNEL)
