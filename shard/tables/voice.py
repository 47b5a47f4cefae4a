"""Voice sessions of channels, and the spans of time that people spent in them.

A session begins when the first person joins and ends when the last one leaves; a channel has one open session at most,
and nobody is in two sessions of a room. A person whose client has not renewed its span for SILENCE_MS counts as having
left at the last renewal: readers see that at once, and the next person who joins or leaves writes it to the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from ids import ChannelId, UserId
from shard.access import Channel, Sight
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError, NotFoundError
from shard.event_types import EventType
from shard.tables import events

PARTICIPANTS_MAX: Final = 500
"""People in voice at once, in all channels of a room: clients show them all. Beyond it 409."""
SILENCE_MS: Final = 86_400_000
"""A client that disappears sends nothing, so it counts as present for a day; joining again renews it."""
RETURN_MS: Final = 60_000
"""An absence shorter than a minute does not count: a bad connection makes one span, not thousands."""
SPANS_SHOWN_MAX: Final = 500
"""Spans returned for one session; the totals include all others."""


class Present(NamedTuple):
    """A person in a voice session."""

    user_id: UserId
    joined_at: int


@dataclass(frozen=True, slots=True)
class LiveSession:
    """An open session with its participants; times in milliseconds UTC."""

    id: int
    channel_id: ChannelId
    started_at: int
    max_participants: int
    external_session_id: str | None
    present: tuple[Present, ...]


class Span(NamedTuple):
    """A span of time that a person was in a session; `left_at` is None while they are in it."""

    user_id: UserId
    joined_at: int
    left_at: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """A session in the history; `spans` has the first SPANS_SHOWN_MAX, by person and time."""

    id: int
    channel_id: ChannelId
    started_at: int
    ended_at: int | None
    max_participants: int
    participant_count: int
    external_session_id: str | None
    recording_url: str | None
    spans: tuple[Span, ...]


class _Open(NamedTuple):
    session_id: int
    channel_id: ChannelId
    user_id: UserId
    joined_at: int


def live(reader: Reader, sight: Sight, *, now_ms: int) -> list[LiveSession]:
    """Return the open sessions in the channels that a member sees, oldest first."""
    found = _live(reader, None, now_ms)
    return [session for session in found if session.channel_id in sight.channels]


def live_in(reader: Reader, channel: Channel, *, now_ms: int) -> LiveSession | None:
    """Return the open session of a channel, if there is one."""
    return next(iter(_live(reader, channel.id, now_ms)), None)


def _live(reader: Reader, channel_id: ChannelId | None, now_ms: int) -> list[LiveSession]:
    rows = reader.all(
        "SELECT s.id, s.channel_id, s.started_at, s.max_participants, s.external_session_id, "
        "json_group_array(json_array(p.user_id, p.joined_at)) "
        "FROM voice_participants p CROSS JOIN voice_sessions s ON s.id = p.session_id "
        "WHERE p.left_at IS NULL AND p.renewed_at > ?1 AND s.channel_id = coalesce(?2, s.channel_id) "
        "GROUP BY s.id ORDER BY s.id",
        (now_ms - SILENCE_MS, channel_id),
    )
    return [LiveSession(row[0], row[1], row[2], row[3], row[4], _present(row[5])) for row in rows]


def _present(packed: str) -> tuple[Present, ...]:
    return tuple(sorted(Present(*one) for one in orjson.loads(packed)))


def history(
    reader: Reader, channel: Channel, *, before: tuple[int, int] | None, limit: int, now_ms: int
) -> list[Record]:
    """Return a channel's sessions, the newest first, from a (started_at, id) cursor on."""
    rows = reader.all(
        _RECORD + "WHERE s.channel_id = ? AND (s.started_at, s.id) < (?, ?) "
        "ORDER BY s.started_at DESC, s.id DESC LIMIT ?",
        (now_ms - SILENCE_MS, SPANS_SHOWN_MAX, channel.id, *(before or ((1 << 63) - 1, (1 << 63) - 1)), limit),
    )
    return [_record(row) for row in rows]


