"""Moderation: kicks, bans, time-outs and nicknames, each with its row in the audit log.

Nobody acts on themselves or on members of an equal or higher rank (`access.open_member`).
"""

from dataclasses import replace

from ids import UserId
from shard import access, permissions
from shard.access import Membership
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import AuditAction, EventType
from shard.tables import audit, bans, members, messages
from shard.tables.bans import Ban
from shard.tables.members import Member


def kick(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """Remove a member, who may join again; False for a user who is not a member."""
    actor = access.open_room(writer, actor_id, permissions.KICK_MEMBERS, now_ms=now_ms)
    if not members.is_present(writer, user_id):
        return False
    target = access.open_member(writer, actor, user_id)
    role_ids = members.remove(writer, target.user_id, kicked_by=actor_id, now_ms=now_ms)
    before = {"role_ids": [str(role_id) for role_id in role_ids or ()]}
    audit.append(
        writer, EventType.MEMBER_KICKED, actor_id=actor_id, target=("member", user_id), before=before, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
    return True


def may_ban(reader: Reader, user_id: UserId, *, now_ms: int) -> Membership:
    """Return a member who may ban; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.BAN_MEMBERS, now_ms=now_ms)


def ban(writer: Writer, actor_id: UserId, ban: Ban, *, now_ms: int) -> Ban:
    """Ban a user until the ban ends, and remove them if they are a member; return the ban that holds then.

    A new ban of a banned user replaces the old one; if both are the same, nothing changes.
    """
    actor = access.open_room(writer, actor_id, permissions.BAN_MEMBERS, now_ms=now_ms)
    if members.is_present(writer, ban.user_id):
        access.open_member(writer, actor, ban.user_id)
    before = bans.holding(writer, ban.user_id, now_ms=now_ms)
    if before is not None and replace(ban, banned_by=before.banned_by, banned_at=before.banned_at) == before:
        return before
    members.remove(writer, ban.user_id, now_ms=now_ms)
    bans.put(writer, ban)
    audit.append(
        writer,
        EventType.MEMBER_BANNED,
        actor_id=actor_id,
        target=("member", ban.user_id),
        before=None if before is None else {"reason": before.reason, "expires_at": before.expires_at},
        after={"expires_at": ban.expires_at},
        reason=ban.reason,
        now_ms=now_ms,
    )
    return ban


def erase_recent(writer: Writer, actor_id: UserId, user_id: UserId, *, since_ms: int, now_ms: int) -> int:
    """Erase a banned person's messages since a time, in all channels, and return their number.

    One call erases as many as fit into one transaction: repeat it until it returns 0, which it also does without a ban.
    """
    may_ban(writer, actor_id, now_ms=now_ms)
    if bans.holding(writer, user_id, now_ms=now_ms) is None:
        return 0
    count = messages.erase_recent(writer, user_id, since_ms=since_ms, actor_id=actor_id, now_ms=now_ms)
    if count:
        # Their number would reveal channels that not every reader of the audit log sees.
        target, after = ("member", user_id), {"since_at": since_ms}
        audit.append(
            writer, AuditAction.MEMBER_MESSAGES_ERASED, actor_id=actor_id, target=target, after=after, now_ms=now_ms
        )
    return count


def unban(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """End a ban; False when there was none."""
    access.open_room(writer, actor_id, permissions.BAN_MEMBERS, now_ms=now_ms)
    before = bans.holding(writer, user_id, now_ms=now_ms)
    if before is None:
        return False
    bans.lift(writer, before, by=actor_id, now_ms=now_ms)
    facts = {"reason": before.reason, "expires_at": before.expires_at}
    audit.append(
        writer, EventType.MEMBER_UNBANNED, actor_id=actor_id, target=("member", user_id), before=facts, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
    return True


def list_bans(reader: Reader, user_id: UserId, *, after: UserId | None, limit: int, now_ms: int) -> list[Ban]:
    """Return the bans that hold now, by the banned user's id, for a member who may ban."""
    member = may_ban(reader, user_id, now_ms=now_ms)
    return bans.page(reader, member, after=after, limit=limit, now_ms=now_ms)


def time_out(
    writer: Writer, actor_id: UserId, user_id: UserId, until: int | None, *, reason: str | None, now_ms: int
) -> Member:
    """Put a member in a time-out until a moment (milliseconds UTC), or with None end it; return the updated member.

    Raises ConflictError for an administrator of the room, on whom a time-out has no effect.
    """
    actor = access.open_room(writer, actor_id, permissions.TIME_OUT_MEMBERS, now_ms=now_ms)
    target = access.open_member(writer, actor, user_id)
    if until is not None and access.open_room(writer, user_id, 0, now_ms=now_ms).may(permissions.ADMINISTRATOR):
        raise ConflictError("An administrator cannot be timed out: take the role from them first.")
    member = members.find(writer, actor, user_id)
    before = member.timed_out_until
    if before is not None and before <= now_ms:
        before = None
    if until == before:
        return member
    members.time_out(writer, target, until, by=actor_id, now_ms=now_ms)
    audit.append(
        writer,
        EventType.MEMBER_TIMED_OUT,
        actor_id=actor_id,
        target=("member", user_id),
        before={"timed_out_until": before},
        after={"timed_out_until": until},
        reason=reason,
        now_ms=now_ms,
    )
    return replace(member, timed_out_until=until)


def rename(
    writer: Writer, actor_id: UserId, user_id: UserId, nickname: str | None, *, reason: str | None, now_ms: int
) -> Member:
    """Change the nickname of a member, the actor or another one; None removes it."""
    is_own = actor_id == user_id
    need = permissions.CHANGE_NICKNAME if is_own else permissions.MANAGE_NICKNAMES
    actor = access.open_room(writer, actor_id, need, now_ms=now_ms)
    if not is_own:
        access.open_member(writer, actor, user_id)
    member = members.find(writer, actor, user_id)
    if member.nickname == nickname:
        return member
    members.rename(writer, member, nickname, by=actor_id, now_ms=now_ms)
    if not is_own:
        audit.append(
            writer,
            EventType.MEMBER_RENAMED,
            actor_id=actor_id,
            target=("member", user_id),
            before={"nickname": member.nickname},
            after={"nickname": nickname},
            reason=reason,
            now_ms=now_ms,
        )
    return replace(member, nickname=nickname)
