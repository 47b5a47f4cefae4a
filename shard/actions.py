"""What people do in a room, each in one transaction: ask at the door, change rows, append the event.

Every act takes the clock as `now_ms` and raises the RejectedErrors of the door and of the rows it touches. The
importer uses the same acts as everyone else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ids import ChannelId, MessageId, ThreadId, UserId
from shard import access, channels, events, members, messages, permissions, rooms, search, threads
from shard.channels import ChannelRow
from shard.connections import Reader, Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.messages import Draft
from shard.rows import Message, Stretch, unpacked
from shard.threads import Thread


@dataclass(frozen=True, slots=True)
class ChannelDraft:
    """A channel to make."""

    name: str
    type: str = "text"
    description: str | None = None
    thread_mode: str = "optional"


DEFAULT_CHANNELS = (
    ChannelDraft("general", description="Talk about anything."),
    ChannelDraft("announcements", type="announcement", description="News of this community."),
    ChannelDraft("voice", type="voice"),
)


class Sent(NamedTuple):
    """A stored message; `is_new` is False when its nonce had been sent before."""

    message: Message
    is_new: bool


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a channel or thread, newest first, and whether it goes on at either end."""

    packed: str
    has_older: bool
    has_newer: bool

    @property
    def messages(self) -> list[Message]:
        """The stretch's messages, unpacked."""
        return unpacked(self.packed)


def found_room(
    writer: Writer, kind: str, owner_id: UserId, drafts: Sequence[ChannelDraft], *, now_ms: int
) -> list[ChannelRow]:
    """Write the first rows of a new room: its owner, its everyone role and its channels."""
    rooms.found(writer, kind, owner_id, now_ms=now_ms)
    return [_insert_channel(writer, draft, owner_id, now_ms) for draft in drafts]


