"""Voice: who is in, and who was."""

from datetime import datetime

from typing_extensions import TypedDict

from ids import RoomId
from router.views.people import UserView
from router.views.values import moment, moment_or_none
from shard.voice import LiveSession, Record


class VoiceParticipantView(TypedDict):
    """Somebody who is in."""

    user_id: str
    joined_at: datetime


class VoiceSessionView(TypedDict):
    """A session that goes on. `external_session_id` is what the site's media server calls it."""

    id: str
    room_id: str
    channel_id: str
    started_at: datetime
    max_participants: int
    external_session_id: str | None
    participants: list[VoiceParticipantView]


class VoiceView(TypedDict):
    """What goes on in a channel; `session` is null while nobody is in."""

    session: VoiceSessionView | None
    users: list[UserView]


class JoinedVoiceView(TypedDict):
    """The session that one is in now, and whether one may speak there."""

    session: VoiceSessionView
    may_speak: bool
    users: list[UserView]


class RoomVoiceView(TypedDict):
    """What goes on in the channels that one sees, by age."""

    sessions: list[VoiceSessionView]
    users: list[UserView]


class VoiceSpanView(TypedDict):
    """From when to when somebody was in; `left_at` is null for whoever still is."""

    user_id: str
    joined_at: datetime
    left_at: datetime | None


class VoiceRecordView(TypedDict):
    """A session as history has it; `ended_at` and `duration_ms` are null while it goes on.

    `spans` has the first 500, by person and time; `participant_count` counts everybody once.
    """

    id: str
    room_id: str
    channel_id: str
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    max_participants: int
    participant_count: int
    external_session_id: str | None
    recording_url: str | None
    spans: list[VoiceSpanView]


class VoiceRecordPageView(TypedDict):
    """A channel's sessions, newest first; `next_cursor` is null on the last page."""

    sessions: list[VoiceRecordView]
    users: list[UserView]
    next_cursor: str | None


def session(room_id: RoomId, row: LiveSession) -> VoiceSessionView:
    """Render a session that goes on."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "channel_id": str(row.channel_id),
        "started_at": moment(row.started_at),
        "max_participants": row.max_participants,
        "external_session_id": row.external_session_id,
        "participants": [{"user_id": str(one.user_id), "joined_at": moment(one.joined_at)} for one in row.present],
    }


def record(room_id: RoomId, row: Record) -> VoiceRecordView:
    """Render a session of history."""
    return {
        "id": str(row.id),
        "room_id": str(room_id),
        "channel_id": str(row.channel_id),
        "started_at": moment(row.started_at),
        "ended_at": moment_or_none(row.ended_at),
        "duration_ms": None if row.ended_at is None else row.ended_at - row.started_at,
        "max_participants": row.max_participants,
        "participant_count": row.participant_count,
        "external_session_id": row.external_session_id,
        "recording_url": row.recording_url,
        "spans": [
            {
                "user_id": str(span.user_id),
                "joined_at": moment(span.joined_at),
                "left_at": moment_or_none(span.left_at),
            }
            for span in row.spans
        ],
    }
