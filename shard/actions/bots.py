"""Addition and removal of bots. The directory decides whether a user is a bot and may be added."""

from ids import UserId
from shard import access, permissions
from shard.actions import members as member_actions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import AuditAction
from shard.tables import audit, bans, members


def may_manage_bots(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return a member who may add bots and remove them; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.MANAGE_ROOM, now_ms=now_ms)


def add_bot(writer: Writer, user_id: UserId, bot_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """Add a bot and return whether it was not a member before; raises ConflictError for a banned one."""
    may_manage_bots(writer, user_id, now_ms=now_ms)
    if bans.holding(writer, bot_id, now_ms=now_ms) is not None:
        raise ConflictError("This bot is banned from this room. Lift the ban first.")
    is_new = member_actions.join(writer, bot_id, now_ms=now_ms)
    if is_new:
        audit.append(
            writer, AuditAction.BOT_ADDED, actor_id=user_id, target=("member", bot_id), reason=reason, now_ms=now_ms
        )
    return is_new


def remove_bot(writer: Writer, user_id: UserId, bot_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """Remove a bot and return whether it was a member; raises ForbiddenError unless its highest role is lower."""
    member = may_manage_bots(writer, user_id, now_ms=now_ms)
    if not members.is_present(writer, bot_id):
        return False
    access.open_member(writer, member, bot_id)
    role_ids = members.remove(writer, bot_id, kicked_by=user_id, now_ms=now_ms)
    before = {"role_ids": [str(role_id) for role_id in role_ids or ()]}
    target = ("member", bot_id)
    audit.append(
        writer, AuditAction.BOT_REMOVED, actor_id=user_id, target=target, before=before, reason=reason, now_ms=now_ms
    )
    return True
