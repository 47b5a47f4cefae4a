"""What the monitor does to a shard when history moves into segments: plan, cut, rewrite, trim, delete by age.

Nobody asks for permission here: these acts are the operator's, by a policy, and every one leaves an event or a row.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

import ids
from ids import ChannelId, UserId
from shard import audit, cuts, events, messages, policies, segments
from shard.connections import Reader, Writer
from shard.errors import NotFoundError
from shard.policies import Policy
from shard.rows import Message
from shard.segment_files import MESSAGES_MAX, Built, Edges, Piece
from shard.segments import Segment

NEWEST_KEPT: Final = 1_000
"""Rows of a channel that never move: as many as unread counts look at, so that these stay what they were."""
SEGMENT_MIN: Final = 2_000
"""Fewer old messages wait for more: a segment has its price in requests and in the manifest."""
STEP: Final = 250
"""Messages of one step of a cut: it holds the room for some milliseconds, as a batch of sends does."""
STEP_SECONDS: Final = 0.015
"""After which a step ends early, as messages may be long or have thousands of reactions: the room's writers wait."""
SLICE: Final = 5
"""Messages that a step begins with; it takes more together as fast as these went."""
ERASED_AT_ONCE: Final = 100
"""Messages that one step of deletion by age erases at most."""
FILES_AT_ONCE: Final = 1_000
"""Files that one step of it lets go of, before their segment goes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in a channel: messages with ids below `below` may move."""

    channel_id: ChannelId
    below: int
    count: int


def plan(reader: Reader, default: Policy, *, after: int, under_pressure: bool, now_ms: int) -> tuple[list[Plan], int]:
    """Return in which of the room's channels history is to move, and the last channel looked at, 0 at the end.

    `under_pressure` moves all that may, also where no policy asks for it; nothing younger than AGE_DAYS_MIN moves.
    """
    youngest = ids.at(now_ms - policies.AGE_DAYS_MIN * 86_400_000)
    if not cuts.is_told(reader, before_ms=now_ms - 3_600_000, below=youngest):
        return [], 0
    rows = reader.all(
        "SELECT id FROM channels WHERE id > ? AND deleted_at IS NULL ORDER BY id LIMIT ?", (after, segments.PAGE_MAX)
    )
    found = []
    for (channel_id,) in rows:
        policy = policies.of_channel(reader, channel_id, default)
        days = policies.AGE_DAYS_MIN if under_pressure else policy.archive_after_days
        if policy.is_held or not days:
            continue
        age_ms = max(days, policies.AGE_DAYS_MIN) * 86_400_000 + policies.MARGIN_MS
        below = min(ids.at(now_ms - age_ms), cuts.floor(reader, channel_id, kept=NEWEST_KEPT))
        count = cuts.count_old(reader, channel_id, below=below, limit=MESSAGES_MAX)
        if count >= SEGMENT_MIN:
            found.append(Plan(channel_id, below, count))
    return found, rows[-1][0] if len(rows) == segments.PAGE_MAX else 0


def channel_ids(reader: Reader) -> list[ChannelId]:
    """Return the room's channels."""
    return [row[0] for row in reader.all("SELECT id FROM channels WHERE deleted_at IS NULL ORDER BY id")]


def may_move(reader: Reader, channel_id: ChannelId) -> bool:
    """Tell whether a channel is there, and neither it nor its room is held."""
    row = reader.one("SELECT 1 FROM channels WHERE id = ? AND deleted_at IS NULL", (channel_id,))
    return row is not None and not policies.of_channel(reader, channel_id, Policy()).is_held


def begin_cut(writer: Writer, channel_id: ChannelId, object_key: str, built: Built, *, now_ms: int) -> Segment | None:
    """Enter a stored segment and move its first messages, STEP at most; None for a channel that may not be moved any
    more."""
    if not may_move(writer, channel_id):
        return None
    first = built.pieces[:STEP]
    segment_id = segments.insert(
        writer, channel_id, object_key, built, first_id=first[0].id, cut_id=first[0].id, now_ms=now_ms
    )
    entered = segments.one(writer, segment_id)
    assert entered is not None
    return _steps(writer, entered, first, now_ms=now_ms)


class Reached(NamedTuple):
    """How far a cut has come, and the last event before it: who finds the same as a step before, is alone."""

    segment: Segment
    last_seq: int


