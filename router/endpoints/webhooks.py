"""Endpoints of webhooks: incoming ones post into a channel, outgoing ones send events to a URL."""

import base64
import secrets
import time
from typing import Final

from directory import webhooks
from directory.rooms import RoomAddress
from directory.sessions import hash_token
from ids import ChannelId, RoomId
from router.context import AppContext
from router.errors import FieldFault, InvalidError
from router.outbound import BadTargetError
from router.rate_limits import Buckets, Rate
from router.room_access import Need
from router.routes import Access, Call, Reply, Route
from router.schemas import messages
from router.schemas import webhooks as schemas
from router.schemas.fields import Nothing, Why
from router.schemas.messages import MessageView
from router.schemas.webhooks import (
    CreateIncoming,
    CreateOutgoing,
    IncomingView,
    IssuedIncomingView,
    IssuedOutgoingView,
    OutgoingView,
    PingView,
    PostByWebhook,
    UpdateWebhook,
    WebhookListView,
)
from router.scopes import Scope
from shard.actions import webhooks as webhook_actions
from shard.actions.webhooks import Keys
from shard.errors import ConflictError, NotFoundError, RejectedError
from shard.history import mentions
from shard.tables.webhooks import Webhook

WEBHOOKS = "/v1/rooms/{room_id}/webhooks"
ONE = WEBHOOKS + "/{webhook_id}"
POST = "/v1/hooks/{webhook_id}/{token}"
PREFIX: Final = "rkh_"
"""Prefix of tokens, by which scanners for leaked secrets recognize one."""
SIGNING_PREFIX: Final = "whsec_"
"""Prefix of signing secrets before their base64, from the Standard Webhooks specification."""
PING_RATE: Final = Rate(0.2, 5)
"""Rate of pings of a room: a user must not be able to make the server contact hosts as often as they like."""


