"""Webhooks: who may make them and change them, and what is posted by one.

An outgoing webhook tells what its keeper sees, so whoever changes where it goes or what it tells becomes its keeper:
nobody has told to themselves what only another one sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import orjson

from ids import ChannelId, UserId
from shard import access, audit, changes, events, mentions, messages, permissions, threads, webhooks
from shard.access import Channel, Sight
from shard.acts import talking
from shard.acts.talking import Sent
from shard.connections import Reader, Writer
from shard.errors import ConflictError
from shard.messages import Draft
from shard.webhooks import Webhook

BY_HAND = "by_hand"
"""Why a webhook is disabled that somebody disabled."""
_OUTGOING = frozenset({"url", "events", "is_enabled"})


@dataclass(frozen=True, slots=True)
class Keys:
    """What a webhook may be opened or signed with, new: the SHA-256 of a token, and a secret of 32 bytes."""

    token_hash: bytes
    secret: bytes


class WebhookChanges(TypedDict, total=False):
    """What shall be otherwise about a webhook; the last three only of an outgoing one."""

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
    """Raise what making a webhook there would raise, before anything is made for it elsewhere."""
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
    """Let whoever has a token post into a channel.

    Raises ForbiddenError for whoever does not manage webhooks there or may not write there, ConflictError where nobody
    writes and for one webhook too many.
    """
    _require_place(writer, _open(writer, user_id, now_ms), channel_id, is_incoming=True, now_ms=now_ms)
    hook = Webhook(webhook_id, channel_id, name, "incoming", user_id, now_ms)
    webhooks.insert(writer, hook, keys.token_hash, now_ms=now_ms)
    _note(writer, "webhook.created", hook, user_id, None, webhooks.facts(hook), reason, now_ms)
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
    """Tell an address of what happens from now on in a channel, or in all that its keeper reads.

    Raises ForbiddenError for whoever does not manage webhooks there, ConflictError for one webhook too many.
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
        # The next event tells that the webhook was made.
        last_seq=events.last_seq(writer) + 1,
    )
    webhooks.insert(writer, hook, None, now_ms=now_ms)
    _note(writer, "webhook.created", hook, user_id, None, webhooks.facts(hook), reason, now_ms)
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
    """Change a webhook; what is as wanted already leaves no trace. One that is enabled goes on where it stopped.

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
    was, now = changes.between(webhooks.facts(before), webhooks.facts(hook))
    if not now:
        return before
    if hook.direction == "outgoing" and now.keys() != {"name"} and hook.disabled_at is None:
        hook = replace(hook, keeper_id=user_id)
        was, now = changes.between(webhooks.facts(before), webhooks.facts(hook))
    webhooks.update(writer, before, hook, by=user_id, now_ms=now_ms)
    _note(writer, "webhook.edited", hook, user_id, was, now, reason, now_ms)
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
    """Give a webhook another token or secret, at once; of an outgoing one this makes one the keeper."""
    hook = webhooks.one(writer, _open(writer, user_id, now_ms), webhook_id)
    if hook.direction == "outgoing":
        hook = replace(hook, keeper_id=user_id, secret=keys.secret)
    webhooks.renew(writer, hook, keys.token_hash, keys.secret, by=user_id, now_ms=now_ms)
    _note(writer, "webhook.renewed", hook, user_id, None, None, reason, now_ms)
    return hook


def delete_webhook(writer: Writer, user_id: UserId, webhook_id: int, *, reason: str | None = None, now_ms: int) -> None:
    """Take a webhook away; what it posted stays."""
    hook = webhooks.one(writer, _open(writer, user_id, now_ms), webhook_id)
    webhooks.delete(writer, hook, by=user_id, now_ms=now_ms)
    _note(writer, "webhook.deleted", hook, user_id, webhooks.facts(hook), None, reason, now_ms)


def post(
    writer: Writer, webhook_id: int, token_hash: bytes, draft: Draft, username: str | None, *, now_ms: int
) -> Sent:
    """Store what came in by a webhook, once for each nonce, as said by the webhook's own user; `username` is what it
    calls itself this time.

    The channel's rules hold but for slow mode. Raises NotFoundError for a wrong token, ConflictError where nobody
    writes.
    """
    hook = webhooks.opened_with(writer, webhook_id, token_hash)
    assert hook.channel_id is not None
    author_id = UserId(webhook_id)
    channel = access.open_for_webhook(writer, author_id, hook.channel_id)
    known = None if draft.nonce is None else messages.sent_with(writer, author_id, draft.nonce)
    if known is not None and known.channel_id == channel.id:
        return Sent(known, is_new=False)
    _require_writable(writer, channel, draft)
    called = mentions.of(writer, channel, draft.content, now_ms=now_ms)
    message = messages.insert(writer, channel, draft, called=called, now_ms=now_ms)
    if message is None:
        raise ConflictError("This nonce was already used for another message; make a new one for every message.")
    facts = {"webhook_id": str(webhook_id)} | ({} if username is None else {"username": username})
    message = message._replace(metadata=orjson.dumps(facts).decode())
    writer.run("UPDATE messages SET metadata = ? WHERE id = ?", (message.metadata, message.id))
    events.append_created(writer, message, now_ms=now_ms)
    if draft.thread_id is not None:
        threads.wake(writer, channel, draft.thread_id, now_ms=now_ms)
    return Sent(message, is_new=True)


def require_token(reader: Reader, webhook_id: int, token_hash: bytes) -> None:
    """Raise NotFoundError for a wrong token."""
    webhooks.opened_with(reader, webhook_id, token_hash)


def _require_writable(reader: Reader, channel: Channel, draft: Draft) -> None:
    talking.require_writable(channel)
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
    """Raise what keeps a member from having a webhook in a channel, or with None in the whole room."""
    if channel_id is None:
        if is_incoming:
            raise ConflictError("What comes in has to go into a channel.")
        access.require(sight.member.permissions, permissions.MANAGE_WEBHOOKS)
    elif is_incoming:
        need = permissions.MANAGE_WEBHOOKS | permissions.SEND_MESSAGES
        user_id = sight.member.user_id
        talking.require_writable(access.open_channel(reader, user_id, channel_id, need, now_ms=now_ms))
    else:
        sight.require(channel_id, permissions.MANAGE_WEBHOOKS | permissions.READ_HISTORY)


def _note(
    writer: Writer,
    action: str,
    hook: Webhook,
    user_id: UserId,
    before: changes.Facts | None,
    after: changes.Facts | None,
    reason: str | None,
    now_ms: int,
) -> None:
    audit.append(
        writer, action, actor_id=user_id, target=("webhook", hook.id), before=before, after=after, reason=reason,
        now_ms=now_ms,
    )  # fmt: skip
