"""Rows of `invites`: a code of 96 random bits lets its holder into a room, for a time or a number of uses.

A use is counted by one statement that also checks it, so that a one-use invite lets one person in, however many try.
"""

import secrets
from dataclasses import dataclass
from typing import Final

import ids
from directory import errors
from directory.database import Reader, Writer

CODE_BYTES: Final = 12
PER_ROOM_MAX: Final = 1_000
"""Discord's bound on the invites of one room that work: a list of all of them is one answer."""
PER_MEMBER_MAX: Final = 50
"""Of one member in one room, so that nobody uses up the room's."""


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
        """Say whether a use would be let through now."""
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
    """Make an invite; raises TooManyInvitesError, and RefusedValueError for an unknown room or senseless bounds."""
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
    """Forget the room's invites that will never work again, and refuse one more than it may have of the others.

    One that is used up stays: a use may be given back.
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
    """Take back one use that let nobody in: the shard refused, or the user was a member already."""
    await writer.execute("UPDATE invites SET uses = uses - 1 WHERE code = ? AND uses > 0", (code,))


async def revoke(writer: Writer, code: str, *, now_ms: int) -> bool:
    """Make an invite useless; False when it was already."""
    row = await writer.fetch_one(
        "UPDATE invites SET revoked_at = ? WHERE code = ? AND revoked_at IS NULL RETURNING code", (now_ms, code)
    )
    return row is not None


async def find(reader: Reader, room_id: ids.RoomId, code: str) -> Invite | None:
    """Return an invite of this room, whether it works or not; None for all others."""
    row = await reader.fetch_one(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE code = ? AND room_id = ?",
        (code, room_id),
    )
    return None if row is None else Invite(*row)


async def of_room(reader: Reader, room_id: ids.RoomId, *, by: ids.UserId | None = None, now_ms: int) -> list[Invite]:
    """Return a room's invites that work, newest first: everybody's, or those that one member made."""
    rows = await reader.fetch_all(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE room_id = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?) "
        "AND (max_uses IS NULL OR uses < max_uses) AND (? IS NULL OR created_by = ?) ORDER BY created_at DESC LIMIT ?",
        (room_id, now_ms, by, by, PER_ROOM_MAX),
    )
    return [Invite(*row) for row in rows]
