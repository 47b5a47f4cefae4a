"""Allowing and denying in channels and categories: overwrites and privacy.

Nobody sets what they may not do there themselves, and nobody sets it for a role or a member that does not stand below
them. Channels that have the very overwrites and privacy of their category follow its changes.
"""

from collections.abc import Mapping

from ids import CategoryId, ChannelId, RoleId, UserId
from shard import access, audit, categories, members, overwrites, permissions, roles
from shard.access import Category, Channel, Membership
from shard.connections import Reader, Writer
from shard.errors import ForbiddenError
from shard.overwrites import Place, Target
from shard.permissions import NONE, Overwrite


def list_channel_overwrites(
    reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int
) -> Mapping[Target, Overwrite]:
    """Return the overwrites of a channel to those who may set them."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    return overwrites.listed(reader, overwrites.place(channel))


def list_category_overwrites(
    reader: Reader, user_id: UserId, category_id: CategoryId, *, now_ms: int
) -> Mapping[Target, Overwrite]:
    """Return the overwrites of a category to those who may set them."""
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
    """Give a channel an overwrite, or with None take it away; what is so already stays without a word.

    Raises NotFoundError for a channel, role or member that is not there, ForbiddenError for whoever may not set all
    that changes, ConflictError for one overwrite too many.
    """
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    channel = access.open_channel(writer, user_id, channel_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    before = _require_changeable(writer, actor, channel, target, overwrite)
    if before == overwrite:
        return
    _write_in_channel(writer, channel_id, target, overwrite, by=user_id, now_ms=now_ms)
    was, now = _told(target, before), _told(target, overwrite)
    audit.append(
        writer, "channel.overwritten", actor_id=user_id, target=("channel", channel_id), before=was, after=now,
        reason=reason, now_ms=now_ms,
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
    """Do as `set_in_channel` for a category, and for its channels that follow it."""
    actor = access.open_community(writer, user_id, 0, now_ms=now_ms)
    category = access.open_category(writer, user_id, category_id, permissions.MANAGE_ROLES, now_ms=now_ms)
    before = _require_changeable(writer, actor, category, target, overwrite)
    if before == overwrite:
        return
    _write_in_category(writer, category_id, target, overwrite, by=user_id, now_ms=now_ms)
    was, now = _told(target, before), _told(target, overwrite)
    audit.append(
        writer, "category.overwritten", actor_id=user_id, target=("category", category_id), before=was, after=now,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _told(target: Target, overwrite: Overwrite | None) -> dict[str, object] | None:
    return None if overwrite is None else overwrites.facts(target, overwrite)


def _write_in_category(
    writer: Writer, category_id: CategoryId, target: Target, overwrite: Overwrite | None, *, by: UserId, now_ms: int
) -> None:
    """Change one overwrite of a category and of every channel that follows it."""
    following = categories.followers(writer, category_id)
    where = Place("category", category_id)
    was = _told(target, overwrites.listed(writer, where).get(target))
    overwrites.write(writer, where, target, overwrite)
    row, now = categories.one(writer, category_id), _told(target, overwrite)
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
    """Return what is there for a target that the actor may give this overwrite."""
    present = overwrites.listed(reader, overwrites.place(where))
    before = present.get(target)
    _require_settable(reader, actor, where.permissions, target, before, overwrite)
    if overwrite is not None:
        overwrites.require_space(present, target)
    return before


def _require_settable(
    reader: Reader, actor: Membership, granted: int, target: Target, before: Overwrite | None, after: Overwrite | None
) -> None:
    """Raise ForbiddenError unless the target stands below the actor, who is `granted` all that changes for it."""
    kind, target_id = target
    if kind == "role":
        position = roles.one(reader, actor, RoleId(target_id)).position
        access.require_above(actor, position, "Only somebody whose highest role is above this one may do this.")
    elif before is None or after is not None or members.is_present(reader, UserId(target_id)):
        access.open_member(reader, actor, UserId(target_id))  # what is left of someone who went, anyone may remove
    was, now = before or NONE, after or NONE
    missing = ((was.allow ^ now.allow) | (was.deny ^ now.deny)) & ~granted
    if missing:
        named = ", ".join(permissions.names(missing))
        raise ForbiddenError(
            f"You can only allow and deny what you may do here yourself; you lack {named}.", need=named
        )


def require_copyable(reader: Reader, actor: Membership, channel: Channel, category: Category, is_private: bool) -> None:
    """Raise ForbiddenError unless the actor may give a channel all that its new category has and it has not."""
    has, gets = (overwrites.listed(reader, overwrites.place(where)) for where in (channel, category))
    changed = [target for target in {**has, **gets} if has.get(target) != gets.get(target)]
    if changed or is_private != category.is_private:
        access.require(channel.permissions, permissions.MANAGE_ROLES)
    for target in changed:
        _require_settable(reader, actor, channel.permissions, target, has.get(target), gets.get(target))


def stay_in_channel(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> None:
    """Let somebody go on seeing a channel that they just made private."""
    if channel_id not in access.open_channels(writer, user_id, now_ms=now_ms).channels:
        target, overwrite = _own(writer, user_id, Place("channel", channel_id))
        _write_in_channel(writer, channel_id, target, overwrite, by=user_id, now_ms=now_ms)


def stay_in_category(writer: Writer, user_id: UserId, category_id: CategoryId, *, now_ms: int) -> None:
    """Let somebody go on seeing a category that they just made private, and the channels that follow it."""
    if not access.see_categories(writer, user_id, now_ms=now_ms)[category_id] & permissions.VIEW_CHANNEL:
        target, overwrite = _own(writer, user_id, Place("category", category_id))
        _write_in_category(writer, category_id, target, overwrite, by=user_id, now_ms=now_ms)


def _own(reader: Reader, user_id: UserId, where: Place) -> tuple[Target, Overwrite]:
    target: Target = ("member", user_id)
    present = overwrites.listed(reader, where)
    overwrites.require_space(present, target)
    allow, deny = present.get(target, NONE)
    return target, Overwrite(allow | permissions.VIEW_CHANNEL, deny & ~permissions.VIEW_CHANNEL)
