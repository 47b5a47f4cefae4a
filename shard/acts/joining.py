"""Coming, going, and who is in."""

from ids import UserId
from shard import access, members, permissions, rooms
from shard.connections import Reader, Writer
from shard.errors import ConflictError


def join(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone in whom the directory has admitted, and return whether they were out; the banned are refused."""
    return members.add(writer, user_id, now_ms=now_ms)


def leave(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone out and return whether they were in; raises ConflictError for the owner, whom a room needs."""
    room = rooms.one(writer)
    if room is not None and room.owner_id == user_id:
        raise ConflictError("The owner cannot leave: pass the room on to another member or delete it.")
    return members.remove(writer, user_id, now_ms=now_ms)


def membership(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return what a member may do in the room; raises NotFoundError for whoever is not one."""
    return access.open_room(reader, user_id, 0, now_ms=now_ms)


def is_member(reader: Reader, user_id: UserId) -> bool:
    """Tell whether someone is in, asked by the server itself."""
    return members.is_present(reader, user_id)


def may_invite(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return a member who may create invites; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.CREATE_INVITE, now_ms=now_ms)


def list_members(
    reader: Reader, user_id: UserId, *, after: UserId | None, limit: int, now_ms: int
) -> list[members.Member]:
    """Return the room's members by id."""
    return members.page(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), after=after, limit=limit)


def present_members(reader: Reader) -> list[UserId]:
    """Return everyone who is in, asked by the server itself to mend the directory's index."""
    return members.present_ids(reader)
