"""Archiving of a shard's history into segments, run by the monitor: plan, cut, rewrite, trim, delete by age.

No permission is checked here: these are actions of the operator, by a policy, and each one writes an event or a row.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

import ids
from ids import ChannelId, UserId
from shard.archive import cuts, manifest, retention
from shard.archive.manifest import Segment
from shard.archive.retention import Policy
from shard.archive.segment_files import MESSAGES_MAX, Built, Edges, Piece
from shard.engine import maintenance
from shard.engine.connections import Reader, Writer
from shard.errors import NotFoundError
from shard.event_types import AuditAction, EventType
from shard.rows import Message
from shard.tables import attachments, audit, channels, counters, events, messages, portions

NEWEST_KEPT: Final = 1_000
"""Newest rows of a channel that never move: as many as unread counts examine, so that the counts do not change."""
SEGMENT_MIN: Final = 2_000
"""Old messages that a cut needs at least: each segment costs requests and a row of the manifest."""
STEP: Final = 250
"""Messages in one step of a cut at most: it blocks the room's writer for some milliseconds, as a batch of sends."""
STEP_SECONDS: Final = 0.015
"""Seconds after which a step ends early: messages may be long or have thousands of reactions, and writers wait."""
SLICE: Final = 5
"""Messages in the first slice of a step; the time that it takes decides the size of the next."""
ERASED_AT_ONCE: Final = 100
"""Messages that one step of deletion by age erases at most."""
FILES_AT_ONCE: Final = 1_000
"""Files that one step of deletion by age frees at most, before their segment is deleted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for a channel: messages with ids below `below` may move."""

    channel_id: ChannelId
    below: int
    count: int


def plan(reader: Reader, default: Policy, *, after: int, under_pressure: bool, now_ms: int) -> tuple[list[Plan], int]:
    """Return the plans for channels whose history should move, and the last channel examined, 0 at the end.

    `under_pressure` moves everything that may move, without a policy too; nothing younger than AGE_DAYS_MIN moves.
    """
    youngest = ids.at(now_ms - retention.AGE_DAYS_MIN * 86_400_000)
    if not cuts.is_told(reader, before_ms=now_ms - 3_600_000, below=youngest):
        return [], 0
    looked_at = channels.present_ids(reader, after=after, limit=manifest.PAGE_MAX)
    found = []
    for channel_id in looked_at:
        policy = retention.of_channel(reader, channel_id, default)
        days = retention.AGE_DAYS_MIN if under_pressure else policy.archive_after_days
        if policy.is_held or not days:
            continue
        age_ms = max(days, retention.AGE_DAYS_MIN) * 86_400_000 + retention.MARGIN_MS
        below = min(ids.at(now_ms - age_ms), cuts.floor(reader, channel_id, kept=NEWEST_KEPT))
        count = cuts.count_old(reader, channel_id, below=below, limit=MESSAGES_MAX)
        if count >= SEGMENT_MIN:
            found.append(Plan(channel_id, below, count))
    return found, looked_at[-1] if len(looked_at) == manifest.PAGE_MAX else 0


def may_move(reader: Reader, channel_id: ChannelId) -> bool:
    """Return whether a channel exists and neither it nor its room is on hold."""
    return channels.is_present(reader, channel_id) and not retention.of_channel(reader, channel_id, Policy()).is_held


def begin_cut(writer: Writer, channel_id: ChannelId, object_key: str, built: Built, *, now_ms: int) -> Segment | None:
    """Insert a stored segment into the manifest and move its first messages, STEP at most.

    Returns None for a channel whose messages may not move any more.
    """
    if not may_move(writer, channel_id):
        return None
    writer.use_reserve()
    first = _portion(built.pieces[:STEP])
    segment_id = manifest.insert(
        writer, channel_id, object_key, built, first_id=first[0].id, cut_id=first[0].id, now_ms=now_ms
    )
    entered = manifest.one(writer, segment_id)
    assert entered is not None
    return _steps(writer, entered, first, now_ms=now_ms)


class Reached(NamedTuple):
    """The progress of a cut, and the last event before the step: if that is unchanged, nobody else wrote in between."""

    segment: Segment
    last_seq: int


