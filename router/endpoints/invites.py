"""Endpoints of invites to communities: create, list, revoke, preview and use."""

from dataclasses import dataclass

from directory import blocks, invites, rooms
from directory.errors import InviteNotUsableError
from directory.invites import Invite
from ids import RoleId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import invites as schemas
from router.schemas.fields import Nothing, Why
from router.schemas.invites import CreateInvite, InviteListView, InvitePreviewView, InviteView
from router.schemas.rooms import RoomWithChannelsView
from router.scopes import Scope
from shard import errors
from shard.actions import members
from shard.actions import rooms as room_actions
from shard.actions.members import Gift
from shard.event_types import AuditAction

INVITES = "/v1/rooms/{room_id}/invites"
INVITE = "/v1/invites/{code}"


@dataclass(frozen=True, slots=True)
class Invites:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage = "rooms", Scope.ROOMS_MANAGE
        return (
            Route(
                "POST", INVITES, self.create, "Create an invite", tag, InviteView, 201, CreateInvite, refusals=(409,),
                room=Need.READ, community_only=True, scope=manage,
            ),
            Route(
                "GET", INVITES, self.all, "List a room's invites", tag, InviteListView, room=Need.READ,
                community_only=True, scope=manage,
            ),
            Route(
                "DELETE", INVITES + "/{code}", self.revoke, "Revoke an invite", tag, None, 204, Why, room=Need.READ,
                community_only=True, scope=manage,
            ),
            Route("GET", INVITE, self.look_at, "Get an invite", tag, InvitePreviewView),
            Route(
                "POST", INVITE + "/use", self.use, "Join a room by an invite", tag, RoomWithChannelsView,
                refusals=(409,),
            ),
        )  # fmt: skip

    async def create(self, call: Call[CreateInvite, Nothing]) -> Reply:
        """Create an invite. Needs `create_invite`, and for a role in it the permissions to grant that role."""
        role_id = None if call.body.role_id is None else RoleId(call.body.role_id)
        await call.room.read(members.may_invite, role_id)
        lifetime = call.body.expires_in_seconds
        async with self.context.directory.database.write() as writer:
            row = await invites.create(
                writer,
                call.room_id,
                by=call.user_id,
                role_id=role_id,
                max_uses=call.body.max_uses,
                expires_at=None if lifetime is None else call.now_ms + lifetime * 1000,
                now_ms=call.now_ms,
            )
        if role_id is not None:
            facts = {"max_uses": row.max_uses, "expires_at": row.expires_at}
            await call.room.write(room_actions.record_invite, AuditAction.INVITE_CREATED, ("role", role_id), facts)
        return Reply(schemas.invite(row), 201)

    async def all(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the usable invites of a room: the caller's own, and with `manage_room` all of them."""
        member = await call.room.read(members.membership)
        by = None if room_actions.manages(member) else call.user_id
        async with self.context.directory.database.read() as reader:
            rows = await invites.of_room(reader, call.room_id, by=by, now_ms=call.now_ms)
        rows = await self.context.entrance.living(call.room_id, rows, now_ms=call.now_ms)
        answer: InviteListView = {
            "invites": [schemas.invite(row) for row in rows],
            "users": await self.context.people.of(row.created_by for row in rows),
        }
        return Reply(answer)

    async def revoke(self, call: Call[Why, Nothing]) -> Reply:
        """Revoke an invite. Another member's invite needs `manage_room`. Returns 204 even if it is already unusable."""
        await call.room.read(members.membership)
        async with self.context.directory.database.read() as reader:
            row = await invites.find(reader, call.room_id, call.code)
        if row is None:
            raise errors.NotFoundError("invite")
        is_own = row.created_by == call.user_id
        if not is_own:
            await call.room.read(room_actions.may_manage)
        async with self.context.directory.database.write() as writer:
            was_usable = await invites.revoke(writer, row.code, now_ms=call.now_ms)
        if was_usable and not is_own:
            await self._record(row, call)
        return Reply(status=204)

    async def _record(self, row: Invite, call: Call[Why, Nothing]) -> None:
        facts = {"code": row.code, "uses": row.uses, "max_uses": row.max_uses, "expires_at": row.expires_at}
        maker = ("member", row.created_by)
        await call.room.write(
            room_actions.record_invite, AuditAction.INVITE_REVOKED, maker, facts, reason=call.body.reason
        )

    async def look_at(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a usable invite and a preview of its room."""
        async with self.context.directory.database.read() as reader:
            row = await invites.look_at(reader, call.code, now_ms=call.now_ms)
            await invites.refuse_barred_maker(reader, row, now_ms=call.now_ms)
            await blocks.refuse_invite(reader, call.user_id, by=row.created_by)
            room = await rooms.find(reader, row.room_id)
        if room.state != "hibernated":  # what is only looked at wakes no room
            await self._refuse_lapsed(row, call.now_ms)
        return Reply(schemas.preview(row, room))

    async def _refuse_lapsed(self, row: Invite, now_ms: int) -> None:
        """Raise InviteNotUsableError for an invite whose maker left the room or may not invite, as for no invite."""
        if not await self.context.entrance.living(row.room_id, [row], now_ms=now_ms):
            raise InviteNotUsableError

    async def use(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join the room of an invite. The use is counted only if the caller was not a member before."""
        code = call.code
        async with self.context.directory.database.write() as writer:
            row = await invites.use(writer, code, now_ms=call.now_ms)
            await invites.refuse_barred_maker(writer, row, now_ms=call.now_ms)
            await blocks.refuse_invite(writer, call.user_id, by=row.created_by)
        is_new = False
        try:
            address = await self.context.rooms.readable(row.room_id)
            await self._refuse_lapsed(row, call.now_ms)
            self.context.rooms.refuse_read_only(address)
            gift = None if row.role_id is None else Gift(row.role_id, row.created_by)
            is_new = await self.context.entrance.enter(row.room_id, call.user_id, gift=gift, now_ms=call.now_ms)
        finally:
            if not is_new:
                async with self.context.directory.database.write() as writer:
                    await invites.give_back(writer, code)
        return Reply(await self.context.entrance.view(address, call.user_id, now_ms=call.now_ms))
