"""Direct and group chats: rooms with one channel, in which people are added by hand.

A direct chat has two equal people and no owner. A group has an owner, moderators (whoever has its one role beside
everyone's) and members; it always has an owner while anybody is in it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from ids import RoleId, UserId
from shard import access, announcements, audit, events, members, permissions, rooms
from shard.access import Membership
from shard.acts import shaping
from shard.acts.shaping import ChannelDraft
from shard.channels import ChannelRow
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError
from shard.rooms import RoomRow

CHANNEL: Final = ChannelDraft("chat")

EVERYONE_IN_GROUP: Final = permissions.EVERYONE & ~permissions.CREATE_INVITE
EVERYONE_IN_DIRECT: Final = EVERYONE_IN_GROUP & ~permissions.CHANGE_NICKNAME | permissions.PIN_MESSAGES
"""Without nicknames, which would say something to somebody who wants to hear nothing."""
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
"""What moderators of a group may beyond everyone; CREATE_INVITE lets them add people, since groups have no invites."""


def found_direct(writer: Writer, opened_by: UserId, other: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Write the first rows of a direct chat: two people, of whom neither owns it, and their channel."""
    made = shaping.found_room(writer, "direct", opened_by, [CHANNEL], now_ms=now_ms)
    writer.run("UPDATE room SET owner_id = NULL")
    writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (EVERYONE_IN_DIRECT, writer.room_id))
    members.add(writer, other, now_ms=now_ms)
    return made


def found_group(writer: Writer, owner_id: UserId, others: Iterable[UserId], *, now_ms: int) -> list[ChannelRow]:
    """Write the first rows of a group: its owner and the people they chose, its channel and its moderators' role."""
    made = shaping.found_room(writer, "group", owner_id, [CHANNEL], now_ms=now_ms)
    writer.run("UPDATE roles SET permissions = ? WHERE id = ?", (EVERYONE_IN_GROUP, writer.room_id))
    writer.run(
        "INSERT INTO roles (id, name, permissions, position, created_at) VALUES (?, 'moderators', ?, 1, ?)",
        (writer.ids.next(now_ms), MODERATORS, now_ms),
    )
    for user_id in others:
        members.add(writer, user_id, now_ms=now_ms)
    return made


def may_add(reader: Reader, actor_id: UserId, user_id: UserId, *, now_ms: int) -> bool:
    """Return whether somebody is still out of a group, to one who may add them; raises as `add` does."""
    _open_group(reader, actor_id, permissions.CREATE_INVITE, now_ms=now_ms)
    return not members.is_present(reader, user_id)


def add(writer: Writer, actor_id: UserId, user_id: UserId, *, members_max: int, now_ms: int) -> bool:
    """Add somebody to a group and return whether they were out; whether they want to is the directory's to say.

    Raises NotFoundError for strangers to the group, ForbiddenError for members who are neither owner nor moderator,
    and ConflictError for a room that is no group and for a group that is full.
    """
    _open_group(writer, actor_id, permissions.CREATE_INVITE, now_ms=now_ms)
    if members.is_present(writer, user_id):
        return False
    if _count(writer, members_max) >= members_max:
        raise ConflictError(f"This group has its {members_max} people.")
    members.add(writer, user_id, now_ms=now_ms)
    audit.append(writer, "member.added", actor_id=actor_id, target=("member", user_id), now_ms=now_ms)
    announcements.post(writer, "member_added", {"user_id": str(user_id)}, actor_id, now_ms)
    return True


def _count(reader: Reader, members_max: int) -> int:
    row = reader.one("SELECT count(*) FROM (SELECT 1 FROM members WHERE left_at IS NULL LIMIT ?)", (members_max,))
    assert row is not None
    return int(row[0])


class Rank(Protocol):
    """Makes a moderator of a member, or a member of a moderator."""

    def __call__(
        self, writer: Writer, /, actor_id: UserId, user_id: UserId, *, reason: str | None, now_ms: int
    ) -> bool: ...


def promote(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None = None, now_ms: int) -> bool:
    """Make a member of one's group a moderator and return whether they were none; owners only."""
    role_id = _open_own_group(writer, actor_id, user_id, now_ms=now_ms)
    writer.run(
        "INSERT INTO member_roles (user_id, role_id, granted_by, granted_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (user_id, role_id, actor_id, now_ms),
    )
    return _note_change(writer, "member.promoted", actor_id, user_id, reason, now_ms)