def one(reader: Reader, channel: Channel, session_id: int, *, now_ms: int) -> Record:
    """Return a session of this channel; raises NotFoundError for any other id."""
    row = reader.one(
        _RECORD + "WHERE s.id = ? AND s.channel_id = ?",
        (now_ms - SILENCE_MS, SPANS_SHOWN_MAX, session_id, channel.id),
    )
    if row is None:
        raise NotFoundError("voice session")
    return _record(row)


def _record(row: tuple[Any, ...]) -> Record:
    spans = tuple(Span(*span) for span in orjson.loads(row[8]))
    return Record(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], spans)


def enter(writer: Writer, channel: Channel, *, now_ms: int) -> LiveSession:
    """Add `channel.user_id` to the channel's session, remove them from others, and return it; renew a present one.

    Raises ConflictError when the room has PARTICIPANTS_MAX others in voice.
    """
    others = writer.one(
        "SELECT count(*) FROM voice_participants WHERE left_at IS NULL AND renewed_at > ? AND user_id <> ?",
        (now_ms - SILENCE_MS, channel.user_id),
    )
    assert others is not None
    if others[0] >= PARTICIPANTS_MAX:
        raise ConflictError(f"This room has its {PARTICIPANTS_MAX} people in voice; join when some have left.")
    _close_silent(writer, now_ms)
    own = _open_of(writer, channel.user_id)
    if any(span.channel_id == channel.id for span in own):
        writer.run(
            "UPDATE voice_participants SET renewed_at = max(renewed_at, ?) WHERE user_id = ? AND left_at IS NULL",
            (now_ms, channel.user_id),
        )
    else:
        for span in own:
            _close(writer, span, now_ms)
        _begin_span(writer, channel, _open_session(writer, channel.id, now_ms), now_ms)
    session = live_in(writer, channel, now_ms=now_ms)
    assert session is not None
    return session


def _open_session(writer: Writer, channel_id: ChannelId, now_ms: int) -> int:
    row = writer.one("SELECT id FROM voice_sessions WHERE channel_id = ? AND ended_at IS NULL", (channel_id,))
    if row is not None:
        return int(row[0])
    session_id = writer.ids.next(now_ms)
    writer.run(
        "INSERT INTO voice_sessions (id, channel_id, started_at) VALUES (?, ?, ?)", (session_id, channel_id, now_ms)
    )
    return session_id


def _begin_span(writer: Writer, channel: Channel, session_id: int, now_ms: int) -> None:
    last = writer.one(
        "SELECT joined_at, left_at FROM voice_participants WHERE session_id = ? AND user_id = ? "
        "ORDER BY joined_at DESC LIMIT 1",
        (session_id, channel.user_id),
    )
    if last is not None and last[1] > now_ms - RETURN_MS:
        writer.run(
            "UPDATE voice_participants SET left_at = NULL, renewed_at = max(joined_at, ?) "
            "WHERE session_id = ? AND user_id = ? AND joined_at = ?",
            (now_ms, session_id, channel.user_id, last[0]),
        )
    else:
        writer.run(
            "INSERT INTO voice_participants (session_id, user_id, joined_at, renewed_at) VALUES (?1, ?2, ?3, ?3)",
            (session_id, channel.user_id, now_ms),
        )
    writer.run(
        "UPDATE voice_sessions SET max_participants = max(max_participants, (SELECT count(*) FROM voice_participants "
        "WHERE left_at IS NULL AND +session_id = ?1)) WHERE id = ?1",
        (session_id,),
    )
    _log(writer, EventType.VOICE_JOINED, _Open(session_id, channel.id, channel.user_id, now_ms), {}, now_ms)


def is_in(reader: Reader, user_id: UserId, channel_id: ChannelId) -> bool:
    """Return whether a person has an open span in a channel's session, even one that was not renewed in time."""
    return any(span.channel_id == channel_id for span in _open_of(reader, user_id))


def leave_all(writer: Writer, user_id: UserId, *, now_ms: int) -> None:
    """Remove a person from their voice session, in any channel of the room."""
    _close_silent(writer, now_ms)
    for span in _open_of(writer, user_id):
        _close(writer, span, now_ms)


