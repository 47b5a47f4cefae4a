"""Coming, going, and who is in."""

from collections.abc import Iterable
from typing import NamedTuple

from ids import RoleId, UserId
from shard import access, announcements, members, permissions, roles, rooms
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, RejectedError


class Gift(NamedTuple):
    """A role that an invite brings, and who made the invite."""

    role_id: RoleId
    giver_id: UserId


def join(writer: Writer, user_id: UserId, *, gift: Gift | None = None, now_ms: int) -> bool:
    """Let someone in whom the directory has admitted, and return whether they were out; the banned are refused.

    They get a `gift` if its giver could give it now; else they come without.
    """
    is_new = members.add(writer, user_id, now_ms=now_ms)
    if is_new and gift is not None and _can_give(writer, gift, now_ms):
        members.grant(writer, user_id, gift.role_id, by=gift.giver_id, now_ms=now_ms)
    if is_new:
        announcements.post(writer, "member_joined", {}, user_id, now_ms)
    return is_new


def _can_give(reader: Reader, gift: Gift, now_ms: int) -> bool:
    """Tell whether the maker of an invite still stands above its role, which may have become another since."""
    try:
        may_invite(reader, gift.giver_id, gift.role_id, now_ms=now_ms)
    except RejectedError:
        return False
    return True


def leave(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone out and return whether they were in; raises ConflictError for the owner, whom a room needs."""
    room = rooms.one(writer)
    if room is not None and room.kind == "direct" and members.is_present(writer, user_id):
        raise ConflictError("Nobody leaves a direct chat: block the other person to hear no more of them.")
    if room is not None and room.owner_id == user_id:
        raise ConflictError("The owner cannot leave: pass the room on to another member or delete it.")
    return members.remove(writer, user_id, now_ms=now_ms) is not None


def membership(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return what a member may do in the room; raises NotFoundError for whoever is not one."""
    return access.open_room(reader, user_id, 0, now_ms=now_ms)


def is_member(reader: Reader, user_id: UserId) -> bool:
    """Tell whether someone is in, asked by the server itself."""
    return members.is_present(reader, user_id)


def standing(reader: Reader, user_id: UserId) -> members.Standing | None:
    """Return what the directory mirrors of a member, asked by the server itself; None for who is not in."""
    return members.standing(reader, user_id)


def may_invite(reader: Reader, user_id: UserId, role_id: RoleId | None = None, *, now_ms: int) -> access.Membership:
    """Return a member who may create invites, and such that bring a role; raises ForbiddenError for others.

    A role can be brought by who can grant it: one below their own highest, with nothing that they may not themselves.
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


def list_members(
    reader: Reader, user_id: UserId, *, after: UserId | None, limit: int, now_ms: int
) -> list[members.Member]:
    """Return the room's members by id."""
    return members.page(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), after=after, limit=limit)


def get_members(reader: Reader, user_id: UserId, wanted_ids: Iterable[UserId], *, now_ms: int) -> list[members.Member]:
    """Return those of some users who are in, by id."""
    return members.of(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), wanted_ids)


def get_member(reader: Reader, user_id: UserId, wanted_id: UserId, *, now_ms: int) -> members.Member:
    """Return one member; raises NotFoundError for whoever is not one."""
    return members.find(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), wanted_id)


def present_members(reader: Reader) -> list[UserId]:
    """Return everyone who is in, asked by the server itself to mend the directory's index."""
    return members.present_ids(reader)
