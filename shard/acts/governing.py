"""Running a room: its settings, its owner, its end, and the record of who did what.

What a room is called and shows stands in the directory, which the shard does not know: here it is asked who may, and
written down what was done.
"""

from collections.abc import Mapping
from typing import Any

from ids import UserId
from shard import access, audit, events, members, permissions, rooms
from shard.access import Membership
from shard.audit import Entry, Filter
from shard.connections import Reader, Writer
from shard.errors import ForbiddenError, NotFoundError


def may_manage(reader: Reader, user_id: UserId, *, now_ms: int) -> Membership:
    """Return a member who may change the room's settings and everybody's invites; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.MANAGE_ROOM, now_ms=now_ms)


def manages(member: Membership) -> bool:
    """Tell whether a member is one whom `may_manage` returns."""
    return member.may(permissions.MANAGE_ROOM)


def record_update(
    writer: Writer,
    actor_id: UserId,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    reason: str | None,
    now_ms: int,
) -> None:
    """Write down which settings a member changed, who was asked for by `may_manage` before the directory was changed:
    it is too late to refuse now."""
    events.append(writer, "room.updated", actor_id=actor_id, payload=after, replaced=before, now_ms=now_ms)
    audit.append(
        writer, "room.updated", actor_id=actor_id, target=("room", writer.room_id), before=before, after=after,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def record_invite(
    writer: Writer,
    actor_id: UserId,
    action: str,
    target: audit.Target,
    facts: Mapping[str, Any],
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Write down what was done with an invite, which stands in the directory: `invite.created` for one that brings a
    role, `invite.revoked` for somebody else's."""
    audit.append(writer, action, actor_id=actor_id, target=target, after=facts, reason=reason, now_ms=now_ms)


def may_hand_over(reader: Reader, actor_id: UserId, user_id: UserId, *, now_ms: int) -> None:
    """Raise ForbiddenError for all but the owner, and NotFoundError for an heir who is not in the room."""
    _open_owner(reader, actor_id, now_ms)
    if not members.is_present(reader, user_id):
        raise NotFoundError("member")


def hand_over(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """Make another member the owner; False when they are. Raises as `may_hand_over`."""
    may_hand_over(writer, actor_id, user_id, now_ms=now_ms)
    if user_id == actor_id:
        return False
    room = rooms.one(writer)
    assert room is not None
    rooms.hand_over(writer, room, user_id, now_ms=now_ms)
    audit.append(
        writer,
        "room.transferred",
        actor_id=actor_id,
        target=("member", user_id),
        before={"owner_id": str(actor_id)},
        after={"owner_id": str(user_id)},
        reason=reason,
        now_ms=now_ms,
    )
    return True


def owner(reader: Reader) -> UserId | None:
    """Return whose room it is, asked by the server itself."""
    room = rooms.one(reader)
    return None if room is None else room.owner_id


def close(writer: Writer, actor_id: UserId, *, reason: str | None, now_ms: int) -> None:
    """Write down that the owner ends the room; raises ForbiddenError for all others."""
    _open_owner(writer, actor_id, now_ms)
    events.append(writer, "room.deleted", actor_id=actor_id, now_ms=now_ms)
    target = ("room", int(writer.room_id))
    audit.append(writer, "room.deleted", actor_id=actor_id, target=target, reason=reason, now_ms=now_ms)


def _open_owner(reader: Reader, user_id: UserId, now_ms: int) -> Membership:
    member = access.open_room(reader, user_id, 0, now_ms=now_ms)
    if not member.is_owner:
        raise ForbiddenError("Only the owner of the room may do this.", need="ownership")
    return member


def read_audit(
    reader: Reader, user_id: UserId, wanted: Filter, *, before: int | None, limit: int, now_ms: int
) -> list[Entry]:
    """Return the room's record of what moderators did, newest first, without what a private channel hides."""
    access.open_room(reader, user_id, permissions.VIEW_AUDIT_LOG, now_ms=now_ms)
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return audit.page(reader, sight, wanted, before=before, limit=limit)
