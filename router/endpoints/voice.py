"""Voice: joining and leaving, who is in, and history. The sound itself is the business of a site's media server."""

from collections.abc import Iterable
from dataclasses import dataclass

from router import cursors
from router.doors import People, RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import voice as views
from router.views.people import UserView
from router.views.voice import JoinedVoiceView, RoomVoiceView, VoiceRecordPageView, VoiceRecordView, VoiceView
from router.wire.fields import Nothing
from router.wire.voice import RECORDS_MAX, NoteSession, VoiceHistoryQuery
from shard.acts import speaking
from shard.pool import ShardPool
from shard.voice import LiveSession

ROOM_VOICE = "/v1/rooms/{room_id}/voice"
VOICE = "/v1/rooms/{room_id}/channels/{channel_id}/voice"
SESSIONS = VOICE + "/sessions"


@dataclass(frozen=True, slots=True)
class Voice:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    people: People

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope = "voice", Scope.VOICE
        return (
            Route("GET", ROOM_VOICE, self.in_room, "Who is in voice", tag, RoomVoiceView, scope=scope),
            Route("GET", VOICE, self.in_channel, "Who is in a voice channel", tag, VoiceView, scope=scope),
            Route(
                "POST", VOICE + "/join", self.join, "Join voice", tag, JoinedVoiceView, refusals=(409,), scope=scope,
            ),
            Route("POST", VOICE + "/leave", self.leave, "Leave voice", tag, None, 204, scope=scope),
            Route(
                "GET", SESSIONS, self.history, "Past voice sessions", tag, VoiceRecordPageView,
                query=VoiceHistoryQuery, scope=scope,
            ),
            Route(
                "PATCH", SESSIONS + "/{voice_session_id}", self.note, "Note what a media server says of a session", tag,
                VoiceRecordView, takes=NoteSession, scope=scope,
            ),
        )  # fmt: skip

    async def in_room(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the sessions that go on in the channels that the caller sees, with who is in."""
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(room.room_id, speaking.in_voices, call.user_id, now_ms=call.now_ms)
        answer: RoomVoiceView = {
            "sessions": [views.session(room.room_id, session) for session in found],
            "users": await self._present(found),
        }
        return Reply(answer)

    async def in_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the session that goes on in a channel, with who is in."""
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(
            room.room_id, speaking.in_voice, call.user_id, call.path["channel_id"], now_ms=call.now_ms
        )
        answer: VoiceView = {
            "session": None if found is None else views.session(room.room_id, found),
            "users": await self._present([] if found is None else [found]),
        }
        return Reply(answer)

    async def join(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join a voice channel, out of any other of the room; needs connect. Joining again says that one is still
        there: without it the server takes it after a day that one is gone."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        joined = await self.pool.write(
            room.room_id, speaking.join_voice, call.user_id, call.path["channel_id"], now_ms=call.now_ms
        )
        answer: JoinedVoiceView = {
            "session": views.session(room.room_id, joined.session),
            "may_speak": joined.may_speak,
            "users": await self._present([joined.session]),
        }
        return Reply(answer)

    async def leave(self, call: Call[Nothing, Nothing]) -> Reply:
        """Leave a voice channel; whoever is not in stays out."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id, speaking.leave_voice, call.user_id, call.path["channel_id"], now_ms=call.now_ms
        )
        return Reply(status=204)

    async def history(self, call: Call[Nothing, VoiceHistoryQuery]) -> Reply:
        """List a channel's voice sessions, newest first; needs read_history."""
        limit, place = cursors.size(call.query, RECORDS_MAX), cursors.read(call.query.cursor, 2)
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(
            room.room_id,
            speaking.list_sessions,
            call.user_id,
            call.path["channel_id"],
            before=None if place is None else (place[0], place[1]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        answer: VoiceRecordPageView = {
            "sessions": [views.record(room.room_id, row) for row in page],
            "users": await self.people.of(span.user_id for row in page for span in row.spans),
            "next_cursor": cursors.write(last.started_at, last.id) if last else None,
        }
        return Reply(answer)

    async def note(self, call: Call[NoteSession, Nothing]) -> Reply:
        """Keep a session's id at the media server, and where its recording is; needs manage_channels, or of a bot with
        the scope voice only connect."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        record = await self.pool.write(
            room.room_id,
            speaking.note_session,
            call.user_id,
            call.path["channel_id"],
            call.path["voice_session_id"],
            call.body.fields(),
            speaks_for_media=call.viewer is not None and call.viewer.scopes is not None,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.record(room.room_id, record))

    async def _present(self, sessions: Iterable[LiveSession]) -> list[UserView]:
        return await self.people.of(one.user_id for session in sessions for one in session.present)