def go_on(writer: Writer, segment_id: int, pieces: Sequence[Piece], *, now_ms: int) -> Reached | None:
    """Move the next messages of a segment, as many of `pieces` as there is time for.

    Returns None when the segment is gone or its messages may not move any more.
    """
    segment = manifest.one(writer, segment_id)
    if segment is None or not may_move(writer, segment.channel_id):
        return None
    writer.use_reserve()
    left = _portion([piece for piece in pieces if piece.id > segment.cut_id])
    last_seq = events.last_seq(writer)
    return Reached(_steps(writer, segment, left, now_ms=now_ms), last_seq)


def _portion(pieces: Sequence[Piece]) -> Sequence[Piece]:
    return pieces[: portions.count(piece.text_bytes for piece in pieces)]


def _steps(writer: Writer, segment: Segment, pieces: Sequence[Piece], *, now_ms: int) -> Segment:
    """Move the first of these messages, as many as there is time for, and return the updated segment."""
    at, size, ends_at = 0, SLICE, time.monotonic() + STEP_SECONDS
    while at < len(pieces):
        began_at = time.monotonic()
        segment = _step(writer, segment, pieces[at : at + size], now_ms=now_ms)
        at += size
        now = time.monotonic()
        if now >= ends_at:
            break
        # Half of what fits, since the next messages may be heavier than the ones before.
        fitting = int(size * (ends_at - now) / max(now - began_at, 1e-6) / 2)
        size = max(1, min(fitting, size * 4))
    return segment


def _step(writer: Writer, segment: Segment, pieces: Sequence[Piece], *, now_ms: int) -> Segment:
    cuts.step(writer, segment, pieces)
    moved = manifest.one(writer, segment.id)
    assert moved is not None
    if moved.is_cut and not moved.message_count:
        manifest.remove(writer, segment.id)
    elif moved.is_cut:
        payload = _payload(moved)
        events.append(
            writer,
            EventType.HISTORY_ARCHIVED,
            actor_id=None,
            channel_id=segment.channel_id,
            payload=payload,
            now_ms=now_ms,
        )
    return moved


def _payload(segment: Segment) -> dict[str, object]:
    return {
        "first_id": str(segment.first_id), "last_id": str(segment.last_id), "message_count": segment.message_count
    }  # fmt: skip


def replace(writer: Writer, old: Segment, object_key: str, built: Built) -> bool:
    """Replace a segment by its rewritten object; False when it changed meanwhile."""
    writer.use_reserve()
    return manifest.swap(writer, old, object_key, built)


def remove_empty(writer: Writer, old: Segment) -> bool:
    """Remove a segment whose messages are all hidden from the manifest; False when it changed meanwhile."""
    now = manifest.one(writer, old.id)
    if now is None or now.hidden != old.hidden:
        return False
    writer.use_reserve()
    manifest.remove(writer, old.id)
    return True


def erase_old(writer: Writer, default: Policy, channel_id: ChannelId, *, now_ms: int) -> int:
    """Delete messages older than a channel's policy allows, oldest first; return how many messages or segments.

    Pinned messages stay. A segment is deleted when its newest message is too old.
    """
    policy = retention.of_channel(writer, channel_id, default)
    if policy.is_held or policy.delete_after_days is None:
        return 0
    writer.use_reserve()
    below = ids.at(now_ms - policy.delete_after_days * 86_400_000)
    for segment in manifest.between(writer, channel_id, None, above=0, below=below, newest_first=False):
        if segment.is_cut and segment.until_id < below:
            if not attachments.remove_archived(writer, segment.id, limit=FILES_AT_ONCE):
                _drop(writer, segment, now_ms=now_ms)
            return 1
    found = messages.oldest(writer, channel_id, below=below, limit=ERASED_AT_ONCE)
    count, ends_at = 0, time.monotonic() + STEP_SECONDS
    for at in range(0, len(found), SLICE):
        slice_ = found[at : at + SLICE]
        messages.erase(writer, slice_, actor_id=None, keeps=False, now_ms=now_ms)
        count += len(slice_)
        if time.monotonic() >= ends_at:
            break
    return count


