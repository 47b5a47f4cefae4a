"""Voice sessions of channels: joining, leaving, participants and history."""

from typing import NamedTuple, TypedDict

from ids import ChannelId, UserId
from shard import access, permissions
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.tables import audit, events, voice
from shard.tables.voice import LiveSession, Record


class Joined(NamedTuple):
    """The session that a member has joined, and whether they may speak there."""

    session: LiveSession
    may_speak: bool


class RecordFields(TypedDict, total=False):
    """Fields of a session from the media server; missing fields stay as they are."""

    external_session_id: str | None
    recording_url: str | None


def join_voice(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> Joined:
    """Join a channel's session and leave any other of the room, or renew the present participation.

    Raises ConflictError in text channels, in archived ones, and when the room has PARTICIPANTS_MAX in voice.
    """
    channel = access.open_channel(writer, user_id, channel_id, permissions.CONNECT, now_ms=now_ms)
    if channel.type != "voice":
        raise ConflictError("This is not a voice channel.")
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    return Joined(voice.enter(writer, channel, now_ms=now_ms), channel.may(permissions.SPEAK))


def leave_voice(writer: Writer, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> None:
    """Leave a channel's session; nothing changes for a member who is not in it.

    A participant may leave even a channel that was hidden from them meanwhile.
    """
    if voice.is_in(writer, user_id, channel_id):
        voice.leave_all(writer, user_id, now_ms=now_ms)
    else:
        access.open_channel(writer, user_id, channel_id, 0, now_ms=now_ms)


def in_voice(reader: Reader, user_id: UserId, channel_id: ChannelId, *, now_ms: int) -> LiveSession | None:
    """Return the open session of a channel, if there is one."""
    channel = access.open_channel(reader, user_id, channel_id, 0, now_ms=now_ms)
    return voice.live_in(reader, channel, now_ms=now_ms)


def in_voices(reader: Reader, user_id: UserId, *, now_ms: int) -> list[LiveSession]:
    """Return the open sessions in the channels that a member sees."""
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
    """Store the fields of a session that the media server sends.

    `speaks_for_media` is True for a bot whose token has the scope for it: it only needs to be able to join the channel.
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
        EventType.VOICE_UPDATED,
        actor_id=user_id,
        channel_id=channel.id,
        payload={"session_id": str(session_id), **after},
        replaced=before,
        now_ms=now_ms,
    )
    audit.append(
        writer,
        EventType.VOICE_UPDATED,
        actor_id=user_id,
        target=("voice_session", session_id),
        before=before,
        after=after,
        reason=reason,
        now_ms=now_ms,
    )
    return voice.one(writer, channel, session_id, now_ms=now_ms)
