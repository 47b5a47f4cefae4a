"""Schemas of voice: current sessions, and past ones."""

from datetime import datetime
from typing import Annotated, Self, cast

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from ids import RoomId
from router.schemas.fields import NO_NUL, Bounds, Reason, TimedPageQuery, Wire, moment, moment_or_none
from router.schemas.people import UserView
from shard.actions.voice import RecordFields
from shard.tables.voice import LiveSession, Record

RECORDS_MAX = 25
"""Voice sessions of one page: each tells up to 500 spans, so it is shorter than others. Beyond it 422."""


class VoiceHistoryQuery(TimedPageQuery):
    """Position in the history; a page has at most 25 sessions."""

    limit: Annotated[int, Field(ge=1, le=RECORDS_MAX)] = RECORDS_MAX

    def within(self, bounds: Bounds) -> Self:
        """Return it, independently of the operator's page size; raises InvalidError for a cursor of another list."""
        self.place  # noqa: B018 - raises for an invalid cursor
        return self


class NoteSession(Wire):
    """Changes to a session's record. Fields that are left out do not change; null clears them."""

    external_session_id: Annotated[str, StringConstraints(min_length=1, max_length=255), NO_NUL] | None = None
    recording_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    reason: Reason | None = None

    def fields(self) -> RecordFields:
        return cast(RecordFields, self.model_dump(exclude_unset=True, exclude={"reason"}))


class VoiceParticipantView(TypedDict):
    """Participant of a session."""

    user_id: str
    joined_at: datetime


class VoiceSessionView(TypedDict):
    """Current voice session. `external_session_id` is its id at the site's media server."""

    id: str
    room_id: str
    channel_id: str
    started_at: datetime
    max_participants: int
    external_session_id: str | None
    participants: list[VoiceParticipantView]


class VoiceView(TypedDict):
    """Current voice session of a channel; `session` is null if nobody is in it."""

    session: VoiceSessionView | None
    users: list[UserView]


class JoinedVoiceView(TypedDict):
    """Session that the caller has joined, and whether they may speak in it."""

    session: VoiceSessionView
    may_speak: bool
    users: list[UserView]


class RoomVoiceView(TypedDict):
    """Current sessions of the channels that the caller can see, the oldest first."""

    sessions: list[VoiceSessionView]
    users: list[UserView]


class VoiceSpanView(TypedDict):
    """Period in which a user was in a session; `left_at` is null if they still are."""

    user_id: str
    joined_at: datetime
    left_at: datetime | None


class VoiceRecordView(TypedDict):
    """Record of a session; `ended_at` and `duration_ms` are null while it is current.

    `spans` has the first 500, by user and time; `participant_count` counts each user once.
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
    """Voice sessions of a channel, newest first. `next_cursor` is null on the last page."""

    sessions: list[VoiceRecordView]
    users: list[UserView]
    next_cursor: str | None


def session(room_id: RoomId, row: LiveSession) -> VoiceSessionView:
    """Render a current session."""
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
    """Render the record of a session."""
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
