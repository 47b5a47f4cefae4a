"""Webhooks: creation, changes, deletion, and posts of incoming ones.

An outgoing webhook delivers what its keeper sees, so a member who changes its address or its events becomes its keeper:
nobody can receive by it what only another member sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from ids import ChannelId, UserId
from shard import access, permissions
from shard.access import Channel, Sight
from shard.actions import messages as message_actions
from shard.actions import nonces
from shard.actions.messages import Sent
from shard.archive.manifest import NONCE_USED
from shard.engine.connections import Reader, Writer
from shard.errors import ConflictError
from shard.event_types import EventType
from shard.rows import Message
from shard.tables import audit, diffs, events, mentions, messages, threads, webhooks
from shard.tables.messages import Draft
from shard.tables.webhooks import Webhook

BY_HAND = "by_hand"
"""The reason stored for a webhook that a member disabled."""
_OUTGOING = frozenset({"url", "events", "is_enabled"})


@dataclass(frozen=True, slots=True)
class Keys:
    """New keys of a webhook: the SHA-256 of its token, and a signing secret of 32 bytes."""

    token_hash: bytes
    secret: bytes


class WebhookChanges(TypedDict, total=False):
    """Changes to a webhook; missing fields stay as they are, and the last three are for outgoing ones only."""

    name: str
    channel_id: ChannelId | None
    url: str
    events: Sequence[str]
    is_enabled: bool


def list_webhooks(reader: Reader, user_id: UserId, *, now_ms: int) -> list[Webhook]:
    """Return the webhooks that a member manages."""
    return webhooks.managed(reader, _open(reader, user_id, now_ms))


def get_webhook(reader: Reader, user_id: UserId, webhook_id: int, *, now_ms: int) -> Webhook:
    """Return one webhook that a member manages."""
    return webhooks.one(reader, _open(reader, user_id, now_ms), webhook_id)


def may_create(
    reader: Reader, user_id: UserId, channel_id: ChannelId | None, *, is_incoming: bool, now_ms: int
) -> None:
    """Raise as the creation of a webhook there would, before anything is created for it elsewhere."""
    _require_place(reader, _open(reader, user_id, now_ms), channel_id, is_incoming=is_incoming, now_ms=now_ms)
    webhooks.require_room(reader)


def create_incoming(
    writer: Writer,
    user_id: UserId,
    webhook_id: int,
    name: str,
    channel_id: ChannelId,
    keys: Keys,
    *,
    reason: str | None = None,
    now_ms: int,
) -> Webhook:
    """Create an incoming webhook: holders of its token may post into a channel.

    Raises ForbiddenError for a member who does not manage webhooks there or may not write there, ConflictError for a
    channel that takes no messages and for one webhook too many.
    """
    _require_place(writer, _open(writer, user_id, now_ms), channel_id, is_incoming=True, now_ms=now_ms)
    hook = Webhook(webhook_id, channel_id, name, "incoming", user_id, now_ms)
    webhooks.insert(writer, hook, keys.token_hash, now_ms=now_ms)
    _note(writer, EventType.WEBHOOK_CREATED, hook, user_id, None, webhooks.facts(hook), reason, now_ms)
    return hook


def create_outgoing(
    writer: Writer,
    user_id: UserId,
    webhook_id: int,
    wanted: WebhookChanges,
    keys: Keys,
    *,
    reason: str | None = None,
    now_ms: int,
) -> Webhook:
    """Create an outgoing webhook, which delivers future events of a channel, or of all that its keeper reads.

    Raises ForbiddenError for a member who does not manage webhooks there, ConflictError for one webhook too many.
    """
    channel_id = wanted.get("channel_id")
    _require_place(writer, _open(writer, user_id, now_ms), channel_id, is_incoming=False, now_ms=now_ms)
    hook = Webhook(
        webhook_id,
        channel_id,
        wanted["name"],
        "outgoing",
        user_id,
        now_ms,
        url=wanted["url"],
        secret=keys.secret,
        events=tuple(wanted["events"]),
        keeper_id=user_id,
        # The next event is the creation of the webhook itself.
        last_seq=events.last_seq(writer) + 1,
    )
    webhooks.insert(writer, hook, None, now_ms=now_ms)
    _note(writer, EventType.WEBHOOK_CREATED, hook, user_id, None, webhooks.facts(hook), reason, now_ms)
    return hook


def edit_webhook(
    writer: Writer,
    user_id: UserId,
    webhook_id: int,
    wanted: WebhookChanges,
    *,
    reason: str | None = None,
    now_ms: int,
) -> Webhook:
    """Edit a webhook; without a difference nothing is written. An enabled one resumes where it stopped.

    Raises ConflictError for a field that only webhooks of the other direction have.
    """
    sight = _open(writer, user_id, now_ms)
    before = webhooks.one(writer, sight, webhook_id)
    if before.direction == "incoming" and wanted.keys() & _OUTGOING:
        raise ConflictError("This webhook takes messages in: it has no url, no events, and cannot be disabled.")
    hook = _changed(before, wanted, now_ms)
    if hook.channel_id != before.channel_id:
        is_incoming = hook.direction == "incoming"
        _require_place(writer, sight, hook.channel_id, is_incoming=is_incoming, now_ms=now_ms)
    was, now = diffs.between(webhooks.facts(before), webhooks.facts(hook))
    if not now:
        return before
    if hook.direction == "outgoing" and now.keys() != {"name"} and hook.disabled_at is None:
        hook = replace(hook, keeper_id=user_id)
        was, now = diffs.between(webhooks.facts(before), webhooks.facts(hook))
    webhooks.update(writer, before, hook, by=user_id, now_ms=now_ms)
    _note(writer, EventType.WEBHOOK_EDITED, hook, user_id, was, now, reason, now_ms)
    return hook


def _changed(before: Webhook, wanted: WebhookChanges, now_ms: int) -> Webhook:
    fields: dict[str, Any] = {name: value for name, value in wanted.items() if name != "is_enabled"}
    if "events" in fields:
        fields["events"] = tuple(fields["events"])
    hook = replace(before, **fields)
    if hook.url != before.url:
        hook = replace(hook, next_try_at=None)
    if wanted.get("is_enabled") is True and before.disabled_at is not None:
        return replace(hook, disabled_at=None, disabled_reason=None, failures=0, failing_since=None, next_try_at=None)
    if wanted.get("is_enabled") is False and before.disabled_at is None:
        return replace(hook, disabled_at=now_ms, disabled_reason=BY_HAND, next_try_at=None)
    return hook


def renew_keys(
    writer: Writer, user_id: UserId, webhook_id: int, keys: Keys, *, reason: str | None = None, now_ms: int
) -> Webhook:
    """Replace the token or secret of a webhook at once; the actor becomes the keeper of an outgoing one."""
    hook = webhooks.one(writer, _open(writer, user_id, now_ms), webhook_id)
    if hook.direction == "outgoing":
        hook = replace(hook, keeper_id=user_id, secret=keys.secret)
    webhooks.renew(writer, hook, keys.token_hash, keys.secret, by=user_id, now_ms=now_ms)
    _note(writer, EventType.WEBHOOK_RENEWED, hook, user_id, None, None, reason, now_ms)
    return hook


def delete_webhook(writer: Writer, user_id: UserId, webhook_id: int, *, reason: str | None = None, now_ms: int) -> None:
    """Delete a webhook; its messages stay."""
    hook = webhooks.one(writer, _open(writer, user_id, now_ms), webhook_id)
    webhooks.delete(writer, hook, by=user_id, now_ms=now_ms)
    _note(writer, EventType.WEBHOOK_DELETED, hook, user_id, webhooks.facts(hook), None, reason, now_ms)


def post(
    writer: Writer, webhook_id: int, token_hash: bytes, draft: Draft, username: str | None, *, now_ms: int
) -> Sent:
    """Store a message of an incoming webhook, once for each nonce; its author is the webhook's own user.

    `username` is the name to show for this message. The channel's rules apply, except slow mode. Raises NotFoundError
    for a wrong token, ConflictError for a channel that takes no messages, MaybeSentError when the nonce's message may
    be in a segment.
    """
    hook = webhooks.opened_with(writer, webhook_id, token_hash)
    assert hook.channel_id is not None
    author_id = UserId(webhook_id)
    channel = access.open_for_webhook(writer, author_id, hook.channel_id)
    known = nonces.find_in(writer, channel, draft.nonce)
    if known is not None:
        return Sent(known, is_new=False)
    _require_writable(writer, channel, draft)
    called = mentions.of(writer, channel, draft.content, draft.named, now_ms=now_ms)
    message = messages.insert(writer, channel, draft, called=called, now_ms=now_ms)
    if message is None:
        raise ConflictError(NONCE_USED)
    facts = {"webhook_id": str(webhook_id)} | ({} if username is None else {"username": username})
    message = messages.put_metadata(writer, message, facts)
    events.append_created(writer, message, now_ms=now_ms)
    if draft.thread_id is not None:
        threads.wake(writer, channel, draft.thread_id, now_ms=now_ms)
    return Sent(message, is_new=True)


def find_posted(reader: Reader, webhook_id: int, token_hash: bytes, nonce: str | None) -> Message | None:
    """Return the message that a webhook posted with a nonce to its channel; raises NotFoundError for a wrong token, and
    MaybeSentError."""
    hook = webhooks.opened_with(reader, webhook_id, token_hash)
    assert hook.channel_id is not None
    author_id = UserId(webhook_id)
    return nonces.find_in(reader, access.open_for_webhook(reader, author_id, hook.channel_id), nonce)


def _require_writable(reader: Reader, channel: Channel, draft: Draft) -> None:
    message_actions.require_writable(channel)
    if draft.thread_id is not None:
        if threads.is_locked(reader, channel, draft.thread_id):
            raise ConflictError("This thread is locked.")
    elif channel.thread_mode == "required":
        raise ConflictError("Messages of this channel belong into a thread: name one.")


def _open(reader: Reader, user_id: UserId, now_ms: int) -> Sight:
    access.open_community(reader, user_id, 0, now_ms=now_ms)
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    webhooks.require_managing(sight)
    return sight


def _require_place(
    reader: Reader, sight: Sight, channel_id: ChannelId | None, *, is_incoming: bool, now_ms: int
) -> None:
    """Raise unless a member may have a webhook in a channel, or with None in the whole room."""
    if channel_id is None:
        if is_incoming:
            raise ConflictError("What comes in has to go into a channel.")
        access.require(sight.member.permissions, permissions.MANAGE_WEBHOOKS)
    elif is_incoming:
        need = permissions.MANAGE_WEBHOOKS | permissions.SEND_MESSAGES
        user_id = sight.member.user_id
        message_actions.require_writable(access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms))
    else:
        sight.require(channel_id, permissions.MANAGE_WEBHOOKS | permissions.READ_HISTORY)


def _note(
    writer: Writer,
    action: EventType,
    hook: Webhook,
    user_id: UserId,
    before: diffs.Facts | None,
    after: diffs.Facts | None,
    reason: str | None,
    now_ms: int,
) -> None:
    audit.append(
        writer, action, actor_id=user_id, target=("webhook", hook.id), before=before, after=after, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