def go_on(writer: Writer, segment_id: int, pieces: Sequence[Piece], *, now_ms: int) -> Reached | None:
    """Move the next messages of a segment, as many of `pieces` as there is time for; None when it is gone or may not be
    moved any more."""
    segment = segments.one(writer, segment_id)
    if segment is None or not may_move(writer, segment.channel_id):
        return None
    left = [piece for piece in pieces if piece.id > segment.cut_id]
    last_seq = events.last_seq(writer)
    return Reached(_steps(writer, segment, left, now_ms=now_ms), last_seq)


def _steps(writer: Writer, segment: Segment, pieces: Sequence[Piece], *, now_ms: int) -> Segment:
    """Move the first of these messages, as many as there is time for, and return the segment as it is then."""
    at, size, ends_at = 0, SLICE, time.monotonic() + STEP_SECONDS
    while at < len(pieces):
        began_at = time.monotonic()
        segment = _step(writer, segment, pieces[at : at + size], now_ms=now_ms)
        at += size
        now = time.monotonic()
        if now >= ends_at:
            break
        # Half of what fits: what comes may be heavier than what was.
        fitting = int(size * (ends_at - now) / max(now - began_at, 1e-6) / 2)
        size = max(1, min(fitting, size * 4))
    return segment


def _step(writer: Writer, segment: Segment, pieces: Sequence[Piece], *, now_ms: int) -> Segment:
    cuts.step(writer, segment, pieces)
    moved = segments.one(writer, segment.id)
    assert moved is not None
    if moved.is_cut and not moved.message_count:
        segments.remove(writer, segment.id)
    elif moved.is_cut:
        payload = _told(moved)
        events.append(
            writer, "history.archived", actor_id=None, channel_id=segment.channel_id, payload=payload, now_ms=now_ms
        )
    return moved


def _told(segment: Segment) -> dict[str, object]:
    return {
        "first_id": str(segment.first_id), "last_id": str(segment.last_id), "message_count": segment.message_count
    }  # fmt: skip


def replace(writer: Writer, old: Segment, object_key: str, built: Built) -> bool:
    """Put the rewritten object of a segment in its place; False when it changed meanwhile."""
    return segments.swap(writer, old, object_key, built)


def remove_empty(writer: Writer, old: Segment) -> bool:
    """Take a segment of which everything is hidden out of the manifest; False when it changed meanwhile."""
    now = segments.one(writer, old.id)
    if now is None or now.hidden != old.hidden:
        return False
    segments.remove(writer, old.id)
    return True


def erase_old(writer: Writer, default: Policy, channel_id: ChannelId, *, now_ms: int) -> int:
    """Delete what a channel's policy keeps no longer, oldest first; return how many messages or segments that were.

    Pinned messages stay. A segment goes when its newest message is too old.
    """
    policy = policies.of_channel(writer, channel_id, default)
    if policy.is_held or policy.delete_after_days is None:
        return 0
    below = ids.at(now_ms - policy.delete_after_days * 86_400_000)
    for segment in segments.between(writer, channel_id, None, above=0, below=below, newest_first=False):
        if segment.is_cut and segment.until_id < below:
            if not _let_files_go(writer, segment):
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


def _let_files_go(writer: Writer, segment: Segment) -> bool:
    """Let go of files of a segment that is to be deleted, and tell whether there may be more."""
    writer.run(
        "DELETE FROM archived_attachments WHERE id IN "
        "(SELECT id FROM archived_attachments WHERE segment_id = ? LIMIT ?)",
        (segment.id, FILES_AT_ONCE),
    )
    return writer.changed() == FILES_AT_ONCE


def _drop(writer: Writer, segment: Segment, *, now_ms: int) -> None:
    """Delete a whole segment, with the files and the counts of its messages."""
    writer.run(
        "UPDATE threads SET message_count = max(message_count - (SELECT message_count FROM segment_threads t "
        "WHERE t.thread_id = threads.id AND t.segment_id = ?1), 0) "
        "WHERE id IN (SELECT thread_id FROM segment_threads WHERE segment_id = ?1)",
        (segment.id,),
    )
    writer.run(
        "UPDATE channels SET message_count = max(message_count - ?, 0) WHERE id = ?",
        (segment.message_count, segment.channel_id),
    )
    segments.remove(writer, segment.id)
    payload = _told(segment)
    events.append(
        writer, "history.deleted", actor_id=None, channel_id=segment.channel_id, payload=payload, now_ms=now_ms
    )