def join(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone in whom the directory has admitted, and return whether they were out; the banned are refused."""
    return members.add(writer, user_id, now_ms=now_ms)


def leave(writer: Writer, user_id: UserId, *, now_ms: int) -> bool:
    """Let someone out and return whether they were in; raises ConflictError for the owner, whom a room needs."""
    room = rooms.one(writer)
    if room is not None and room.owner_id == user_id:
        raise ConflictError("The owner cannot leave: pass the room on to another member or delete it.")
    return members.remove(writer, user_id, now_ms=now_ms)


def create_channel(writer: Writer, user_id: UserId, draft: ChannelDraft, *, now_ms: int) -> ChannelRow:
    """Add a channel to the end of the room's list."""
    access.open_room(writer, user_id, permissions.MANAGE_CHANNELS, now_ms=now_ms)
    return _insert_channel(writer, draft, user_id, now_ms)


def _insert_channel(writer: Writer, draft: ChannelDraft, user_id: UserId, now_ms: int) -> ChannelRow:
    return channels.insert(
        writer,
        draft.name,
        type_=draft.type,
        description=draft.description,
        thread_mode=draft.thread_mode,
        created_by=user_id,
        now_ms=now_ms,
    )


def open_thread(writer: Writer, user_id: UserId, channel_id: ChannelId, title: str, *, now_ms: int) -> Thread:
    """Start a thread in a channel."""
    channel = access.open_channel(writer, user_id, channel_id, permissions.CREATE_THREADS, now_ms=now_ms)
    if channel.thread_mode == "disabled":
        raise ConflictError("This channel has no threads.")
    _require_writable(channel)
    return threads.insert(writer, channel, title, now_ms=now_ms)


def send_message(
    writer: Writer,
    user_id: UserId,
    channel_id: ChannelId,
    draft: Draft,
    *,
    now_ms: int,
    sent_at: int | None = None,
) -> Sent:
    """Store a message once: a nonce that this person has used returns the message it made.

    `sent_at` is the original time of an imported message. Raises NotFoundError for a channel, thread or replied-to
    message that the sender does not see there, ForbiddenError without permission, ConflictError where the channel or
    thread takes no messages.
    """
    need = permissions.SEND_MESSAGES if draft.thread_id is None else permissions.SEND_IN_THREADS
    channel = access.open_channel(writer, user_id, channel_id, need, now_ms=now_ms)
    _require_writable(channel)
    if draft.thread_id is not None:
        if threads.is_locked(writer, channel, draft.thread_id) and not channel.may(permissions.MANAGE_THREADS):
            raise ConflictError("This thread is locked.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread: name one, or open one first.")
    if draft.reply_to_id is not None:
        messages.one(writer, channel, draft.reply_to_id)
    message = messages.insert(writer, channel, draft, now_ms=now_ms, sent_at=sent_at)
    if message is None:
        return Sent(_sent_before(writer, channel, draft), is_new=False)
    events.append_created(writer, message, now_ms=now_ms)
    return Sent(message, is_new=True)


def _require_writable(channel: access.Channel) -> None:
    if channel.is_archived:
        raise ConflictError("This channel is archived.")
    if channel.type == "voice":
        raise ConflictError("A voice channel takes no messages.")
    if channel.type == "announcement" and not channel.may(permissions.MANAGE_MESSAGES):
        raise ForbiddenError("Only those who manage messages write in an announcement channel.", need="manage_messages")


def _sent_before(writer: Writer, channel: access.Channel, draft: Draft) -> Message:
    assert draft.nonce is not None
    message = messages.sent_with(writer, channel.user_id, draft.nonce)
    if message is None or message.channel_id != channel.id:
        raise ConflictError("This nonce was already used for another message; make a new one for every message.")
    return message


def list_channels(reader: Reader, user_id: UserId, *, now_ms: int) -> list[ChannelRow]:
    """Return the channels that a member sees."""
    return channels.visible(reader, access.open_room(reader, user_id, 0, now_ms=now_ms))


def list_threads(
    reader: Reader,
    user_id: UserId,
    channel_id: ChannelId,
    *,
    before: tuple[int, ThreadId] | None,
    limit: int,
    now_ms: int,
) -> list[Thread]:
    """Return a channel's threads, last active first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return threads.recent(reader, channel, before=before, limit=limit)


def membership(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return what a member may do in the room; raises NotFoundError for whoever is not one."""
    return access.open_room(reader, user_id, 0, now_ms=now_ms)


def is_member(reader: Reader, user_id: UserId) -> bool:
    """Tell whether someone is in, asked by the server itself."""
    return members.is_present(reader, user_id)


def may_invite(reader: Reader, user_id: UserId, *, now_ms: int) -> access.Membership:
    """Return a member who may create invites; raises ForbiddenError for others."""
    return access.open_room(reader, user_id, permissions.CREATE_INVITE, now_ms=now_ms)


def list_members(
    reader: Reader, user_id: UserId, *, after: UserId | None, limit: int, now_ms: int
) -> list[members.Member]:
    """Return the room's members by id."""
    return members.page(reader, access.open_room(reader, user_id, 0, now_ms=now_ms), after=after, limit=limit)


def present_members(reader: Reader) -> list[UserId]:
    """Return everyone who is in, asked by the server itself to mend the directory's index."""
    return members.present_ids(reader)


def get_message(
    reader: Reader, user_id: UserId, channel_id: ChannelId, message_id: MessageId, *, now_ms: int
) -> Message:
    """Return one message."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    return messages.one(reader, channel, message_id)


@dataclass(frozen=True, slots=True)
class Span:
    """Which stretch of history: at most one of `before`, `after` and `around`, else the newest."""

    limit: int = 50
    before: MessageId | None = None
    after: MessageId | None = None
    around: MessageId | None = None


def read_page(
    reader: Reader, user_id: UserId, channel_id: ChannelId, thread_id: ThreadId | None, span: Span, *, now_ms: int
) -> Page:
    """Return a stretch of a channel, or of one of its threads, newest first."""
    channel = access.open_channel(reader, user_id, channel_id, permissions.READ_HISTORY, now_ms=now_ms)
    if thread_id is not None:
        threads.one(reader, channel, thread_id)
    found = _stretch(reader, channel, thread_id, span)
    return Page(found.packed, *_goes_on(reader, channel, thread_id, span, found))


def _stretch(reader: Reader, channel: access.Channel, thread_id: ThreadId | None, span: Span) -> Stretch:
    if span.around is not None:
        return messages.around(reader, channel, thread_id, span.around, limit=span.limit)
    if span.after is not None:
        return messages.after(reader, channel, thread_id, span.after, limit=span.limit)
    if span.before is not None:
        return messages.before(reader, channel, thread_id, span.before, limit=span.limit)
    return messages.newest(reader, channel, thread_id, limit=span.limit)


def _goes_on(
    reader: Reader, channel: access.Channel, thread_id: ThreadId | None, span: Span, found: Stretch
) -> tuple[bool, bool]:
    """Tell whether there is something older, and something newer, than what was found, or than the place asked for."""
    newest_id, oldest_id = found.newest_id, found.oldest_id
    if not found.length and span.before is not None:
        newest_id = MessageId(span.before - 1)
    if not found.length and span.after is not None:
        oldest_id = messages.following(span.after)
    if span == Span(span.limit):
        newest_id = None
    older = oldest_id is not None and messages.before(reader, channel, thread_id, oldest_id, limit=1).length
    newer = newest_id is not None and messages.after(reader, channel, thread_id, newest_id, limit=1).length
    return bool(older), bool(newer)


def search_messages(
    reader: Reader,
    user_id: UserId,
    query: search.SearchQuery,
    *,
    channel_id: ChannelId | None,
    before: MessageId | None,
    limit: int,
    now_ms: int,
) -> list[Message]:
    """Return the newest matching messages that the member may read; a hidden `channel_id` is not found."""
    member = access.open_room(reader, user_id, permissions.READ_HISTORY, now_ms=now_ms)
    if channel_id is not None and channel_id not in channels.visible_ids(reader, member):
        raise NotFoundError("channel")
    return search.find(reader, member, query, channel_id=channel_id, before=before, limit=limit)
