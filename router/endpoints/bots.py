"""Endpoints of bots: bots, their tokens, and their membership in rooms. None of them is available to bots."""

from dataclasses import dataclass
from typing import cast

from directory import bot_tokens, bots
from directory.bots import BotFields
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import bots as schemas
from router.schemas.bots import (
    BotListView,
    BotTokenListView,
    BotView,
    CreateBot,
    IssuedTokenView,
    IssueToken,
    UpdateBot,
)
from router.schemas.fields import Nothing, Why
from shard.actions import bots as bot_actions
from shard.errors import NotFoundError

BOTS = "/v1/bots"
BOT = BOTS + "/{bot_id}"
IN_ROOM = "/v1/rooms/{room_id}/bots/{bot_id}"


@dataclass(frozen=True, slots=True)
class Bots:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "bots"
        return (
            Route("POST", BOTS, self.create, "Create a bot", tag, BotView, 201, CreateBot, refusals=(409,)),
            Route("GET", BOTS, self.mine, "List my bots", tag, BotListView),
            Route("GET", BOT, self.one, "Get a bot", tag, BotView),
            Route("PATCH", BOT, self.update, "Change a bot", tag, BotView, takes=UpdateBot),
            Route("DELETE", BOT, self.delete, "Delete a bot", tag, None, 204),
            Route(
                "POST", BOT + "/tokens", self.issue, "Issue a bot token", tag, IssuedTokenView, 201, IssueToken,
                refusals=(409,),
            ),
            Route("GET", BOT + "/tokens", self.tokens, "List a bot's tokens", tag, BotTokenListView),
            Route("DELETE", BOT + "/tokens/{token_id}", self.revoke, "Revoke a bot token", tag, None, 204),
            Route(
                "PUT", IN_ROOM, self.add, "Add a bot to a room", tag, None, 204, Why, refusals=(409,),
                room=Need.WRITE, community_only=True,
            ),
            Route(
                "DELETE", IN_ROOM, self.remove, "Remove a bot from a room", tag, None, 204, Why, refusals=(409,),
                room=Need.WRITE, community_only=True,
            ),
        )  # fmt: skip

    async def create(self, call: Call[CreateBot, Nothing]) -> Reply:
        """Create a bot, which the caller then owns. Guests cannot own bots."""
        async with self.context.directory.database.write() as writer:
            bot = await bots.create(
                writer,
                call.user_id,
                username=call.body.username,
                display_name=call.body.display_name,
                is_public=call.body.is_public,
                client=call.client,
                now_ms=call.now_ms,
            )
        return Reply(schemas.bot(bot), 201)

    async def mine(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the caller's bots."""
        async with self.context.directory.database.read() as reader:
            rows = await bots.of_owner(reader, call.user_id)
        answer: BotListView = {"bots": [schemas.bot(row) for row in rows]}
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a public bot, or one of the caller's own."""
        async with self.context.directory.database.read() as reader:
            return Reply(schemas.bot(await bots.find_for(reader, call.bot_id, call.user_id)))

    async def update(self, call: Call[UpdateBot, Nothing]) -> Reply:
        """Change one of the caller's bots. Only the fields that are sent change."""
        fields = cast(BotFields, call.body.model_dump(exclude_unset=True))
        async with self.context.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.bot_id, call.user_id)
            bot = await bots.update(writer, bot, fields, client=call.client, now_ms=call.now_ms)
        self.context.gateway.own_state.profile(bot.id, {name: getattr(bot, name) for name in fields})
        return Reply(schemas.bot(bot))

    async def delete(self, call: Call[Nothing, Nothing]) -> Reply:
        """Delete one of the caller's bots permanently. Its tokens end; its messages stay."""
        async with self.context.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.bot_id, call.user_id)
            await bots.delete(writer, bot, client=call.client, now_ms=call.now_ms)
        return Reply(status=204)

    async def issue(self, call: Call[IssueToken, Nothing]) -> Reply:
        """Issue a token for one of the caller's bots. The token is returned only once."""
        lifetime = call.body.expires_in_seconds
        async with self.context.directory.database.write() as writer:
            token, row = await bot_tokens.issue(
                writer,
                await bots.find_own(writer, call.bot_id, call.user_id),
                name=call.body.name,
                scopes=call.body.scopes,
                expires_at=None if lifetime is None else call.now_ms + lifetime * 1000,
                client=call.client,
                now_ms=call.now_ms,
            )
        answer: IssuedTokenView = {"token": token, "details": schemas.token(row)}
        return Reply(answer, 201)

    async def tokens(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the live tokens of one of the caller's bots, without their secrets."""
        async with self.context.directory.database.read() as reader:
            bot = await bots.find_own(reader, call.bot_id, call.user_id)
            rows = await bot_tokens.of_bot(reader, bot.id, now_ms=call.now_ms)
        answer: BotTokenListView = {"tokens": [schemas.token(row) for row in rows]}
        return Reply(answer)

    async def revoke(self, call: Call[Nothing, Nothing]) -> Reply:
        """Revoke a token of one of the caller's bots, with immediate effect."""
        async with self.context.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.bot_id, call.user_id)
            await bot_tokens.revoke(writer, bot, call.token_id, client=call.client, now_ms=call.now_ms)
        return Reply(status=204)

    async def add(self, call: Call[Why, Nothing]) -> Reply:
        """Add a public bot, or one of the caller's own, to a community. Needs `manage_room`."""
        # Before the lookup: the answer must not reveal which bots exist.
        await call.room.read(bot_actions.may_manage_bots)
        async with self.context.directory.database.read() as reader:
            bot = await bots.find_for(reader, call.bot_id, call.user_id)
        await self.context.entrance.refuse_full(call.room_id, bot.id)
        await call.room.write(bot_actions.add_bot, bot.id, reason=call.body.reason)
        await self.context.entrance.update_index(call.room_id, bot.id, now_ms=call.now_ms)
        return Reply(status=204)

    async def remove(self, call: Call[Why, Nothing]) -> Reply:
        """Remove a bot from a room. Returns 204 even if the bot is not a member. Needs `manage_room` and a role above
        the bot's."""
        bot_id = call.bot_id
        await call.room.read(bot_actions.may_manage_bots)
        found = await self.context.directory.profiles.load([bot_id])
        if bot_id not in found or not found[bot_id].is_bot:
            raise NotFoundError("bot")
        await call.room.write(bot_actions.remove_bot, bot_id, reason=call.body.reason)
        await self.context.entrance.update_index(call.room_id, bot_id, now_ms=call.now_ms)
        return Reply(status=204)
