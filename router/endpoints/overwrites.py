"""Endpoints of overwrites: the permissions of a role or member in a channel or category that differ from those in the
room."""

from dataclasses import dataclass
from typing import Any

from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import channels as schemas
from router.schemas.channels import OverwriteListView, OverwriteView, SetOverwrite
from router.schemas.fields import Nothing, Why
from router.scopes import Scope
from shard.actions import overwrites
from shard.permissions import Overwrite
from shard.tables.overwrites import Target

OF_CHANNEL = "/v1/rooms/{room_id}/channels/{channel_id}/overwrites"
OF_CATEGORY = "/v1/rooms/{room_id}/categories/{category_id}/overwrites"
TARGET = "/{target_type}/{target_id}"


@dataclass(frozen=True, slots=True)
class Overwrites:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage, one, many = "overwrites", Scope.ROOMS_MANAGE, OverwriteView, OverwriteListView
        return (
            Route(
                "GET", OF_CHANNEL, self.of_channel, "List a channel's overwrites", tag, many, room=Need.READ,
                community_only=True, scope=manage,
            ),
            Route(
                "PUT", OF_CHANNEL + TARGET, self.set_in_channel, "Set a channel's overwrite", tag, one,
                takes=SetOverwrite, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "DELETE", OF_CHANNEL + TARGET, self.unset_in_channel, "Remove a channel's overwrite", tag, None, 204,
                Why, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "GET", OF_CATEGORY, self.of_category, "List a category's overwrites", tag, many, room=Need.READ,
                community_only=True, scope=manage,
            ),
            Route(
                "PUT", OF_CATEGORY + TARGET, self.set_in_category, "Set a category's overwrite", tag, one,
                takes=SetOverwrite, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "DELETE", OF_CATEGORY + TARGET, self.unset_in_category, "Remove a category's overwrite", tag, None, 204,
                Why, refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
        )  # fmt: skip

    async def of_channel(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the permissions that roles and members are allowed and denied in a channel. Needs `manage_roles`
        there."""
        rows = await call.room.read(overwrites.list_channel_overwrites, call.channel_id)
        return Reply(schemas.overwrites(rows))

    async def of_category(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the permissions that roles and members are allowed and denied in a category. Needs `manage_roles`
        there."""
        rows = await call.room.read(overwrites.list_category_overwrites, call.category_id)
        return Reply(schemas.overwrites(rows))

    async def set_in_channel(self, call: Call[SetOverwrite, Nothing]) -> Reply:
        """Set the permissions that a role or member is allowed and denied in a channel. Needs `manage_roles` there, and
        every permission that changes.

        `target_type` is `role` or `member`. The role or member must stand below the caller's highest role.
        """
        return await self._set_in_channel(call, call.body.overwrite())

    async def unset_in_channel(self, call: Call[Why, Nothing]) -> Reply:
        """Remove the overwrite of a role or member in a channel, so that their permissions in the room apply. Needs the
        same as setting it."""
        return await self._set_in_channel(call, None)

    async def set_in_category(self, call: Call[SetOverwrite, Nothing]) -> Reply:
        """Set the permissions that a role or member is allowed and denied in a category, and in the channels that
        follow it.

        Needs the same as in a channel.
        """
        return await self._set_in_category(call, call.body.overwrite())

    async def unset_in_category(self, call: Call[Why, Nothing]) -> Reply:
        """Remove the overwrite of a role or member in a category, and in the channels that follow it."""
        return await self._set_in_category(call, None)

    async def _set_in_channel(self, call: Call[Any, Nothing], overwrite: Overwrite | None) -> Reply:
        target = call.overwrite_target
        await call.room.write(overwrites.set_in_channel, call.channel_id, target, overwrite, reason=call.body.reason)
        return _reply(target, overwrite)

    async def _set_in_category(self, call: Call[Any, Nothing], overwrite: Overwrite | None) -> Reply:
        target = call.overwrite_target
        await call.room.write(overwrites.set_in_category, call.category_id, target, overwrite, reason=call.body.reason)
        return _reply(target, overwrite)


def _reply(target: Target, overwrite: Overwrite | None) -> Reply:
    return Reply(status=204) if overwrite is None else Reply(schemas.overwrite(target, overwrite))