def erase_archived(
    writer: Writer, seen: Segment, found: Sequence[Message], edges: Edges, *, actor_id: UserId, now_ms: int
) -> bool:
    """Take messages out of a segment, as it was seen, with the edges that are left; False when it changed since.

    Their object goes when the segment is rewritten; nobody is shown them from this commit on.
    """
    if segments.one(writer, seen.id) != seen:
        return False
    segments.hide(writer, seen.id, [message.id for message in found])
    segments.uncount(writer, seen.id, [message.thread_id for message in found], edges)
    messages.erase_moved(writer, found, actor_id=actor_id, now_ms=now_ms)
    return True


def vacuum(writer: Writer, *, pages: int) -> bool:
    """Give some of the file's free pages back, and return whether there may be more."""
    row = writer.one("SELECT freelist_count FROM pragma_freelist_count")
    writer.all(f"PRAGMA incremental_vacuum({pages})")
    return row is not None and int(row[0]) > pages


def merge_index(writer: Writer, *, pages: int, is_first: bool) -> bool:
    """Tidy the search index up after deletions, a little; `is_first` begins with all of it. Tell whether there is more.

    FTS5 keeps what was deleted until it merges (sqlite.org/fts5.html, 6.6 and 6.9).
    """
    before = writer.changed_in_all()
    writer.run("INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?)", (-pages if is_first else pages,))
    return writer.changed_in_all() - before >= 2


def used_bytes(reader: Reader) -> int:
    """Return how many bytes of the room's file are in use."""
    row = reader.one(
        "SELECT ((SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count)) "
        "* (SELECT page_size FROM pragma_page_size)"
    )
    assert row is not None
    return int(row[0])


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a room's history is where: messages and bytes, and what waits to be done."""

    live_messages: int
    live_bytes: int
    archived_messages: int
    stored_bytes: int
    segments: int
    hidden: int
    unfinished: int
    first_seq: int


def standing(reader: Reader) -> Standing:
    """Return how much of a room's history is where."""
    row = reader.one(
        "SELECT (SELECT coalesce(sum(message_count), 0) FROM channels WHERE deleted_at IS NULL), "
        "coalesce(sum(message_count), 0), coalesce(sum(size_bytes), 0), count(*), coalesce(sum(hidden_count), 0), "
        "coalesce(sum(cut_id < until_id), 0) FROM segments"
    )
    assert row is not None
    every, archived, stored, count, hidden, unfinished = row
    first = events.first_seq(reader)
    return Standing(every - archived, used_bytes(reader), archived, stored, count, hidden, unfinished, first)


def set_policy(writer: Writer, channel_id: ChannelId, policy: Policy, *, by: UserId | None = None, now_ms: int) -> None:
    """Write what becomes of old messages of a channel, or with `policies.ROOM` of the room; the record has it, and
    who did it, None for whoever has the machine.

    Raises NotFoundError for a channel that is not there.
    """
    if channel_id != policies.ROOM and channel_id not in channel_ids(writer):
        raise NotFoundError("channel")
    before = policies.own(writer, channel_id)
    policies.put(writer, channel_id, policy)
    target = ("room", int(writer.room_id)) if channel_id == policies.ROOM else ("channel", int(channel_id))
    audit.append(
        writer, "history.policy_changed", actor_id=by, target=target,
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
    """Write for how many days messages stay, None for what goes elsewhere, and return the policy; a hold stays."""
    now = policies.own(writer, channel_id) or Policy()
    policy = Policy(archive_after_days, delete_after_days, now.is_held, now.hold_reason)
    set_policy(writer, channel_id, policy, by=by, now_ms=now_ms)
    return policy


def set_hold(writer: Writer, channel_id: ChannelId, reason: str | None, *, by: UserId, now_ms: int) -> Policy:
    """Hold everything of a channel or the room where it is, or with None end that, and return the policy."""
    now = policies.own(writer, channel_id) or Policy()
    policy = Policy(now.archive_after_days, now.delete_after_days, reason is not None, reason)
    set_policy(writer, channel_id, policy, by=by, now_ms=now_ms)
    return policy


def look_over(reader: Reader) -> tuple[Standing, dict[ChannelId, Policy]]:
    """Return how much of a room's history is where, and what becomes of it; the room's own policy under ROOM."""
    return standing(reader), policies.every(reader)


def named_channel(reader: Reader, name: str) -> ChannelId:
    """Return a channel by its name or id; raises NotFoundError."""
    row = reader.one(
        "SELECT id FROM channels WHERE deleted_at IS NULL AND (name = ?1 COLLATE NOCASE OR CAST(id AS TEXT) = ?1)",
        (name.removeprefix("#"),),
    )
    if row is None:
        raise NotFoundError("channel")
    return ChannelId(row[0])