def _drop(writer: Writer, segment: Segment, *, now_ms: int) -> None:
    """Delete a whole segment, with the files and the counts of its messages."""
    counters.uncount_segment(writer, segment.id, segment.channel_id, segment.message_count)
    manifest.remove(writer, segment.id)
    payload = _payload(segment)
    events.append(
        writer, EventType.HISTORY_DELETED, actor_id=None, channel_id=segment.channel_id, payload=payload, now_ms=now_ms
    )


def drop_deleted(writer: Writer, after_id: int) -> int | None:
    """Drop the empty rows of deleted messages in a room that needs the space, among the next rows after an id; return
    the id of the last row that was read, None at the end."""
    writer.use_reserve()
    return cuts.drop_deleted(writer, after_id)


def erase_archived(
    writer: Writer, seen: Segment, found: Sequence[Message], edges: Edges, *, actor_id: UserId, now_ms: int
) -> bool:
    """Hide messages of a segment (`seen`, as it was read) and set its new edges; False when it changed since.

    From this commit on nobody sees them; their bytes are removed when the segment is rewritten.
    """
    if manifest.one(writer, seen.id) != seen:
        return False
    writer.use_reserve()
    manifest.hide(writer, seen.id, [message.id for message in found])
    manifest.uncount(writer, seen.id, [message.thread_id for message in found], edges)
    messages.erase_archived(writer, found, actor_id=actor_id, now_ms=now_ms)
    return True


@dataclass(frozen=True, slots=True)
class Standing:
    """The sizes of a room's history: messages and bytes, live and archived, and the pending work."""

    live_messages: int
    live_bytes: int
    archived_messages: int
    stored_bytes: int
    segments: int
    hidden: int
    unfinished: int
    first_seq: int


def standing(reader: Reader) -> Standing:
    """Return the sizes of a room's history."""
    archived = manifest.totals(reader)
    live = channels.count_messages(reader) - archived.messages
    return Standing(live, maintenance.used_bytes(reader), *archived, events.first_seq(reader))


def set_policy(writer: Writer, channel_id: ChannelId, policy: Policy, *, by: UserId | None = None, now_ms: int) -> None:
    """Set the policy for old messages of a channel, or of the room with `retention.ROOM`.

    The audit log records it; `by` is None for the operator. Raises NotFoundError for a channel that does not exist.
    """
    if channel_id != retention.ROOM and not channels.is_present(writer, channel_id):
        raise NotFoundError("channel")
    before = retention.own(writer, channel_id)
    retention.put(writer, channel_id, policy)
    target = ("room", int(writer.room_id)) if channel_id == retention.ROOM else ("channel", int(channel_id))
    audit.append(
        writer, AuditAction.HISTORY_POLICY_CHANGED, actor_id=by, target=target,
        before=None if before is None else asdict(before), after=asdict(policy), now_ms=now_ms,
    )  # fmt: skip


def set_days(
    writer: Writer,
    channel_id: ChannelId,
    archive_after_days: int | None,
    delete_after_days: int | None,
    *,
    by: UserId,
    now_ms: int,
) -> Policy:
    """Set the days until messages are archived and deleted, None for the default; keep a hold; return the policy."""
    now = retention.own(writer, channel_id) or Policy()
    policy = Policy(archive_after_days, delete_after_days, now.is_held, now.hold_reason)
    set_policy(writer, channel_id, policy, by=by, now_ms=now_ms)
    return policy


def set_hold(writer: Writer, channel_id: ChannelId, reason: str | None, *, by: UserId, now_ms: int) -> Policy:
    """Put a channel or the room on hold for a reason, or with None end the hold; return the policy."""
    now = retention.own(writer, channel_id) or Policy()
    policy = Policy(now.archive_after_days, now.delete_after_days, reason is not None, reason)
    set_policy(writer, channel_id, policy, by=by, now_ms=now_ms)
    return policy


def look_over(reader: Reader) -> tuple[Standing, dict[ChannelId, Policy]]:
    """Return the sizes of a room's history and the policies for it; the room's own policy has the key ROOM."""
    return standing(reader), retention.every(reader)
