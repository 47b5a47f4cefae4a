"""Overwrites: what a role or a member may in a channel or category beyond, or short of, what they may in the room."""

from dataclasses import dataclass
from typing import Any

from router.doors import RoomDoor
from router.errors import NoRouteError
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import shape as views
from router.views.shape import OverwriteListView, OverwriteView
from router.wire.fields import Nothing, Why
from router.wire.shape import SetOverwrite
from shard.acts import allowing
from shard.overwrites import Target
from shard.permissions import Overwrite
from shard.pool import ShardPool

OF_CHANNEL = "/v1/rooms/{room_id}/channels/{channel_id}/overwrites"
OF_CATEGORY = "/v1/rooms/{room_id}/categories/{category_id}/overwrites"
TARGET = "/{target_type}/{target_id}"


@dataclass(frozen=True, slots=True)
class Overwrites:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage, one, many = "overwrites", Scope.ROOMS_MANAGE, OverwriteView, OverwriteListView
        return (
            Route("GET", OF_CHANNEL, self.of_channel, "List a channel's overwrites", tag, many, scope=manage),
            Route(
                "PUT", OF_CHANNEL + TARGET, self.set_in_channel, "Allow and deny in a channel", tag, one,
                takes=SetOverwrite, refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", OF_CHANNEL + TARGET, self.unset_in_channel, "Remove a channel's overwrite", tag, None, 204,
                Why, refusals=(409,), scope=manage,
            ),
            Route("GET", OF_CATEGORY, self.of_category, "List a category's overwrites", tag, many, scope=manage),
            Route(
                "PUT", OF_CATEGORY + TARGET, self.set_in_category, "Allow and deny in a category", tag, one,
                takes=SetOverwrite, refusals=(409,), scope=manage,
            ),
            Route(
                "DELETE", OF_CATEGORY + TARGET, self.unset_in_category, "Remove a category's overwrite", tag, None, 204,
                Why, refusals=(409,), scope=manage,
            ),
        )  # fmt: skip

    async def of_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """List what roles and members are allowed and denied in a channel; needs manage_roles there."""
        room = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(
            room.room_id,
            allowing.list_channel_overwrites,
            call.user_id,
            call.path["channel_id"],
            now_ms=call.now_ms,
        )
        return Reply(views.overwrites(rows))

    async def of_category(self, call: Call[Nothing, Nothing]) -> Reply:
        """List what roles and members are allowed and denied in a category; needs manage_roles there."""
        room = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(
            room.room_id,
            allowing.list_category_overwrites,
            call.user_id,
            call.path["category_id"],
            now_ms=call.now_ms,
        )
        return Reply(views.overwrites(rows))

    async def set_in_channel(self, call: Call[SetOverwrite, Nothing]) -> Reply:
        """Allow and deny a role or member something in a channel; needs manage_roles there, and all that changes.

        `target_type` is `role` or `member`. A role must stand below one's own highest, and so must a member.
        """
        return await self._set_in_channel(call, call.body.overwrite())

    async def unset_in_channel(self, call: Call[Why, Nothing]) -> Reply:
        """Leave a role or member in a channel what they have in the room; needs what setting it does."""
        return await self._set_in_channel(call, None)

    async def set_in_category(self, call: Call[SetOverwrite, Nothing]) -> Reply:
        """Allow and deny a role or member something in a category, and in the channels that follow it.

        Needs what it does in a channel.
        """
        return await self._set_in_category(call, call.body.overwrite())

    async def unset_in_category(self, call: Call[Why, Nothing]) -> Reply:
        """Leave a role or member what they have in the room, in a category and the channels that follow it."""
        return await self._set_in_category(call, None)

    async def _set_in_channel(self, call: Call[Any, Nothing], overwrite: Overwrite | None) -> Reply:
        target = _target(call)
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            allowing.set_in_channel,
            call.user_id,
            call.path["channel_id"],
            target,
            overwrite,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return _reply(target, overwrite)

    async def _set_in_category(self, call: Call[Any, Nothing], overwrite: Overwrite | None) -> Reply:
        target = _target(call)
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            allowing.set_in_category,
            call.user_id,
            call.path["category_id"],
            target,
            overwrite,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return _reply(target, overwrite)


def _target(call: Call[Any, Nothing]) -> Target:
    kind: str = call.path["target_type"]
    if kind == "role":
        return "role", call.path["target_id"]
    if kind == "member":
        return "member", call.path["target_id"]
    raise NoRouteError("Nothing is at this address: an overwrite is for a role or a member.")


def _reply(target: Target, overwrite: Overwrite | None) -> Reply:
    return Reply(status=204) if overwrite is None else Reply(views.overwrite(target, overwrite))
