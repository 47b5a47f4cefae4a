"""Members: joining, leaving and lists."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ids import RoleId, UserId
from shard import access, permissions
from shard.engine import identity
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, RejectedError
from shard.tables import members, roles, system_messages


class Gift(NamedTuple):
    """A role that an invite grants, and the maker of the invite."""

    role_id: RoleId
    giver_id: UserId


def join(writer: Writer, user_id: UserId, *, gift: Gift | None = None, now_ms: int) -> bool:
    """Add a user whom the directory has admitted, and return whether they were not a member; banned users are refused.

    They get the role of `gift` if its maker could grant it now; else they join without it.
    """
    is_new = members.add(writer, user_id, now_ms=now_ms)
    if is_new and gift is not None and _can_give(writer, gift, now_ms):
        members.grant(writer, user_id, gift.role_id, by=gift.giver_id, now_ms=now_ms)
    if is_new:
        system_messages.post(writer, "member_joined", {}, user_id, now_ms)
    return is_new


def _can_give(reader: Reader, gift: Gift, now_ms: int) -> bool:
    """Return whether the maker of an invite still ranks above its role, which may have changed since."""
    try:
        may_invite(reader, gift.giver_id, gift.role_id, now_ms=now_ms)
    except RejectedError:
        return False
    return True


def leave(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Remove a member who leaves and return whether they were one; raises ConflictError for the owner."""
    room = identity.one(writer)
    if room is not None and room.kind == "direct" and members.is_present(writer, user_id):
        raise ConflictError("Nobody leaves a direct chat: block the other person to hear no more of them.")
    if room is not None and room.owner_id == user_id:
        raise ConflictError("The owner cannot leave: pass the room on to another member or delete it.")
    return members.remove(writer, user_id, now_ms=now_ms) is not None


def membership(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return a member with their permissions in the room; raises NotFoundError for anybody who is not one."""
    return access.open_room(reader, user_id, 0, now_ms=now_ms)


def is_member(reader: Reader, user_id: UserId) -> bool:
    """Return whether a user is a member, for the server itself."""
    return members.is_present(reader, user_id)


def standing(reader: Reader, user_id: UserId) -> members.Standing | None:
    """Return the state of a member that the directory mirrors, for the server itself; None if they are not one."""
    return members.standing(reader, user_id)


def may_invite(reader: Reader, user_id: UserId, role_id: RoleId | None = None, *, now_ms: int) -> access.Membership:
    """Return a member who may create invites, and ones with a role; raises ForbiddenError for others.

    An invite can have a role that its maker can grant: one below their own highest, with no permission that they lack.
    """
    member = access.open_room(reader, user_id, permissions.CREATE_INVITE, now_ms=now_ms)
    if role_id is not None:
        access.open_room(reader, user_id, permissions.MANAGE_ROLES, now_ms=now_ms)
        role = roles.one(reader, member, role_id)
        if role.position == 0:
            raise ConflictError("Everyone has this role already.")
        access.require_above(member, role.position, "Only somebody whose highest role is above this one may give it.")
        missing = ", ".join(permissions.names(role.permissions & ~member.permissions))
        if missing:
            raise ForbiddenError(f"This role gives what you have not yourself: {missing}.", need=missing)
    return member


def living_makers(reader: Reader, invites: Sequence[tuple[UserId, int]], *, now_ms: int) -> list[bool]:
    """Tell of invites, each given by who made it and when, whether that person has been in ever since and may invite
    now; asked by the server itself."""
    return [_is_living(reader, maker_id, made_at, now_ms) for maker_id, made_at in invites]


def _is_living(reader: Reader, maker_id: UserId, made_at: int, now_ms: int) -> bool:
    known = members.standing(reader, maker_id)
    if known is None or known.joined_at > made_at:
        return False
    try:
        may_invite(reader, maker_id, now_ms=now_ms)
    except RejectedError:
        return False
    return True


def list_members(
    reader: Reader, user_id: UserId, *, after: UserId | None, limit: int, now_ms: int
) -> list[members.Member]:
    """Return the room's members by id."""
    return members.page(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), after=after, limit=limit)


def get_members(reader: Reader, user_id: UserId, wanted_ids: Iterable[UserId], *, now_ms: int) -> list[members.Member]:
    """Return those of some users who are members, by id."""
    return members.of(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), wanted_ids)


def get_member(reader: Reader, user_id: UserId, wanted_id: UserId, *, now_ms: int) -> members.Member:
    """Return one member; raises NotFoundError for a user who is not one."""
    return members.find(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), wanted_id)


def present_members(reader: Reader) -> list[UserId]:
    """Return the ids of all present members, for the server itself, to repair the directory's index."""
    return members.present_ids(reader)
