"""Direct and group chats: rooms with one channel, to which members add people.

A direct chat has two equal people and no owner. A group has an owner, moderators (the members with its one role in
addition to everyone's) and members; it always has an owner while anybody is in it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from ids import RoleId, UserId
from shard import access, permissions
from shard.access import Membership
from shard.actions import rooms
from shard.actions.channels import ChannelDraft
from shard.engine import identity
from shard.engine.connections import Reader, Writer
from shard.engine.identity import RoomRow
from shard.errors import ConflictError, ForbiddenError
from shard.event_types import AuditAction, EventType
from shard.tables import audit, events, groups, members, system_messages
from shard.tables import room as room_rows
from shard.tables.channels import ChannelRow

CHANNEL: Final = ChannelDraft("chat")

EVERYONE_IN_GROUP: Final = permissions.EVERYONE & ~permissions.CREATE_INVITE
EVERYONE_IN_DIRECT: Final = EVERYONE_IN_GROUP & ~permissions.CHANGE_NICKNAME | permissions.PIN_MESSAGES
"""Without nicknames, which would send a text to a person who has blocked the other."""
MODERATORS: Final = (
    permissions.CREATE_INVITE
    | permissions.KICK_MEMBERS
    | permissions.MANAGE_ROOM
    | permissions.VIEW_AUDIT_LOG
    | permissions.MANAGE_MESSAGES
    | permissions.MENTION_EVERYONE
    | permissions.MANAGE_NICKNAMES
    | permissions.MANAGE_THREADS
    | permissions.TIME_OUT_MEMBERS
    | permissions.PIN_MESSAGES
    | permissions.BYPASS_SLOW_MODE
)
"""Further permissions of moderators of a group; CREATE_INVITE lets them add people, since groups have no invites."""


def found_direct(writer: Writer, opened_by: UserId, other: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Write the first rows of a direct chat: two people, neither of whom owns it, and their channel."""
    made = rooms.found_room(writer, "direct", opened_by, [CHANNEL], now_ms=now_ms)
    room_rows.disown(writer)
    groups.allow_everyone(writer, EVERYONE_IN_DIRECT)
    members.add(writer, other, now_ms=now_ms)
    return made


def found_group(writer: Writer, owner_id: UserId, others: Iterable[UserId], *, now_ms: int) -> list[ChannelRow]:
    """Write the first rows of a group: its owner and the people they chose, its channel and its moderators' role."""
    made = rooms.found_room(writer, "group", owner_id, [CHANNEL], now_ms=now_ms)
    groups.allow_everyone(writer, EVERYONE_IN_GROUP)
    groups.add_moderators(writer, MODERATORS, now_ms=now_ms)
    for user_id in others:
        members.add(writer, user_id, now_ms=now_ms)
    return made


def may_add(reader: Reader, actor_id: UserId, user_id: UserId, *, now_ms: int) -> bool:
    """Return whether a user is not a member yet, for an actor who may add people; raises as `add` does."""
    _open_group(reader, actor_id, permissions.CREATE_INVITE, now_ms=now_ms)
    return not members.is_present(reader, user_id)


def add(writer: Writer, actor_id: UserId, user_id: UserId, *, members_max: int, now_ms: int) -> bool:
    """Add a user, whose consent the directory has checked, to a group and return whether they were not a member.

    Raises NotFoundError for an actor outside the group, ForbiddenError for members who are neither owner nor moderator,
    and ConflictError for a room that is not a group and for a full group.
    """
    _open_group(writer, actor_id, permissions.CREATE_INVITE, now_ms=now_ms)
    if members.is_present(writer, user_id):
        return False
    if members.count(writer, limit=members_max) >= members_max:
        raise ConflictError(f"This group has its {members_max} people.")
    members.add(writer, user_id, now_ms=now_ms)
    audit.append(writer, AuditAction.MEMBER_ADDED, actor_id=actor_id, target=("member", user_id), now_ms=now_ms)
    system_messages.post(writer, "member_added", {"user_id": str(user_id)}, actor_id, now_ms)
    return True


def promote(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None = None, now_ms: int) -> bool:
    """Make a member of the actor's group a moderator and return whether they were not one; only for owners."""
    role_id = _open_own_group(writer, actor_id, user_id, now_ms=now_ms)
    is_new = groups.promote(writer, user_id, role_id, by=actor_id, now_ms=now_ms)
    if is_new:
        _note_change(writer, EventType.MEMBER_PROMOTED, actor_id, user_id, reason, now_ms)
    return is_new


