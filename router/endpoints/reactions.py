"""Endpoints of reactions and pins."""

from dataclasses import dataclass
from typing import Any

from ids import ChannelId, MessageId, UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import messages as message_schemas
from router.schemas import pages
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.reactions import PinPageView, ReactorPageView
from router.scopes import Scope
from shard.actions import pins, reactions

CHANNEL = "/v1/rooms/{room_id}/channels/{channel_id}"
MESSAGE = CHANNEL + "/messages/{message_id}"
REACTIONS = MESSAGE + "/reactions"
REACTION = REACTIONS + "/{emoji}"


@dataclass(frozen=True, slots=True)
class Reactions:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, react, moderate = "reactions", Scope.REACTIONS_WRITE, Scope.MESSAGES_WRITE
        return (
            Route(
                "PUT", REACTION, self.add, "React to a message", tag, None, 204, refusals=(409,), room=Need.TALK,
                scope=react,
            ),
            Route(
                "DELETE", REACTION, self.take_back, "Remove my reaction", tag, None, 204, refusals=(409,),
                room=Need.FREE, scope=react,
            ),
            Route(
                "GET", REACTION + "/users", self.who, "List the users of a reaction", tag, ReactorPageView,
                query=PageQuery, room=Need.READ, scope=Scope.MESSAGES_READ,
            ),
            Route(
                "DELETE", REACTION + "/users/{user_id}", self.remove, "Remove a user's reaction", tag, None, 204, Why,
                refusals=(409,), room=Need.FREE, scope=moderate,
            ),
            Route(
                "DELETE", REACTION + "/users", self.clear_emoji, "Remove all reactions with an emoji", tag, None, 204,
                Why, refusals=(409,), room=Need.FREE, scope=moderate,
            ),
            Route(
                "DELETE", REACTIONS, self.clear, "Remove all reactions of a message", tag, None, 204, Why,
                refusals=(409,), room=Need.FREE, scope=moderate,
            ),
            Route(
                "PUT", MESSAGE + "/pin", self.pin, "Pin a message", "pins", None, 204, Why, refusals=(409,),
                room=Need.TALK, scope=moderate,
            ),
            Route(
                "DELETE", MESSAGE + "/pin", self.unpin, "Unpin a message", "pins", None, 204, Why, refusals=(409,),
                room=Need.FREE, scope=moderate,
            ),
            Route(
                "GET", CHANNEL + "/pins", self.pins, "List a channel's pins", "pins", PinPageView, query=PageQuery,
                room=Need.READ, scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def add(self, call: Call[Nothing, Nothing]) -> Reply:
        """React to a message with an emoji, or with the name of one such as `:nest:`. The first reaction with an emoji
        needs `add_reactions`."""
        act = call.room.write(reactions.react, *_place(call), call.emoji)
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def take_back(self, call: Call[Nothing, Nothing]) -> Reply:
        """Remove the caller's own reaction. Returns 204 even if there is none."""
        act = call.room.write(reactions.take_back, *_place(call), call.emoji)
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def who(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the users who reacted with an emoji, by id."""
        limit, place = call.query.limit, call.query.place
        found = await call.room.ask(
            self.context.history.who_reacted,
            *_place(call),
            call.emoji,
            after=None if place is None else UserId(place[0]),
            limit=limit + 1,
        )
        page = found[:limit]
        answer: ReactorPageView = {
            "user_ids": [str(user_id) for user_id in page],
            "users": await self.context.people.of(page),
            "next_cursor": pages.write(page[-1]) if len(found) > limit else None,
        }
        return Reply(answer)

    async def remove(self, call: Call[Why, Nothing]) -> Reply:
        """Remove another user's reaction. Needs `manage_messages`."""
        act = call.room.write(
            reactions.remove_reaction, *_place(call), call.emoji, call.target_id, reason=call.body.reason
        )
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def clear_emoji(self, call: Call[Why, Nothing]) -> Reply:
        """Remove all reactions with an emoji. Needs `manage_messages`."""
        return await self._clear(call, call.emoji)

    async def clear(self, call: Call[Why, Nothing]) -> Reply:
        """Remove all reactions of a message. Needs `manage_messages`."""
        return await self._clear(call, None)

    async def _clear(self, call: Call[Why, Nothing], chosen: str | None) -> Reply:
        act = call.room.write(reactions.clear_reactions, *_place(call), chosen, reason=call.body.reason)
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def pin(self, call: Call[Why, Nothing]) -> Reply:
        """Pin a message. The server announces it in the channel with a message of its own. Needs `pin_messages`."""
        act = call.room.write(pins.pin_message, *_place(call), reason=call.body.reason)
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def unpin(self, call: Call[Why, Nothing]) -> Reply:
        """Unpin a message. Needs `pin_messages`."""
        act = call.room.write(pins.unpin_message, *_place(call), reason=call.body.reason)
        await self.context.history.changing(call.room_id, act)
        return Reply(status=204)

    async def pins(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List a channel's pinned messages, newest first."""
        limit, place = call.query.limit, call.query.place
        found = await call.room.read(
            pins.list_pins, call.channel_id, before=None if place is None else MessageId(place[0]), limit=limit + 1
        )
        page = found[:limit]
        answer: PinPageView = {
            "messages": message_schemas.messages(call.room_id, page),
            "users": await self.context.people.of(message_schemas.people_in(page)),
            "next_cursor": pages.write(page[-1].id) if len(found) > limit else None,
        }
        return Reply(answer)


def _place(call: Call[Any, Any]) -> tuple[ChannelId, MessageId]:
    return call.channel_id, call.message_id