def _open_of(reader: Reader, user_id: UserId) -> list[_Open]:
    """Return the open span of a person: there is one at most."""
    return [
        _Open(*row)
        for row in reader.all(
            "SELECT p.session_id, s.channel_id, p.user_id, p.joined_at "
            "FROM voice_participants p JOIN voice_sessions s ON s.id = p.session_id "
            "WHERE p.user_id = ? AND p.left_at IS NULL",
            (user_id,),
        )
    ]


def _close_silent(writer: Writer, now_ms: int) -> None:
    """Close spans that were not renewed for SILENCE_MS; PARTICIPANTS_MAX bounds their number."""
    for *span, renewed_at in writer.all(
        "SELECT p.session_id, s.channel_id, p.user_id, p.joined_at, p.renewed_at "
        "FROM voice_participants p CROSS JOIN voice_sessions s ON s.id = p.session_id "
        "WHERE p.left_at IS NULL AND p.renewed_at <= ?",
        (now_ms - SILENCE_MS,),
    ):
        _close(writer, _Open(*span), now_ms, silent_since=renewed_at)


def _close(writer: Writer, span: _Open, now_ms: int, *, silent_since: int | None = None) -> None:
    """Close a span, and with the last one its session; it never ends before its start, even if the clock went back."""
    left_at = now_ms if silent_since is None else silent_since
    writer.run(
        "UPDATE voice_participants SET left_at = max(joined_at, ?) "
        "WHERE session_id = ? AND user_id = ? AND joined_at = ?",
        (left_at, span.session_id, span.user_id, span.joined_at),
    )
    _log(writer, EventType.VOICE_LEFT, span, {} if silent_since is None else {"is_silent": True}, now_ms)
    writer.run(
        "UPDATE voice_sessions SET ended_at = (SELECT max(left_at) FROM voice_participants WHERE session_id = ?1) "
        "WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM voice_participants WHERE left_at IS NULL AND +session_id = ?1)",
        (span.session_id,),
    )
    if writer.changed():
        _log(writer, EventType.VOICE_ENDED, span, {}, now_ms)


def _log(writer: Writer, type_: EventType, span: _Open, more: Mapping[str, object], now_ms: int) -> None:
    events.append(
        writer,
        type_,
        actor_id=span.user_id,
        channel_id=span.channel_id,
        payload={"session_id": str(span.session_id), **more},
        now_ms=now_ms,
    )


def note(writer: Writer, record: Record, *, external_session_id: str | None, recording_url: str | None) -> None:
    """Store the media server's id of a session and the URL of its recording."""
    writer.run(
        "UPDATE voice_sessions SET external_session_id = ?, recording_url = ? WHERE id = ?",
        (external_session_id, recording_url, record.id),
    )


# ?1 is the time before which silence means absence, ?2 the number of spans to return. Spans are packed into one text,
# because apsw releases the interpreter's lock at every row.
_RECORD = """
    SELECT s.id, s.channel_id, s.started_at,
           iif(s.ended_at IS NOT NULL, s.ended_at,
               (SELECT iif(count(*) = count(left_at), max(left_at), NULL) FROM
                   (SELECT iif(p.left_at IS NULL AND p.renewed_at <= ?1, p.renewed_at, p.left_at) AS left_at
                    FROM voice_participants p WHERE p.session_id = s.id))),
           s.max_participants,
           (SELECT count(DISTINCT p.user_id) FROM voice_participants p WHERE p.session_id = s.id),
           s.external_session_id, s.recording_url,
           (SELECT json_group_array(json_array(user_id, joined_at, left_at)) FROM
               (SELECT p.user_id, p.joined_at,
                       iif(p.left_at IS NULL AND p.renewed_at <= ?1, p.renewed_at, p.left_at) AS left_at
                FROM voice_participants p WHERE p.session_id = s.id ORDER BY p.user_id, p.joined_at LIMIT ?2))
    FROM voice_sessions s
"""