def demote(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None = None, now_ms: int) -> bool:
    """Remove the moderators' role from a member and return whether they had it; only for owners."""
    role_id = _open_own_group(writer, actor_id, user_id, now_ms=now_ms)
    was_one = groups.demote(writer, user_id, role_id)
    if was_one:
        _note_change(writer, EventType.MEMBER_DEMOTED, actor_id, user_id, reason, now_ms)
    return was_one


def _note_change(
    writer: Writer, type_: EventType, actor_id: UserId, user_id: UserId, reason: str | None, now_ms: int
) -> None:
    events.append(writer, type_, actor_id=actor_id, payload={"user_id": str(user_id)}, now_ms=now_ms)
    audit.append(writer, type_, actor_id=actor_id, target=("member", user_id), reason=reason, now_ms=now_ms)


def _open_own_group(writer: Writer, actor_id: UserId, user_id: UserId, *, now_ms: int) -> RoleId:
    """Return the role of a group's moderators for its owner, who acts on another member."""
    member = _open_group(writer, actor_id, 0, now_ms=now_ms)
    if not member.is_owner:
        raise ForbiddenError("Only the owner of a group says who moderates it.", need="ownership")
    access.open_member(writer, member, user_id)
    return groups.moderators(writer)


def _open_group(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    member = access.open_room(reader, user_id, 0, now_ms=now_ms)
    if member.kind != "group":
        raise ConflictError(
            "Only groups have this. A community is entered by invites, a direct chat has its two people."
        )
    return access.open_room(reader, user_id, need, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a group that the directory mirrors: its owner, and whether it has any members."""

    owner_id: UserId
    is_empty: bool


def standing(reader: Reader) -> Standing:
    """Return the mirrored state of a group, for the server itself."""
    room = identity.one(reader)
    assert room is not None
    assert room.owner_id is not None
    return Standing(room.owner_id, members.count(reader, limit=1) == 0)


def leave(writer: Writer, user_id: UserId, able: Collection[UserId] = (), *, now_ms: int) -> bool:
    """Remove a member who leaves a group and return whether they were in it.

    Ownership passes to the moderator who joined first, else to the member who did; those who are not `able` to act, as
    the directory says, come last.
    """
    room = identity.one(writer)
    assert room is not None
    if not members.is_present(writer, user_id):
        return False
    if room.owner_id == user_id:
        heir = groups.heir(writer, user_id, able)
        if heir is not None:
            _pass_on(writer, room, heir, by=user_id, now_ms=now_ms)
    members.remove(writer, user_id, now_ms=now_ms)
    return True


def replace_owner(writer: Writer, owner_id: UserId, able: Collection[UserId], *, now_ms: int) -> bool:
    """Pass a group, whose owner cannot act, to the first heir of those who can, for the server itself; False when it is
    another's already, or none of them is in it. The owner stays as a member."""
    room = identity.one(writer)
    heir = groups.heir(writer, owner_id, able)
    if room is None or room.owner_id != owner_id or heir is None or heir not in able:
        return False
    _pass_on(writer, room, heir, by=None, reason="The owner's account is closed.", now_ms=now_ms)
    return True


def _pass_on(
    writer: Writer, room: RoomRow, heir: UserId, *, by: UserId | None, reason: str | None = None, now_ms: int
) -> None:
    room_rows.hand_over(writer, room, heir, by=by, now_ms=now_ms)
    audit.append(
        writer,
        EventType.ROOM_TRANSFERRED,
        actor_id=by,
        target=("member", heir),
        before={"owner_id": str(room.owner_id)},
        after={"owner_id": str(heir)},
        reason=reason,
        now_ms=now_ms,
    )


def set_music(
    writer: Writer, user_id: UserId, *, before: str | None, after: str | None, reason: str | None, now_ms: int
) -> None:
    """Record that the room's music changed; the link itself is stored in the directory.

    Either person of a direct chat may do this, elsewhere it needs MANAGE_ROOM. Raises NotFoundError and ForbiddenError.
    """
    member = access.open_room(writer, user_id, 0, now_ms=now_ms)
    is_direct = member.kind == "direct"
    access.open_room(
        writer, user_id, permissions.SEND_MESSAGES if is_direct else permissions.MANAGE_ROOM, now_ms=now_ms
    )
    if before == after:
        return
    was, is_now = {"music_url": before}, {"music_url": after}
    events.append(writer, EventType.ROOM_UPDATED, actor_id=user_id, payload=is_now, replaced=was, now_ms=now_ms)
    if not is_direct:
        target = ("room", int(writer.room_id))
        audit.append(
            writer, EventType.ROOM_UPDATED, actor_id=user_id, target=target, before=was, after=is_now, reason=reason,
            now_ms=now_ms,
        )  # fmt: skip
