"""Endpoints of roles: their order, their permissions, and the members who have them."""

from dataclasses import dataclass

from ids import RoleId, UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import pages
from router.schemas import roles as schemas
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.roles import (
    CreateRole,
    HolderPageView,
    OrderRoles,
    PermissionsView,
    RoleListView,
    RoleView,
    UpdateRole,
)
from router.scopes import Scope
from shard.actions import roles

ROLES = "/v1/rooms/{room_id}/roles"
ROLE = ROLES + "/{role_id}"
GRANT = "/v1/rooms/{room_id}/members/{user_id}/roles/{role_id}"


@dataclass(frozen=True, slots=True)
class Roles:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, look, manage = "roles", Scope.ROOMS_READ, Scope.ROOMS_MANAGE
        return (
            Route(
                "GET", "/v1/rooms/{room_id}/permissions", self.mine, "Get my permissions", tag, PermissionsView,
                room=Need.READ, scope=look,
            ),
            Route("GET", ROLES, self.all, "List roles", tag, RoleListView, room=Need.READ, scope=look),
            Route(
                "POST", ROLES, self.create, "Create a role", tag, RoleView, 201, CreateRole, refusals=(409,),
                room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "PUT", ROLES + "/order", self.order, "Reorder roles", tag, RoleListView, takes=OrderRoles,
                refusals=(409,), room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "PATCH", ROLE, self.update, "Change a role", tag, RoleView, takes=UpdateRole, refusals=(409,),
                room=Need.WRITE, community_only=True, scope=manage,
            ),
            Route(
                "DELETE", ROLE, self.delete, "Delete a role", tag, None, 204, Why, refusals=(409,), room=Need.WRITE,
                community_only=True, scope=manage,
            ),
            Route(
                "GET", ROLE + "/members", self.holders, "List the members of a role", tag, HolderPageView,
                query=PageQuery, refusals=(409,), room=Need.READ, scope=look,
            ),
            Route(
                "PUT", GRANT, self.grant, "Grant a role", tag, None, 204, Why, refusals=(409,), room=Need.WRITE,
                community_only=True, scope=manage,
            ),
            Route(
                "DELETE", GRANT, self.revoke, "Revoke a role", tag, None, 204, Why, refusals=(409,), room=Need.WRITE,
                community_only=True, scope=manage,
            ),
        )  # fmt: skip

    async def mine(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return the caller's permissions in the room and in each channel that they can see."""
        seen = await call.room.read(roles.my_permissions)
        return Reply(schemas.member_permissions(seen))

    async def all(self, call: Call[Nothing, Nothing]) -> Reply:
        """List a room's roles, the highest first. Only for members."""
        rows = await call.room.read(roles.list_roles)
        return Reply(schemas.roles(call.room_id, rows))

    async def create(self, call: Call[CreateRole, Nothing]) -> Reply:
        """Create a role below all others. Needs `manage_roles`, and every permission that the role is to have."""
        row = await call.room.write(roles.create_role, call.body.draft(), reason=call.body.reason)
        return Reply(schemas.role(call.room_id, row), 201)

    async def order(self, call: Call[OrderRoles, Nothing]) -> Reply:
        """Set the order of all roles below the caller's highest, highest first. Needs `manage_roles`.

        409 unless each of them is named exactly once; another member may have created or moved one meanwhile.
        """
        rows = await call.room.write(
            roles.order_roles, [RoleId(role_id) for role_id in call.body.role_ids], reason=call.body.reason
        )
        return Reply(schemas.roles(call.room_id, rows))

    async def update(self, call: Call[UpdateRole, Nothing]) -> Reply:
        """Change a role below the caller's highest. Needs `manage_roles`, and every permission that is added or
        removed.

        Of the role that everyone has, only the permissions can be changed.
        """
        row = await call.room.write(roles.edit_role, call.role_id, call.body.changes(), reason=call.body.reason)
        return Reply(schemas.role(call.room_id, row))

    async def delete(self, call: Call[Why, Nothing]) -> Reply:
        """Delete a role below the caller's highest, and remove it from all members and overwrites. Needs
        `manage_roles`."""
        await call.room.write(roles.delete_role, call.role_id, reason=call.body.reason)
        return Reply(status=204)

    async def holders(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the members who have a role, by id. Only for members. For the role that everyone has, list the
        members."""
        limit, place = call.query.limit, call.query.place
        rows = await call.room.read(
            roles.list_holders, call.role_id, after=None if place is None else UserId(place[0]), limit=limit + 1
        )
        page = rows[:limit]
        answer: HolderPageView = {
            "members": [schemas.holder(row) for row in page],
            "users": await self.context.people.of(row.user_id for row in page),
            "next_cursor": pages.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def grant(self, call: Call[Why, Nothing]) -> Reply:
        """Grant a role below the caller's highest to a member below the caller. The role must not have a permission
        that the caller lacks. Needs `manage_roles`."""
        await call.room.write(roles.grant_role, call.target_id, call.role_id, reason=call.body.reason)
        return Reply(status=204)

    async def revoke(self, call: Call[Why, Nothing]) -> Reply:
        """Revoke a role below the caller's highest from a member below the caller. Needs `manage_roles`."""
        await call.room.write(roles.revoke_role, call.target_id, call.role_id, reason=call.body.reason)
        return Reply(status=204)
