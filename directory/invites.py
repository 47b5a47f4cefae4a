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
PAGE_MAX: Final = 200


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
    """Make an invite; raises RefusedValueError for an unknown room or bounds that make no sense."""
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


async def revoke(writer: Writer, room_id: ids.RoomId, code: str, *, now_ms: int) -> bool:
    """Make an invite of this room useless; False when it was already, or is another room's."""
    row = await writer.fetch_one(
        "UPDATE invites SET revoked_at = ? WHERE code = ? AND room_id = ? AND revoked_at IS NULL RETURNING code",
        (now_ms, code, room_id),
    )
    return row is not None


async def of_room(reader: Reader, room_id: ids.RoomId, *, limit: int = PAGE_MAX) -> list[Invite]:
    """Return a room's newest invites that are not revoked, newest first, used up and expired ones too."""
    rows = await reader.fetch_all(
        "SELECT code, room_id, created_by, role_id, uses, max_uses, created_at, expires_at, revoked_at FROM invites "
        "WHERE room_id = ? AND revoked_at IS NULL ORDER BY created_at DESC LIMIT ?",
        (room_id, min(limit, PAGE_MAX)),
    )
    return [Invite(*row) for row in rows]
