"""Roles: who stands above whom, and what each allows."""

from dataclasses import dataclass

from ids import RoleId, UserId
from router import cursors
from router.doors import People, RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import roles as views
from router.views.roles import HolderPageView, PermissionsView, RoleListView, RoleView
from router.wire.fields import Nothing, PageQuery, Why
from router.wire.roles import CreateRole, OrderRoles, UpdateRole
from shard.acts import ranking
from shard.pool import ShardPool

ROLES = "/v1/rooms/{room_id}/roles"
ROLE = ROLES + "/{role_id}"
GRANT = "/v1/rooms/{room_id}/members/{user_id}/roles/{role_id}"


@dataclass(frozen=True, slots=True)
class Roles:
    """The endpoints and what they need."""

    door: RoomDoor
    pool: ShardPool
    people: People
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, look, manage = "roles", Scope.ROOMS_READ, Scope.ROOMS_MANAGE
        return (
            Route(
                "GET", "/v1/rooms/{room_id}/permissions", self.mine, "What I may do", tag, PermissionsView, scope=look
            ),
            Route("GET", ROLES, self.all, "List roles", tag, RoleListView, scope=look),
            Route(
                "POST", ROLES, self.create, "Create a role", tag, RoleView, 201, CreateRole, refusals=(409,),
                scope=manage,
            ),
            Route(
                "PUT", ROLES + "/order", self.order, "Order roles", tag, RoleListView, takes=OrderRoles,
                refusals=(409,), scope=manage,
            ),
            Route(
                "PATCH", ROLE, self.update, "Change a role", tag, RoleView, takes=UpdateRole, refusals=(409,),
                scope=manage,
            ),
            Route("DELETE", ROLE, self.delete, "Delete a role", tag, None, 204, Why, refusals=(409,), scope=manage),
            Route(
                "GET", ROLE + "/members", self.holders, "Who has a role", tag, HolderPageView, query=PageQuery,
                refusals=(409,), scope=look,
            ),
            Route("PUT", GRANT, self.grant, "Grant a role", tag, None, 204, Why, refusals=(409,), scope=manage),
            Route("DELETE", GRANT, self.revoke, "Revoke a role", tag, None, 204, Why, refusals=(409,), scope=manage),
        )  # fmt: skip

    async def mine(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return what the caller may do in the room and in each channel that they see."""
        room = await self.door.reach(call.path["room_id"])
        seen = await self.pool.read(room.room_id, ranking.my_permissions, call.user_id, now_ms=call.now_ms)
        return Reply(views.sight(seen))

    async def all(self, call: Call[Nothing, Nothing]) -> Reply:
        """List a room's roles, the highest first, to its members."""
        room = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(room.room_id, ranking.list_roles, call.user_id, now_ms=call.now_ms)
        return Reply(views.roles(room.room_id, rows))

    async def create(self, call: Call[CreateRole, Nothing]) -> Reply:
        """Add a role below all others; needs manage_roles, and every permission that the role shall have."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id,
            ranking.create_role,
            call.user_id,
            call.body.draft(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.role(room.room_id, row), 201)

    async def order(self, call: Call[OrderRoles, Nothing]) -> Reply:
        """Put all roles below one's own highest in an order, highest first; needs manage_roles.

        409 unless each of them is named once: somebody may have made or moved one meanwhile.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        rows = await self.pool.write(
            room.room_id,
            ranking.order_roles,
            call.user_id,
            [RoleId(role_id) for role_id in call.body.role_ids],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.roles(room.room_id, rows))

    async def update(self, call: Call[UpdateRole, Nothing]) -> Reply:
        """Change a role below one's own highest; needs manage_roles, and every permission that is given or taken.

        Of everyone's role only the permissions can be changed.
        """
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        row = await self.pool.write(
            room.room_id,
            ranking.edit_role,
            call.user_id,
            call.path["role_id"],
            call.body.changes(),
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(views.role(room.room_id, row))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a role below one's own highest, from all who have it and from every overwrite; needs manage_roles."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            ranking.delete_role,
            call.user_id,
            call.path["role_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def holders(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List who has a role, by id, to the room's members; everyone's role is the list of members."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        room = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(
            room.room_id,
            ranking.list_holders,
            call.user_id,
            call.path["role_id"],
            after=None if place is None else UserId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = rows[:limit]
        answer: HolderPageView = {
            "members": [views.holder(row) for row in page],
            "users": await self.people.of(row.user_id for row in page),
            "next_cursor": cursors.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def grant(self, call: Call[Why, Nothing]) -> Reply:
        """Give somebody below a role below one's own highest, with no permission that one lacks; needs manage_roles."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            ranking.grant_role,
            call.user_id,
            call.path["user_id"],
            call.path["role_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def revoke(self, call: Call[Why, Nothing]) -> Reply:
        """Take a role below one's own highest from somebody below; needs manage_roles."""
        room = await self.door.reach_for_writing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        await self.pool.write(
            room.room_id,
            ranking.revoke_role,
            call.user_id,
            call.path["user_id"],
            call.path["role_id"],
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        return Reply(status=204)
