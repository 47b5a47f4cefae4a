"""What people hang on messages: reactions and pins."""

from dataclasses import dataclass
from typing import Any

from ids import MessageId, UserId
from router import cursors
from router.doors import People, RoomDoor
from router.errors import FieldFault, InvalidError
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import talk as talk_views
from router.views.reactions import PinPageView, ReactorPageView
from router.wire.fields import Nothing, PageQuery, Why
from shard import emoji
from shard.acts import pinning, reacting
from shard.history import History
from shard.pool import ShardPool

CHANNEL = "/v1/rooms/{room_id}/channels/{channel_id}"
MESSAGE = CHANNEL + "/messages/{message_id}"
REACTIONS = MESSAGE + "/reactions"
REACTION = REACTIONS + "/{emoji}"


@dataclass(frozen=True, slots=True)
class Reactions:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    history: History
    people: People
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, react, moderate = "reactions", Scope.REACTIONS_WRITE, Scope.MESSAGES_WRITE
        return (
            Route("PUT", REACTION, self.add, "React to a message", tag, None, 204, refusals=(409,), scope=react),
            Route(
                "DELETE", REACTION, self.take_back, "Take my reaction back", tag, None, 204, refusals=(409,),
                scope=react,
            ),
            Route(
                "GET", REACTION + "/users", self.who, "Who reacted", tag, ReactorPageView, query=PageQuery,
                scope=Scope.MESSAGES_READ,
            ),
            Route(
                "DELETE", REACTION + "/users/{user_id}", self.remove, "Remove somebody's reaction", tag, None, 204, Why,
                refusals=(409,), scope=moderate,
            ),
            Route(
                "DELETE", REACTION + "/users", self.clear_emoji, "Remove all reactions with an emoji", tag, None, 204,
                Why, refusals=(409,), scope=moderate,
            ),
            Route(
                "DELETE", REACTIONS, self.clear, "Remove all reactions of a message", tag, None, 204, Why,
                refusals=(409,), scope=moderate,
            ),
            Route(
                "PUT", MESSAGE + "/pin", self.pin, "Pin a message", "pins", None, 204, Why, refusals=(409,),
                scope=moderate,
            ),
            Route(
                "DELETE", MESSAGE + "/pin", self.unpin, "Unpin a message", "pins", None, 204, Why, refusals=(409,),
                scope=moderate,
            ),
            Route(
                "GET", CHANNEL + "/pins", self.pins, "List a channel's pins", "pins", PinPageView, query=PageQuery,
                scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def add(self, call: Call[Nothing, Nothing]) -> Reply:
        """React with an emoji, or with the name of one such as `:nest:`; the first of its kind needs add_reactions."""
        chosen = _emoji(call)
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(room.room_id, reacting.react, call.user_id, *_place(call), chosen, now_ms=call.now_ms)
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def take_back(self, call: Call[Nothing, Nothing]) -> Reply:
        """Take one's own reaction back, if it is there."""
        chosen = _emoji(call)
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(room.room_id, reacting.take_back, call.user_id, *_place(call), chosen, now_ms=call.now_ms)
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def who(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List who reacted with an emoji, by id."""
        chosen = _emoji(call)
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        found = await self.history.who_reacted(
            room.room_id,
            call.user_id,
            *_place(call),
            chosen,
            after=None if place is None else UserId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = found[:limit]
        answer: ReactorPageView = {
            "user_ids": [str(user_id) for user_id in page],
            "users": await self.people.of(page),
            "next_cursor": cursors.write(page[-1]) if len(found) > limit else None,
        }
        return Reply(answer)

    async def remove(self, call: Call[Why, Nothing]) -> Reply:
        """Remove somebody's reaction; needs manage_messages."""
        chosen = _emoji(call)
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(
            room.room_id,
            reacting.remove_reaction,
            call.user_id,
            *_place(call),
            chosen,
            call.path["user_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def clear_emoji(self, call: Call[Why, Nothing]) -> Reply:
        """Remove everybody's reactions with an emoji; needs manage_messages."""
        return await self._clear(call, _emoji(call))

    async def clear(self, call: Call[Why, Nothing]) -> Reply:
        """Remove all reactions of a message; needs manage_messages."""
        return await self._clear(call, None)

    async def _clear(self, call: Call[Why, Nothing], chosen: str | None) -> Reply:
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(
            room.room_id,
            reacting.clear_reactions,
            call.user_id,
            *_place(call),
            chosen,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def pin(self, call: Call[Why, Nothing]) -> Reply:
        """Pin a message, which its channel is told by a message of the server; needs pin_messages."""
        room = await self.door.reach_for_talking(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(
            room.room_id,
            pinning.pin_message,
            call.user_id,
            *_place(call),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def unpin(self, call: Call[Why, Nothing]) -> Reply:
        """Take a message's pin out; needs pin_messages."""
        room = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        act = self.pool.write(
            room.room_id,
            pinning.unpin_message,
            call.user_id,
            *_place(call),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self.history.changing(room.room_id, act)
        return Reply(status=204)

    async def pins(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List a channel's pinned messages, newest first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        found = await self.pool.read(
            room.room_id,
            pinning.list_pins,
            call.user_id,
            call.path["channel_id"],
            before=None if place is None else MessageId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = found[:limit]
        answer: PinPageView = {
            "messages": talk_views.messages(room.room_id, page),
            "users": await self.people.of(talk_views.people_in(page)),
            "next_cursor": cursors.write(page[-1].id) if len(found) > limit else None,
        }
        return Reply(answer)


def _place(call: Call[Any, Any]) -> tuple[Any, Any]:
    return call.path["channel_id"], call.path["message_id"]


def _emoji(call: Call[Any, Any]) -> str:
    """Return the emoji of the path; raises InvalidError for what is none."""
    text: str = call.path["emoji"]
    if not emoji.is_one(text):
        raise InvalidError([FieldFault("path.emoji", "one emoji, percent-encoded, or the name of one, such as :nest:")])
    return text
