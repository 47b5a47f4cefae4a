"""Voice: joining and leaving a channel's session, who is in, and what is kept of it."""

from typing import NamedTuple, TypedDict

from ids import ChannelId, UserId
from shard import access, audit, events, permissions, voice
from shard.connections import Reader, Writer
from shard.errors import ConflictError
from shard.voice import LiveSession, Record


class Joined(NamedTuple):
    """The session that somebody is in now, and whether they may speak there."""

    session: LiveSession
    may_speak: bool


class RecordFields(TypedDict, total=False):
    """What a session is to be known by; missing means unchanged."""

    external_session_id: str | None
    recording_url: str | None


def join_voice(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> Joined:
    """Join a channel's session, out of any other of the room, or say that one is still there.

    Raises ConflictError where nobody speaks: in other channels, archived ones, and rooms full of voices.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.CONNECT, now_ms=now_ms)
    if channel.type != "voice":
        raise ConflictError("This is not a voice channel.")
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    return Joined(voice.enter(writer, channel, now_ms=now_ms), channel.may(permissions.SPEAK))


def leave_voice(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> None:
    """Leave a channel's session; whoever is not in stays out.

    Who is in may leave, even what was hidden from them meanwhile.
    """
    if voice.is_in(writer, user_id, channel_id):
        voice.leave_all(writer, user_id, now_ms=now_ms)
    else:
        access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)


def in_voice(reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> LiveSession | None:
    """Return the session that goes on in a channel, if there is one."""
    channel = access.open_channel(reader, user_id, channel_id, 0, now_ms=now_ms)
    return voice.live_in(reader, channel, now_ms=now_ms)


def in_voices(reader: Reader, user_id: UserId, *, now_ms: int) -> list[LiveSession]:
    """Return the sessions that go on in the channels that a member sees."""
    return voice.live(reader, access.open_channels(reader, user_id, now_ms=now_ms), now_ms=now_ms)


def list_sessions(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    *,
    before: tuple[int, int] | None,
    limit: int,
    now_ms: int,
) -> list[Record]:
    """Return a channel's sessions, the newest first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return voice.history(reader, channel, before=before, limit=limit, now_ms=now_ms)


def note_session(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    session_id: int,
    fields: RecordFields,
    *,
    speaks_for_media: bool,
    reason: str | None,
    now_ms: int,
) -> Record:
    """Keep what the site's media server says of a session.

    `speaks_for_media` is a bot whose token has the scope for it: it needs to be let into the channel, and no more.
    """
    need = permissions.CONNECT if speaks_for_media else permissions.MANAGE_CHANNELS
    channel = access.open_channel(writer, user_id, channel_id, need | permissions.READ_HISTORY, now_ms=now_ms)
    found = voice.one(writer, channel, session_id, now_ms=now_ms)
    external_session_id = fields.get("external_session_id", found.external_session_id)
    recording_url = fields.get("recording_url", found.recording_url)
    before, after = {}, {}
    for name, old, new in (
        ("external_session_id", found.external_session_id, external_session_id),
        ("recording_url", found.recording_url, recording_url),
    ):
        if old != new:
            before[name], after[name] = old, new
    if not after:
        return found
    voice.note(writer, found, external_session_id=external_session_id, recording_url=recording_url)
    events.append(
        writer,
        "voice.updated",
        actor_id=user_id,
        channel_id=channel.id,
        payload={"session_id": str(session_id), **after},
        replaced=before,
        now_ms=now_ms,
    )
    audit.append(
        writer,
        "voice.updated",
        actor_id=user_id,
        target=("voice_session", session_id),
        before=before,
        after=after,
        reason=reason,
        now_ms=now_ms,
    )
    return voice.one(writer, channel, session_id, now_ms=now_ms)
