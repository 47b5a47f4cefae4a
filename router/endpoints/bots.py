"""Bots: making them, giving them tokens, and letting them into rooms. No bot does any of it."""

from dataclasses import dataclass
from typing import cast

from directory import bot_tokens, bots
from directory.bots import BotFields
from directory.directory import Directory
from router.doors import RoomDoor
from router.entering import Entrance
from router.table import Call, Reply, Route
from router.views import bots as views
from router.views.bots import BotListView, BotTokenListView, BotView, IssuedTokenView
from router.wire.bots import CreateBot, IssueToken, UpdateBot
from router.wire.fields import Nothing, Why
from shard.acts import admitting
from shard.errors import NotFoundError
from shard.pool import ShardPool

BOTS = "/v1/bots"
BOT = BOTS + "/{bot_id}"
IN_ROOM = "/v1/rooms/{room_id}/bots/{bot_id}"


@dataclass(frozen=True, slots=True)
class Bots:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    entrance: Entrance

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "bots"
        return (
            Route("POST", BOTS, self.create, "Make a bot", tag, BotView, 201, CreateBot, refusals=(409,)),
            Route("GET", BOTS, self.mine, "My bots", tag, BotListView),
            Route("GET", BOT, self.one, "Look at a bot", tag, BotView),
            Route("PATCH", BOT, self.update, "Change a bot", tag, BotView, takes=UpdateBot),
            Route("DELETE", BOT, self.delete, "Delete a bot", tag, None, 204),
            Route(
                "POST", BOT + "/tokens", self.issue, "Give a bot a token", tag, IssuedTokenView, 201, IssueToken,
                refusals=(409,),
            ),
            Route("GET", BOT + "/tokens", self.tokens, "A bot's tokens", tag, BotTokenListView),
            Route("DELETE", BOT + "/tokens/{token_id}", self.revoke, "Revoke a bot's token", tag, None, 204),
            Route("PUT", IN_ROOM, self.add, "Let a bot into a room", tag, None, 204, Why, refusals=(409,)),
            Route("DELETE", IN_ROOM, self.remove, "Put a bot out of a room", tag, None, 204, Why, refusals=(409,)),
        )  # fmt: skip

    async def create(self, call: Call[CreateBot, Nothing]) -> Reply:
        """Make a bot, which one then answers for; guests have none."""
        async with self.directory.database.write() as writer:
            bot = await bots.create(
                writer,
                call.user_id,
                username=call.body.username,
                display_name=call.body.display_name,
                is_public=call.body.is_public,
                origin=call.origin,
                now_ms=call.now_ms,
            )
        return Reply(views.bot(bot), 201)

    async def mine(self, call: Call[Nothing, Nothing]) -> Reply:
        """List one's own bots."""
        async with self.directory.database.read() as reader:
            rows = await bots.of_owner(reader, call.user_id)
        answer: BotListView = {"bots": [views.bot(row) for row in rows]}
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Look at a public bot, or one of one's own."""
        async with self.directory.database.read() as reader:
            return Reply(views.bot(await bots.find_for(reader, call.path["bot_id"], call.user_id)))

    async def update(self, call: Call[UpdateBot, Nothing]) -> Reply:
        """Change what was sent of a bot of one's own."""
        fields = cast(BotFields, call.body.model_dump(exclude_unset=True))
        async with self.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.path["bot_id"], call.user_id)
            bot = await bots.update(writer, bot, fields, origin=call.origin, now_ms=call.now_ms)
        return Reply(views.bot(bot))

    async def delete(self, call: Call[Nothing, Nothing]) -> Reply:
        """Delete a bot of one's own, for good: its tokens end, and what it said stays."""
        async with self.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.path["bot_id"], call.user_id)
            await bots.delete(writer, bot, origin=call.origin, now_ms=call.now_ms)
        return Reply(status=204)

    async def issue(self, call: Call[IssueToken, Nothing]) -> Reply:
        """Give a bot of one's own a token, which is told this once."""
        lifetime = call.body.expires_in_seconds
        async with self.directory.database.write() as writer:
            token, row = await bot_tokens.issue(
                writer,
                await bots.find_own(writer, call.path["bot_id"], call.user_id),
                name=call.body.name,
                scopes=call.body.scopes,
                expires_at=None if lifetime is None else call.now_ms + lifetime * 1000,
                origin=call.origin,
                now_ms=call.now_ms,
            )
        answer: IssuedTokenView = {"token": token, "details": views.token(row)}
        return Reply(answer, 201)

    async def tokens(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the live tokens of a bot of one's own, without what they are."""
        async with self.directory.database.read() as reader:
            bot = await bots.find_own(reader, call.path["bot_id"], call.user_id)
            rows = await bot_tokens.of_bot(reader, bot.id, now_ms=call.now_ms)
        answer: BotTokenListView = {"tokens": [views.token(row) for row in rows]}
        return Reply(answer)

    async def revoke(self, call: Call[Nothing, Nothing]) -> Reply:
        """End a token of a bot of one's own, at once."""
        async with self.directory.database.write() as writer:
            bot = await bots.find_own(writer, call.path["bot_id"], call.user_id)
            await bot_tokens.revoke(writer, bot, call.path["token_id"], origin=call.origin, now_ms=call.now_ms)
        return Reply(status=204)

    async def add(self, call: Call[Why, Nothing]) -> Reply:
        """Let a public bot, or one of one's own, into a community; needs manage_room."""
        room_id, bot_id = call.path["room_id"], call.path["bot_id"]
        await self._require_manager(call)
        async with self.directory.database.read() as reader:
            bot = await bots.find_for(reader, bot_id, call.user_id)
        await self.entrance.refuse_full(room_id, bot.id)
        await self.pool.write(
            room_id, admitting.add_bot, call.user_id, bot.id, reason=call.body.reason, now_ms=call.now_ms
        )
        await self.entrance.follow(room_id, bot.id)
        return Reply(status=204)

    async def remove(self, call: Call[Why, Nothing]) -> Reply:
        """Put a bot out of a room, and one that is not in stays out; needs manage_room and a role above the bot's."""
        room_id, bot_id = call.path["room_id"], call.path["bot_id"]
        await self._require_manager(call)
        found = await self.directory.profiles.load([bot_id])
        if bot_id not in found or not found[bot_id].is_bot:
            raise NotFoundError("bot")
        await self.pool.write(
            room_id, admitting.remove_bot, call.user_id, bot_id, reason=call.body.reason, now_ms=call.now_ms
        )
        await self.entrance.follow(room_id, bot_id)
        return Reply(status=204)

    async def _require_manager(self, call: Call[Why, Nothing]) -> None:
        """Whoever may not add bots learns nothing of which there are."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.door.require_community(room.room_id, call.user_id, now_ms=call.now_ms)
        await self.pool.read(room.room_id, admitting.may_manage_bots, call.user_id, now_ms=call.now_ms)
