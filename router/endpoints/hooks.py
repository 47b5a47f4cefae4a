"""Webhooks: letting programs post into a channel, and telling programs elsewhere what happens."""

import base64
import secrets
import time
from dataclasses import dataclass
from typing import Final

from directory import hooks
from directory.directory import Directory
from directory.sessions import hash_token
from ids import ChannelId, RoomId, ThreadId
from router.deliveries import Deliveries
from router.doors import People, RoomDoor
from router.errors import FieldFault, InvalidError
from router.limits import Buckets, Rate
from router.outbound import BadTargetError
from router.scopes import Scope
from router.table import Call, Gate, Reply, Route
from router.views import hooks as views
from router.views import talk
from router.views.hooks import (
    IncomingView,
    IssuedIncomingView,
    IssuedOutgoingView,
    OutgoingView,
    PingView,
    WebhookListView,
)
from router.views.talk import MessageView
from router.wire.fields import Nothing, Why
from router.wire.hooks import CreateIncoming, CreateOutgoing, PostByWebhook, UpdateWebhook
from shard.acts import hooking
from shard.acts.hooking import Keys
from shard.errors import ConflictError, NotFoundError, RejectedError
from shard.messages import Draft
from shard.pool import ShardPool
from shard.webhooks import Webhook

WEBHOOKS = "/v1/rooms/{room_id}/webhooks"
ONE = WEBHOOKS + "/{webhook_id}"
POST = "/v1/hooks/{webhook_id}/{token}"
PREFIX: Final = "rkh_"
"""So that scanners for leaked secrets know a token when they see one."""
SIGNING_PREFIX: Final = "whsec_"
"""As the Standard Webhooks specification has it, before the secret's base64."""
PING_RATE: Final = Rate(0.2, 5)
"""Pings of a room: a person cannot have us knock anywhere as often as they like."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The endpoints and what they need; `rates` are those of posting by a webhook."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    deliveries: Deliveries
    rates: Buckets
    pings: Buckets
    origin: str
    message_length_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope, refusals = "webhooks", Scope.WEBHOOKS_MANAGE, (409,)
        return (
            Route(
                "POST", POST, self.post, "Post by a webhook", tag, MessageView, 201, PostByWebhook, gate=Gate.OPEN,
                or_status=200, refusals=refusals,
            ),
            Route(
                "GET", WEBHOOKS, self.listed, "Webhooks of a room", tag, WebhookListView, refusals=refusals,
                scope=scope,
            ),
            Route(
                "POST", WEBHOOKS + "/incoming", self.create_incoming, "Make an incoming webhook", tag,
                IssuedIncomingView, 201, CreateIncoming, refusals=refusals, scope=scope,
            ),
            Route(
                "POST", WEBHOOKS + "/outgoing", self.create_outgoing, "Make an outgoing webhook", tag,
                IssuedOutgoingView, 201, CreateOutgoing, refusals=refusals, scope=scope,
            ),
            Route(
                "GET", ONE, self.one, "Look at a webhook", tag, IncomingView | OutgoingView, refusals=refusals,
                scope=scope,
            ),
            Route(
                "PATCH", ONE, self.update, "Change a webhook", tag, IncomingView | OutgoingView, takes=UpdateWebhook,
                refusals=refusals, scope=scope,
            ),
            Route("DELETE", ONE, self.delete, "Delete a webhook", tag, None, 204, Why, refusals=refusals, scope=scope),
            Route(
                "POST", ONE + "/renew", self.renew, "Give a webhook another token or secret", tag,
                IssuedIncomingView | IssuedOutgoingView, 200, Why, refusals=refusals, scope=scope,
            ),
            Route(
                "POST", ONE + "/ping", self.ping, "Try an outgoing webhook", tag, PingView, refusals=refusals,
                scope=scope,
            ),
        )  # fmt: skip

    async def post(self, call: Call[PostByWebhook, Nothing]) -> Reply:
        """Store a message by a webhook, whose token is all it takes: 201, or 200 when its nonce was sent before."""
        body, webhook_id, token_hash = call.body, call.path["webhook_id"], hash_token(call.path["token"])
        if len(body.said) > self.message_length_max:
            raise InvalidError([FieldFault("body.content", f"at most {self.message_length_max} characters")])
        # Whoever only knows the id, and guesses, uses up nothing of the webhook's.
        self.rates.take((webhook_id, token_hash), time.monotonic())
        room_id = await self._room_of(webhook_id, token_hash)
        sent = await self.pool.write(
            room_id,
            hooking.post,
            webhook_id,
            token_hash,
            Draft(body.said, body.nonce, None if body.thread_id is None else ThreadId(body.thread_id)),
            body.username,
            now_ms=call.now_ms,
        )
        return Reply(talk.message(room_id, sent.message), 201 if sent.is_new else 200)

    async def _room_of(self, webhook_id: int, token_hash: bytes) -> RoomId:
        """Return the room of an incoming webhook; raises NotFoundError, the same whatever is not there."""
        async with self.directory.database.read() as reader:
            room_id = await hooks.find_room(reader, webhook_id)
        if room_id is None:
            raise NotFoundError("webhook")
        try:
            room = await self.door.reach(room_id)
        except NotFoundError:
            raise NotFoundError("webhook") from None
        if room.state == "readonly":
            await self.pool.read(room_id, hooking.require_token, webhook_id, token_hash)
            self.door.refuse_read_only(room)
        return room_id

    async def listed(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the webhooks that the caller manages; needs manage_webhooks in the room or in a channel."""
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(room.room_id, hooking.list_webhooks, call.user_id, now_ms=call.now_ms)
        people = {hook.created_by for hook in found} | {hook.keeper_id for hook in found if hook.keeper_id is not None}
        answer: WebhookListView = {
            "incoming": [views.incoming(room.room_id, hook) for hook in found if hook.direction == "incoming"],
            "outgoing": [views.outgoing(room.room_id, hook) for hook in found if hook.direction == "outgoing"],
            "users": await self.people.of(people),
        }
        return Reply(answer)

    async def create_incoming(self, call: Call[CreateIncoming, Nothing]) -> Reply:
        """Let whoever has the token post into a channel; needs manage_webhooks, and what it takes to write there."""
        body, channel_id = call.body, ChannelId(call.body.channel_id)
        room_id = await self._place(call, channel_id, is_incoming=True)
        async with self.directory.database.write() as writer:
            webhook_id = await hooks.register_incoming(writer, room_id, body.name, now_ms=call.now_ms)
        token = _new_token()
        try:
            hook = await self.pool.write(
                room_id,
                hooking.create_incoming,
                call.user_id,
                webhook_id,
                body.name,
                channel_id,
                Keys(hash_token(token), b""),
                reason=body.reason,
                now_ms=call.now_ms,
            )
        except RejectedError:
            await self._forget(webhook_id)
            raise
        return Reply(self._issued_incoming(room_id, hook, token), 201)

    async def create_outgoing(self, call: Call[CreateOutgoing, Nothing]) -> Reply:
        """Tell a URL what happens from now on; needs manage_webhooks, in the whole room unless a channel is named."""
        body = call.body
        channel_id = None if body.channel_id is None else ChannelId(body.channel_id)
        room_id = await self._place(call, channel_id, is_incoming=False)
        self._require_target(body.url)
        async with self.directory.database.write() as writer:
            webhook_id = await hooks.register_outgoing(writer, room_id, now_ms=call.now_ms)
        try:
            hook = await self.pool.write(
                room_id,
                hooking.create_outgoing,
                call.user_id,
                webhook_id,
                body.changes(),
                Keys(b"", secrets.token_bytes(32)),
                reason=body.reason,
                now_ms=call.now_ms,
            )
        except RejectedError:
            await self._forget(webhook_id)
            raise
        self.deliveries.watch(room_id)
        return Reply(_issued_outgoing(room_id, hook), 201)

    async def _place(
        self, call: Call[CreateIncoming, Nothing] | Call[CreateOutgoing, Nothing], channel_id: ChannelId | None, *,
        is_incoming: bool,
    ) -> RoomId:  # fmt: skip
        """Return the room, once it is known that the caller may have a webhook there."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.read(
            room.room_id, hooking.may_create, call.user_id, channel_id, is_incoming=is_incoming, now_ms=call.now_ms
        )
        return room.room_id

    async def _forget(self, webhook_id: int) -> None:
        async with self.directory.database.write() as writer:
            await hooks.forget(writer, webhook_id)

    def _require_target(self, url: str) -> None:
        try:
            self.deliveries.takes(url)
        except BadTargetError as error:
            raise InvalidError([FieldFault("body.url", f"expected {error}")]) from None

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Look at a webhook that the caller manages."""
        room = await self.door.reach(call.path["room_id"])
        return Reply(views.either(room.room_id, await self._find(room.room_id, call)))

    async def _find(self, room_id: RoomId, call: Call[Nothing, Nothing]) -> Webhook:
        webhook_id, now_ms = call.path["webhook_id"], call.now_ms
        return await self.pool.read(room_id, hooking.get_webhook, call.user_id, webhook_id, now_ms=now_ms)

    async def update(self, call: Call[UpdateWebhook, Nothing]) -> Reply:
        """Change a webhook. Whoever changes where an outgoing one goes, or what it tells, becomes its keeper: it tells
        what they may read."""
        body, webhook_id = call.body, call.path["webhook_id"]
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        if "url" in body.model_fields_set:
            # Who may not change it hears that first.
            await self.pool.read(room.room_id, hooking.get_webhook, call.user_id, webhook_id, now_ms=call.now_ms)
            self._require_target(body.url)
        hook = await self.pool.write(
            room.room_id,
            hooking.edit_webhook,
            call.user_id,
            webhook_id,
            body.changes(),
            reason=body.reason,
            now_ms=call.now_ms,
        )
        if hook.direction == "outgoing":
            self.deliveries.watch(room.room_id)
        elif "name" in body.model_fields_set:
            async with self.directory.database.write() as writer:
                await hooks.rename(writer, hook.id, hook.name, now_ms=call.now_ms)
        return Reply(views.either(room.room_id, hook))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a webhook; what it posted stays."""
        webhook_id = call.path["webhook_id"]
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            hooking.delete_webhook,
            call.user_id,
            webhook_id,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self._forget(webhook_id)
        return Reply(status=204)

    async def renew(self, call: Call[Why, Nothing]) -> Reply:
        """Give a webhook another token or secret; the old one is worth nothing from then on."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        token = _new_token()
        hook = await self.pool.write(
            room.room_id,
            hooking.renew_keys,
            call.user_id,
            call.path["webhook_id"],
            Keys(hash_token(token), secrets.token_bytes(32)),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        if hook.direction == "incoming":
            return Reply(self._issued_incoming(room.room_id, hook, token))
        return Reply(_issued_outgoing(room.room_id, hook))

    async def ping(self, call: Call[Nothing, Nothing]) -> Reply:
        """Send an outgoing webhook an event of the type `webhook.pinged`, and tell how that went."""
        room = await self.door.reach(call.path["room_id"])
        hook = await self._find(room.room_id, call)
        if hook.direction == "incoming":
            raise ConflictError("This webhook takes messages in: post to it instead.")
        self.pings.take(room.room_id, time.monotonic())
        return Reply(views.pinged(await self.deliveries.ping(room.room_id, hook)))

    def _issued_incoming(self, room_id: RoomId, hook: Webhook, token: str) -> IssuedIncomingView:
        url = self.origin + POST.format(webhook_id=hook.id, token=token)
        return {"token": token, "url": url, "webhook": views.incoming(room_id, hook)}


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _issued_outgoing(room_id: RoomId, hook: Webhook) -> IssuedOutgoingView:
    assert hook.secret is not None
    secret = SIGNING_PREFIX + base64.b64encode(hook.secret).decode()
    return {"secret": secret, "webhook": views.outgoing(room_id, hook)}