def demote(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None = None, now_ms: int) -> bool:
    """Make a moderator of one's group a member again and return whether they were one; owners only."""
    role_id = _open_own_group(writer, actor_id, user_id, now_ms=now_ms)
    writer.run("DELETE FROM member_roles WHERE user_id = ? AND role_id = ?", (user_id, role_id))
    return _note_change(writer, "member.demoted", actor_id, user_id, reason, now_ms)


def _note_change(
    writer: Writer, type_: str, actor_id: UserId, user_id: UserId, reason: str | None, now_ms: int
) -> bool:
    if not writer.changed():
        return False
    events.append(writer, type_, actor_id=actor_id, payload={"user_id": str(user_id)}, now_ms=now_ms)
    audit.append(writer, type_, actor_id=actor_id, target=("member", user_id), reason=reason, now_ms=now_ms)
    return True


def _open_own_group(writer: Writer, actor_id: UserId, user_id: UserId, *, now_ms: int) -> RoleId:
    """Return the role of a group's moderators, to its owner, who acts upon another member."""
    member = _open_group(writer, actor_id, 0, now_ms=now_ms)
    if not member.is_owner:
        raise ForbiddenError("Only the owner of a group says who moderates it.", need="ownership")
    access.open_member(writer, member, user_id)
    row = writer.one("SELECT id FROM roles WHERE position = 1")
    assert row is not None
    return RoleId(row[0])


def _open_group(reader: Reader, user_id: UserId, need: int, *, now_ms: int) -> Membership:
    member = access.open_room(reader, user_id, 0, now_ms=now_ms)
    if member.kind != "group":
        raise ConflictError(
            "Only groups have this. A community is entered by invites, a direct chat has its two people."
        )
    return access.open_room(reader, user_id, need, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the directory mirrors of a group: its owner, and whether anybody is left in it."""

    owner_id: UserId
    is_empty: bool


def standing(reader: Reader) -> Standing:
    """Return how a group stands, asked by the server itself."""
    room = rooms.one(reader)
    assert room is not None
    assert room.owner_id is not None
    return Standing(room.owner_id, _count(reader, 1) == 0)


def leave(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone out of a group and return whether they were in.

    Ownership passes to the moderator who is there longest, else to the member who is.
    """
    room = rooms.one(writer)
    assert room is not None
    if not members.is_present(writer, user_id):
        return False
    if room.owner_id == user_id:
        _pass_on(writer, room, now_ms=now_ms)
    members.remove(writer, user_id, now_ms=now_ms)
    return True


def _pass_on(writer: Writer, room: RoomRow, *, now_ms: int) -> None:
    row = writer.one(
        "SELECT m.user_id FROM members m LEFT JOIN member_roles mr ON mr.user_id = m.user_id "
        "WHERE m.left_at IS NULL AND m.user_id <> ? ORDER BY mr.user_id IS NULL, m.joined_at, m.user_id LIMIT 1",
        (room.owner_id,),
    )
    if row is None:
        return
    heir = UserId(row[0])
    rooms.hand_over(writer, room, heir, now_ms=now_ms)
    audit.append(
        writer,
        "room.transferred",
        actor_id=room.owner_id,
        target=("member", heir),
        before={"owner_id": str(room.owner_id)},
        after={"owner_id": str(heir)},
        now_ms=now_ms,
    )


def set_music(
    writer: Writer, user_id: UserId, *, before: str | None, after: str | None, reason: str | None, now_ms: int
) -> None:
    """Note that the room's music changed; the link itself is the directory's.

    Either person of a direct chat may, elsewhere it needs MANAGE_ROOM. Raises NotFoundError and ForbiddenError.
    """
    member = access.open_room(writer, user_id, 0, now_ms=now_ms)
    is_direct = member.kind == "direct"
    access.open_room(
        writer, user_id, permissions.SEND_MESSAGES if is_direct else permissions.MANAGE_ROOM, now_ms=now_ms
    )
    if before == after:
        return
    was, is_now = {"music_url": before}, {"music_url": after}
    events.append(writer, "room.updated", actor_id=user_id, payload=is_now, replaced=was, now_ms=now_ms)
    if not is_direct:
        target = ("room", int(writer.room_id))
        audit.append(
            writer, "room.updated", actor_id=user_id, target=target, before=was, after=is_now, reason=reason,
            now_ms=now_ms,
        )  # fmt: skip