class Webhooks:
    """The endpoints and what they need; `rates` limits posts by webhooks."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.rates = Buckets("webhook", context.options.webhook_rate)
        self.pings = Buckets("ping", PING_RATE)

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, scope, refusals = "webhooks", Scope.WEBHOOKS_MANAGE, (409,)
        return (
            Route(
                "POST", POST, self.post, "Post by a webhook", tag, MessageView, 201, PostByWebhook, access=Access.OPEN,
                or_status=200, refusals=refusals,
            ),
            Route(
                "GET", WEBHOOKS, self.listed, "List webhooks", tag, WebhookListView, refusals=refusals,
                room=Need.READ, community_only=True, scope=scope,
            ),
            Route(
                "POST", WEBHOOKS + "/incoming", self.create_incoming, "Create an incoming webhook", tag,
                IssuedIncomingView, 201, CreateIncoming, refusals=refusals, room=Need.WRITE, community_only=True,
                scope=scope,
            ),
            Route(
                "POST", WEBHOOKS + "/outgoing", self.create_outgoing, "Create an outgoing webhook", tag,
                IssuedOutgoingView, 201, CreateOutgoing, refusals=refusals, room=Need.WRITE, community_only=True,
                scope=scope,
            ),
            Route(
                "GET", ONE, self.one, "Get a webhook", tag, IncomingView | OutgoingView, refusals=refusals,
                room=Need.READ, community_only=True, scope=scope,
            ),
            Route(
                "PATCH", ONE, self.update, "Change a webhook", tag, IncomingView | OutgoingView, takes=UpdateWebhook,
                refusals=refusals, room=Need.WRITE, community_only=True, scope=scope,
            ),
            Route(
                "DELETE", ONE, self.delete, "Delete a webhook", tag, None, 204, Why, refusals=refusals, room=Need.FREE,
                community_only=True, scope=scope,
            ),
            Route(
                "POST", ONE + "/renew", self.renew, "Renew a webhook's token or secret", tag,
                IssuedIncomingView | IssuedOutgoingView, 200, Why, refusals=refusals, room=Need.WRITE,
                community_only=True, scope=scope,
            ),
            Route(
                "POST", ONE + "/ping", self.ping, "Ping an outgoing webhook", tag, PingView, refusals=refusals,
                room=Need.READ, community_only=True, scope=scope,
            ),
        )  # fmt: skip

    async def post(self, call: Call[PostByWebhook, Nothing]) -> Reply:
        """Post a message by a webhook. The token in the address is the only credential. Returns 201, or 200 with the
        stored message when its nonce was sent before."""
        body, webhook_id, token_hash = call.body, call.webhook_id, hash_token(call.token)
        # Keyed by the token too: guesses with the id alone must not use up the webhook's own rate.
        self.rates.take((webhook_id, token_hash), time.monotonic())
        room = await self._room_of(webhook_id)
        if room.state == "readonly":
            known = await self.context.history.find_posted(room.room_id, webhook_id, token_hash, body.nonce)
            if known is None:
                self.context.rooms.refuse_read_only(room)
            else:
                return Reply(messages.message(room.room_id, known))
        draft = await mentions.add_to(body.draft())
        sent = await self.context.history.post_by_webhook(
            room.room_id, webhook_id, token_hash, draft, body.username, now_ms=call.now_ms
        )
        return Reply(messages.message(room.room_id, sent.message), 201 if sent.is_new else 200)

    async def _room_of(self, webhook_id: int) -> RoomAddress:
        """Return the room of an incoming webhook; raises NotFoundError, the same whether webhook or room is missing."""
        async with self.context.directory.database.read() as reader:
            room_id = await webhooks.find_room(reader, webhook_id)
        if room_id is None:
            raise NotFoundError("webhook")
        try:
            return await self.context.rooms.readable(room_id)
        except NotFoundError:
            raise NotFoundError("webhook") from None

    async def listed(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the webhooks that the caller manages. Needs `manage_webhooks` in the room or in a channel."""
        found = await call.room.read(webhook_actions.list_webhooks)
        people = {hook.created_by for hook in found} | {hook.keeper_id for hook in found if hook.keeper_id is not None}
        answer: WebhookListView = {
            "incoming": [schemas.incoming(call.room_id, hook) for hook in found if hook.direction == "incoming"],
            "outgoing": [schemas.outgoing(call.room_id, hook) for hook in found if hook.direction == "outgoing"],
            "users": await self.context.people.of(people),
        }
        return Reply(answer)

    async def create_incoming(self, call: Call[CreateIncoming, Nothing]) -> Reply:
        """Create an incoming webhook: anyone with its token can post into a channel. Needs `manage_webhooks`, and the
        permissions to write there."""
        body, channel_id = call.body, ChannelId(call.body.channel_id)
        await call.room.read(webhook_actions.may_create, channel_id, is_incoming=True)
        async with self.context.directory.database.write() as writer:
            webhook_id = await webhooks.register_incoming(writer, call.room_id, body.name, now_ms=call.now_ms)
        token = _new_token()
        try:
            hook = await call.room.write(
                webhook_actions.create_incoming,
                webhook_id,
                body.name,
                channel_id,
                Keys(hash_token(token), b""),
                reason=body.reason,
            )
        except RejectedError:
            await self._forget(webhook_id)
            raise
        return Reply(self._issued_incoming(call.room_id, hook, token), 201)

    async def create_outgoing(self, call: Call[CreateOutgoing, Nothing]) -> Reply:
        """Create an outgoing webhook: events from now on are sent to a URL. Needs `manage_webhooks` in the whole room,
        or in the channel if one is named."""
        body = call.body
        channel_id = None if body.channel_id is None else ChannelId(body.channel_id)
        await call.room.read(webhook_actions.may_create, channel_id, is_incoming=False)
        self._require_target(body.url)
        async with self.context.directory.database.write() as writer:
            webhook_id = await webhooks.register_outgoing(writer, call.room_id, now_ms=call.now_ms)
        try:
            hook = await call.room.write(
                webhook_actions.create_outgoing,
                webhook_id,
                body.changes(),
                Keys(b"", secrets.token_bytes(32)),
                reason=body.reason,
            )
        except RejectedError:
            await self._forget(webhook_id)
            raise
        self.context.deliveries.watch(call.room_id)
        return Reply(_issued_outgoing(call.room_id, hook), 201)

    async def _forget(self, webhook_id: int) -> None:
        async with self.context.directory.database.write() as writer:
            await webhooks.forget(writer, webhook_id)

    def _require_target(self, url: str) -> None:
        try:
            self.context.deliveries.check_url(url)
        except BadTargetError as error:
            raise InvalidError([FieldFault("body.url", f"expected {error}")]) from None

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a webhook that the caller manages."""
        return Reply(schemas.either(call.room_id, await self._find(call)))

    async def _find(self, call: Call[Nothing, Nothing]) -> Webhook:
        return await call.room.read(webhook_actions.get_webhook, call.webhook_id)

    async def update(self, call: Call[UpdateWebhook, Nothing]) -> Reply:
        """Change a webhook. A caller who changes anything but the name of an outgoing webhook becomes its keeper: it
        sends only the events that its keeper can read."""
        body, webhook_id = call.body, call.webhook_id
        if "url" in body.model_fields_set:
            # A caller who may not change it gets that error first.
            await call.room.read(webhook_actions.get_webhook, webhook_id)
            self._require_target(body.url)
        hook = await call.room.write(webhook_actions.edit_webhook, webhook_id, body.changes(), reason=body.reason)
        if hook.direction == "outgoing":
            self.context.deliveries.watch(call.room_id)
        elif "name" in body.model_fields_set:
            async with self.context.directory.database.write() as writer:
                await webhooks.rename(writer, hook.id, hook.name, now_ms=call.now_ms)
        return Reply(schemas.either(call.room_id, hook))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a webhook. The messages that it posted stay."""
        await call.room.write(webhook_actions.delete_webhook, call.webhook_id, reason=call.body.reason)
        await self._forget(call.webhook_id)
        return Reply(status=204)

    async def renew(self, call: Call[Why, Nothing]) -> Reply:
        """Replace a webhook's token or secret. The old one stops working immediately. The caller becomes the keeper of
        an outgoing webhook."""
        token = _new_token()
        hook = await call.room.write(
            webhook_actions.renew_keys,
            call.webhook_id,
            Keys(hash_token(token), secrets.token_bytes(32)),
            reason=call.body.reason,
        )
        if hook.direction == "incoming":
            return Reply(self._issued_incoming(call.room_id, hook, token))
        return Reply(_issued_outgoing(call.room_id, hook))

    async def ping(self, call: Call[Nothing, Nothing]) -> Reply:
        """Send an outgoing webhook an event of the type `webhook.pinged`, and return the result."""
        hook = await self._find(call)
        if hook.direction == "incoming":
            raise ConflictError("This webhook takes messages in: post to it instead.")
        self.pings.take(call.room_id, time.monotonic())
        return Reply(schemas.pinged(await self.context.deliveries.ping(call.room_id, hook)))

    def _issued_incoming(self, room_id: RoomId, hook: Webhook, token: str) -> IssuedIncomingView:
        url = self.context.options.own_origin + POST.format(webhook_id=hook.id, token=token)
        return {"token": token, "url": url, "webhook": schemas.incoming(room_id, hook)}


def _new_token() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def _issued_outgoing(room_id: RoomId, hook: Webhook) -> IssuedOutgoingView:
    assert hook.secret is not None
    secret = SIGNING_PREFIX + base64.b64encode(hook.secret).decode()
    return {"secret": secret, "webhook": schemas.outgoing(room_id, hook)}
