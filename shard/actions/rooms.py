"""Rooms: first rows, settings, owner, closing, system channel and audit log.

The name and the other settings of a room are stored in the directory, which the shard does not know: this module checks
the permission for a change, and records the change in the log.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ids import ChannelId, UserId
from shard import access, permissions
from shard.access import Membership
from shard.actions import channels
from shard.actions.channels import ChannelDraft
from shard.engine import identity
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.event_types import AuditAction, EventType
from shard.tables import audit, events, members, system_messages
from shard.tables import room as room_rows
from shard.tables.audit import Entry, Filter
from shard.tables.channels import ChannelRow

DEFAULT_CHANNELS = (
    ChannelDraft("general", description="Talk about anything."),
    ChannelDraft("announcements", type="announcement", description="News of this community."),
    ChannelDraft("voice", type="voice"),
)


def found_room(
    writer: Writer, kind: str, owner_id: UserId, drafts: Sequence[ChannelDraft], *, now_ms: int
) -> list[ChannelRow]:
    """Write the first rows of a new room: its owner, its everyone role and its channels."""
    room_rows.found(writer, kind, owner_id, now_ms=now_ms)
    made = [channels.insert_channel(writer, draft, None, owner_id, now_ms) for draft in drafts]
    system_messages.choose_first(writer)
    return made


def may_manage(reader: Reader, user_id: UserId, *, now_ms: int) -> Membership:
    """Return a member who may change the room's settings and everybody's invites; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.MANAGE_ROOM, now_ms=now_ms)


def manages(member: Membership) -> bool:
    """Return whether a member has the permission that `may_manage` checks."""
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
    """Record the settings that a member changed.

    `may_manage` checked the permission before the directory was changed: it is too late to refuse now.
    """
    events.append(writer, EventType.ROOM_UPDATED, actor_id=actor_id, payload=after, replaced=before, now_ms=now_ms)
    audit.append(
        writer, EventType.ROOM_UPDATED, actor_id=actor_id, target=("room", writer.room_id), before=before, after=after,
        reason=reason, now_ms=now_ms,
    )  # fmt: skip


def record_invite(
    writer: Writer,
    actor_id: UserId | None,
    action: AuditAction,
    target: audit.Target,
    facts: Mapping[str, Any],
    *,
    reason: str | None = None,
    now_ms: int,
) -> None:
    """Record an action on an invite, which the directory stores.

    `invite.created` is for an invite that grants a role, `invite.revoked` for one of somebody else,
    and by the server itself (None) for those of a user who is no longer a member.
    """
    if actor_id is None:
        writer.use_reserve()
    audit.append(writer, action, actor_id=actor_id, target=target, after=facts, reason=reason, now_ms=now_ms)


def may_hand_over(reader: Reader, actor_id: UserId, user_id: UserId, *, now_ms: int) -> None:
    """Raise ForbiddenError for all except the owner, and NotFoundError for a new owner who is not in the room."""
    _open_owner(reader, actor_id, now_ms)
    if not members.is_present(reader, user_id):
        raise NotFoundError("member")


def hand_over(writer: Writer, actor_id: UserId, user_id: UserId, *, reason: str | None, now_ms: int) -> bool:
    """Make another member the owner; False when they already are. Raises as `may_hand_over`."""
    may_hand_over(writer, actor_id, user_id, now_ms=now_ms)
    if user_id == actor_id:
        return False
    room = identity.one(writer)
    assert room is not None
    room_rows.hand_over(writer, room, user_id, by=actor_id, now_ms=now_ms)
    audit.append(
        writer,
        EventType.ROOM_TRANSFERRED,
        actor_id=actor_id,
        target=("member", user_id),
        before={"owner_id": str(actor_id)},
        after={"owner_id": str(user_id)},
        reason=reason,
        now_ms=now_ms,
    )
    return True


def owner(reader: Reader) -> UserId | None:
    """Return the owner of the room, for the server itself."""
    room = identity.one(reader)
    return None if room is None else room.owner_id


def close(writer: Writer, actor_id: UserId, *, reason: str | None, now_ms: int) -> None:
    """Record that the owner closes the room; raises ForbiddenError for all others."""
    _open_owner(writer, actor_id, now_ms)
    _record_end(writer, actor_id, reason, now_ms)


def close_as_admin(writer: Writer, actor_id: UserId, *, reason: str | None, now_ms: int) -> None:
    """Record that an administrator of the site closes the room, whom the caller has checked."""
    _record_end(writer, actor_id, reason, now_ms)


def _record_end(writer: Writer, actor_id: UserId, reason: str | None, now_ms: int) -> None:
    writer.use_reserve()
    events.append(writer, EventType.ROOM_DELETED, actor_id=actor_id, now_ms=now_ms)
    target = ("room", int(writer.room_id))
    audit.append(writer, EventType.ROOM_DELETED, actor_id=actor_id, target=target, reason=reason, now_ms=now_ms)


def _open_owner(reader: Reader, user_id: UserId, now_ms: int) -> Membership:
    member = access.open_room(reader, user_id, 0, now_ms=now_ms)
    if not member.is_owner:
        raise ForbiddenError("Only the owner of the room may do this.", need="ownership")
    return member


def read_audit(
    reader: Reader, user_id: UserId, wanted: Filter, *, before: int | None, limit: int, now_ms: int
) -> list[Entry]:
    """Return a page of the audit log, newest first, without actions in channels that the member does not see."""
    access.open_room(reader, user_id, permissions.VIEW_AUDIT_LOG, now_ms=now_ms)
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    return audit.page(reader, sight, wanted, before=before, limit=limit)


def get_channel(reader: Reader, user_id: UserId, *, now_ms: int) -> ChannelId | None:
    """Return the room's system channel, None if it has none or if the member does not see it."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    channel_id = system_messages.channel_id(reader)
    return channel_id if channel_id in sight.channels else None


def choose_channel(
    writer: Writer, user_id: UserId, channel_id: ChannelId | None, *, reason: str | None = None, now_ms: int
) -> None:
    """Make a channel the room's system channel, or remove it with None; needs MANAGE_ROOM.

    Raises NotFoundError for a channel that the member does not see, ConflictError for a voice channel.
    """
    access.open_room(writer, user_id, permissions.MANAGE_ROOM, now_ms=now_ms)
    if channel_id is not None and access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms).type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    before = system_messages.channel_id(writer)
    if before == channel_id:
        return
    system_messages.choose(writer, channel_id)
    # The event names only one channel and goes to members who see it: they need not see the other one.
    concerned = channel_id or before
    assert concerned is not None
    events.append(
        writer, EventType.ROOM_UPDATED, actor_id=user_id, channel_id=concerned, payload=_facts(channel_id),
        replaced=_facts(before), now_ms=now_ms,
    )  # fmt: skip
    audit.append(
        writer, EventType.ROOM_UPDATED, actor_id=user_id, target=("channel", concerned),
        after={"is_system_channel": channel_id is not None}, reason=reason, now_ms=now_ms,
    )  # fmt: skip


def _facts(channel_id: ChannelId | None) -> dict[str, str | None]:
    return {"system_channel_id": None if channel_id is None else str(channel_id)}
