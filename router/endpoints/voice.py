"""Endpoints of voice: join, leave, current sessions and their history. A separate media server carries the sound."""

from collections.abc import Iterable
from dataclasses import dataclass

from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import pages
from router.schemas import voice as schemas
from router.schemas.fields import Nothing
from router.schemas.people import UserView
from router.schemas.voice import (
    JoinedVoiceView,
    NoteSession,
    RoomVoiceView,
    VoiceHistoryQuery,
    VoiceRecordPageView,
    VoiceRecordView,
    VoiceView,
)
from router.scopes import Scope
from shard.actions import voice
from shard.tables.voice import LiveSession

ROOM_VOICE = "/v1/rooms/{room_id}/voice"
VOICE = "/v1/rooms/{room_id}/channels/{channel_id}/voice"
SESSIONS = VOICE + "/sessions"


@dataclass(frozen=True, slots=True)
class Voice:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope = "voice", Scope.VOICE
        return (
            Route(
                "GET", ROOM_VOICE, self.in_room, "List voice sessions of a room", tag, RoomVoiceView, room=Need.READ,
                scope=scope,
            ),
            Route(
                "GET", VOICE, self.in_channel, "Get the voice session of a channel", tag, VoiceView, room=Need.READ,
                scope=scope,
            ),
            Route(
                "POST", VOICE + "/join", self.join, "Join a voice channel", tag, JoinedVoiceView, refusals=(409,),
                room=Need.WRITE, scope=scope,
            ),
            Route(
                "POST", VOICE + "/leave", self.leave, "Leave a voice channel", tag, None, 204, room=Need.FREE,
                scope=scope,
            ),
            Route(
                "GET", SESSIONS, self.history, "List the voice history of a channel", tag, VoiceRecordPageView,
                query=VoiceHistoryQuery, room=Need.READ, scope=scope,
            ),
            Route(
                "PATCH", SESSIONS + "/{voice_session_id}", self.note, "Update a voice session's record", tag,
                VoiceRecordView, takes=NoteSession, room=Need.WRITE, scope=scope,
            ),
        )  # fmt: skip

    async def in_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the current voice sessions of the channels that the caller can see, with their participants."""
        found = await call.room.read(voice.in_voices)
        answer: RoomVoiceView = {
            "sessions": [schemas.session(call.room_id, session) for session in found],
            "users": await self._present(found),
        }
        return Reply(answer)

    async def in_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the current voice session of a channel, with its participants."""
        found = await call.room.read(voice.in_voice, call.channel_id)
        answer: VoiceView = {
            "session": None if found is None else schemas.session(call.room_id, found),
            "users": await self._present([] if found is None else [found]),
        }
        return Reply(answer)

    async def join(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join a voice channel, and leave any other one of the room. Needs `connect`. Joining again confirms that the
        caller is still connected: without that the server removes them after a day."""
        joined = await call.room.write(voice.join_voice, call.channel_id)
        answer: JoinedVoiceView = {
            "session": schemas.session(call.room_id, joined.session),
            "may_speak": joined.may_speak,
            "users": await self._present([joined.session]),
        }
        return Reply(answer)

    async def leave(self, call: Call[Nothing, Nothing]) -> Reply:
        """Leave a voice channel. Returns 204 even if the caller is not in it."""
        await call.room.write(voice.leave_voice, call.channel_id)
        return Reply(status=204)

    async def history(self, call: Call[Nothing, VoiceHistoryQuery]) -> Reply:
        """List a channel's voice sessions, newest first. Needs `read_history`."""
        limit, place = call.query.limit, call.query.place
        found = await call.room.read(
            voice.list_sessions,
            call.channel_id,
            before=None if place is None else (place[0], place[1]),
            limit=limit + 1,
        )
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        answer: VoiceRecordPageView = {
            "sessions": [schemas.record(call.room_id, row) for row in page],
            "users": await self.context.people.of(span.user_id for row in page for span in row.spans),
            "next_cursor": pages.write(last.started_at, last.id) if last else None,
        }
        return Reply(answer)

    async def note(self, call: Call[NoteSession, Nothing]) -> Reply:
        """Store a session's id at the media server and the address of its recording. Needs `manage_channels`; a bot
        with the scope `voice` needs only `connect`."""
        record = await call.room.write(
            voice.note_session,
            call.channel_id,
            call.voice_session_id,
            call.body.fields(),
            speaks_for_media=call.viewer is not None and call.viewer.scopes is not None,
            reason=call.body.reason,
        )
        return Reply(schemas.record(call.room_id, record))

    async def _present(self, sessions: Iterable[LiveSession]) -> list[UserView]:
        return await self.context.people.of(one.user_id for session in sessions for one in session.present)
