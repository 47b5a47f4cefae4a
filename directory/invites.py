"""Rows of `invites`: a code of 96 random bits lets its holder into a room, for a time or a number of uses.

One statement checks and counts a use, so that a one-use invite admits one person, even if many try at the same time.
"""

import secrets
from dataclasses import dataclass
from typing import Final

import ids
from directory import errors
from directory.database import Reader, Writer

CODE_BYTES: Final = 12
"""Random bytes of an invite's code."""
PER_ROOM_MAX: Final = 1_000
"""Discord's bound on the invites of one room that work: a list of all of them is one answer. Beyond it 409."""
PER_MEMBER_MAX: Final = 50
"""Invites of one member in one room, so that no member uses up the room's. Beyond it 409."""


@dataclass(frozen=True, slots=True)
class Invite:
    """One invite; None means without that bound. Times in milliseconds UTC."""

    code: str
    room_id: ids.RoomId
    created_by: ids.UserId
    role_id: ids.RoleId | None
    uses: int
    max_uses: int | None
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def is_usable(self, now_ms: int) -> bool:
        """Return whether a use would be accepted now."""
        return (
            self.revoked_at is None
            and (self.expires_at is None or now_ms < self.expires_at)
            and (self.max_uses is None or self.uses < self.max_uses)
        )


async def create(
    writer: Writer,
    room_id: ids.RoomId,
    *,
    by: ids.UserId,
    now_ms: int,
    role_id: ids.RoleId | None = None,
    max_uses: int | None = None,
    expires_at: int | None = None,
) -> Invite:
    """Make an invite; raises TooManyInvitesError, and ConstraintError for an unknown room or impossible bounds."""
    await _make_space(writer, room_id, by, now_ms)
    invite = Invite(
        code=secrets.token_urlsafe(CODE_BYTES),
        room_id=room_id,
        created_by=by,
        role_id=role_id,
        uses=0,
        max_uses=max_uses,
        created_at=now_ms,
        expires_at=expires_at,
        revoked_at=None,
    )
    await writer.execute(
        "INSERT INTO invites (code, room_id, created_by, role_id, max_uses, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (invite.code, room_id, by, role_id, max_uses, now_ms, expires_at),
    )
    return invite


async def _make_space(writer: Writer, room_id: ids.RoomId, by: ids.UserId, now_ms: int) -> None:
    """Delete the room's invites that can never work again; raises TooManyInvitesError when the others are at the limit.

    One that is used up stays: a use may be returned.
    """
    await writer.execute(
        "DELETE FROM invites WHERE room_id = ? AND (revoked_at IS NOT NULL OR expires_at <= ?)", (room_id, now_ms)
    )
    row = await writer.fetch_one(
        "SELECT count(*), coalesce(sum(created_by = ?), 0) FROM invites "
        "WHERE room_id = ? AND (max_uses IS NULL OR uses < max_uses)",
        (by, room_id),
    )
    assert row is not None
    if row[1] >= PER_MEMBER_MAX:
        raise errors.TooManyInvitesError(PER_MEMBER_MAX, is_own=True)
    if row[0] >= PER_ROOM_MAX:
        raise errors.TooManyInvitesError(PER_ROOM_MAX, is_own=False)


async def look_at(reader: Reader, code: str, *, now_ms: int) -> Invite:
    """Return an invite that could be used now, without using it; raises InviteNotUsableError."""
    row = await reader.fetch_one(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE code = ?",
        (code,),
    )
    invite = None if row is None else Invite(*row)
    if invite is None or not invite.is_usable(now_ms):
        raise errors.InviteNotUsableError
    return invite


async def use(writer: Writer, code: str, *, now_ms: int) -> Invite:
    """Count one use and return the invite as it is then; raises InviteNotUsableError."""
    row = await writer.fetch_one(
        "UPDATE invites SET uses = uses + 1 WHERE code = ? AND revoked_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > ?) AND (max_uses IS NULL OR uses < max_uses) "
        "RETURNING code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at",
        (code, now_ms),
    )
    if row is None:
        raise errors.InviteNotUsableError
    return Invite(*row)


async def give_back(writer: Writer, code: str) -> None:
    """Return one use that admitted nobody: the shard refused, or the user was a member already."""
    await writer.execute("UPDATE invites SET uses = uses - 1 WHERE code = ? AND uses > 0", (code,))


async def revoke(writer: Writer, code: str, *, now_ms: int) -> bool:
    """Revoke an invite; False when it was revoked already."""
    row = await writer.fetch_one(
        "UPDATE invites SET revoked_at = ? WHERE code = ? AND revoked_at IS NULL RETURNING code", (now_ms, code)
    )
    return row is not None


async def usable_codes(reader: Reader, room_id: ids.RoomId, by: ids.UserId, *, now_ms: int) -> list[str]:
    """Return the codes of a member's invites that work, or would if a use were given back."""
    rows = await reader.fetch_all(
        "SELECT code FROM invites WHERE room_id = ? AND created_by = ? AND revoked_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > ?) ORDER BY created_at",
        (room_id, by, now_ms),
    )
    return [row[0] for row in rows]


async def revoke_of_maker(writer: Writer, room_id: ids.RoomId, by: ids.UserId, *, now_ms: int) -> None:
    """Make all invites of somebody in a room useless: they are in it no more."""
    await writer.execute(
        "UPDATE invites SET revoked_at = ? WHERE room_id = ? AND created_by = ? AND revoked_at IS NULL",
        (now_ms, room_id, by),
    )


async def refuse_barred_maker(reader: Reader, invite: Invite, *, now_ms: int) -> None:
    """Raise InviteNotUsableError for an invite of somebody who may not act on this server."""
    row = await reader.fetch_one(
        "SELECT 1 FROM users u WHERE u.id = ?1 AND u.status = 'active' AND NOT EXISTS (SELECT 1 FROM global_bans b "
        "WHERE b.user_id = u.id AND (b.expires_at IS NULL OR b.expires_at > ?2))",
        (invite.created_by, now_ms),
    )
    if row is None:
        raise errors.InviteNotUsableError


async def find(reader: Reader, room_id: ids.RoomId, code: str) -> Invite | None:
    """Return an invite of this room, whether it works or not; None for all others."""
    row = await reader.fetch_one(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE code = ? AND room_id = ?",
        (code, room_id),
    )
    return None if row is None else Invite(*row)


async def of_room(reader: Reader, room_id: ids.RoomId, *, by: ids.UserId | None = None, now_ms: int) -> list[Invite]:
    """Return a room's usable invites, newest first: everybody's, or those that one member made."""
    rows = await reader.fetch_all(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE room_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) "
        "AND (max_uses IS NULL OR uses < max_uses) AND (? IS NULL OR created_by = ?) ORDER BY created_at DESC LIMIT ?",
        (room_id, now_ms, by, by, PER_ROOM_MAX),
    )
    return [Invite(*row) for row in rows]
