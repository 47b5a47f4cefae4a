"""Invitations to communities: given away, looked at, used, revoked."""

from dataclasses import dataclass

from directory import blocks, invites, rooms
from directory.directory import Directory
from directory.invites import Invite
from ids import RoleId
from router.doors import People, RoomDoor
from router.entering import Entrance
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import invites as views
from router.views.invites import InviteListView, InvitePreviewView, InviteView
from router.views.rooms import RoomWithChannelsView
from router.wire.fields import Nothing, Why
from router.wire.rooms import CreateInvite
from shard import errors
from shard.acts import governing, joining
from shard.acts.joining import Gift
from shard.pool import ShardPool

INVITES = "/v1/rooms/{room_id}/invites"
INVITE = "/v1/invites/{code}"


@dataclass(frozen=True, slots=True)
class Invites:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    entrance: Entrance

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, manage = "rooms", Scope.ROOMS_MANAGE
        return (
            Route(
                "POST", INVITES, self.create, "Create an invite", tag, InviteView, 201, CreateInvite,
                refusals=(409,), scope=manage,
            ),
            Route("GET", INVITES, self.all, "List a room's invites", tag, InviteListView, scope=manage),
            Route(
                "DELETE", INVITES + "/{code}", self.revoke, "Revoke an invite", tag, None, 204, Why, scope=manage,
            ),
            Route("GET", INVITE, self.look_at, "Look at an invite", tag, InvitePreviewView),
            Route(
                "POST", INVITE + "/use", self.use, "Join by an invite", tag, RoomWithChannelsView, refusals=(409,),
            ),
        )  # fmt: skip

    async def create(self, call: Call[CreateInvite, Nothing]) -> Reply:
        """Create an invite; needs create_invite, and one that brings a role what granting it needs."""
        address = await self.door.reach(call.path["room_id"])
        role_id = None if call.body.role_id is None else RoleId(call.body.role_id)
        await self.pool.read(address.room_id, joining.may_invite, call.user_id, role_id, now_ms=call.now_ms)
        lifetime = call.body.expires_in_seconds
        async with self.directory.database.write() as writer:
            row = await invites.create(
                writer,
                address.room_id,
                by=call.user_id,
                role_id=role_id,
                max_uses=call.body.max_uses,
                expires_at=None if lifetime is None else call.now_ms + lifetime * 1000,
                now_ms=call.now_ms,
            )
        if role_id is not None:
            facts = {"max_uses": row.max_uses, "expires_at": row.expires_at}
            await self.pool.write(
                address.room_id,
                governing.record_invite,
                call.user_id,
                "invite.created",
                ("role", role_id),
                facts,
                now_ms=call.now_ms,
            )
        return Reply(views.invite(row), 201)

    async def all(self, call: Call[Nothing, Nothing]) -> Reply:
        """List the invites that work: those that the caller made, and with manage_room everybody's."""
        room_id = call.path["room_id"]
        await self.door.reach(room_id)
        member = await self.pool.read(room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        by = None if governing.manages(member) else call.user_id
        async with self.directory.database.read() as reader:
            rows = await invites.of_room(reader, room_id, by=by, now_ms=call.now_ms)
        answer: InviteListView = {
            "invites": [views.invite(row) for row in rows],
            "users": await self.people.of(row.created_by for row in rows),
        }
        return Reply(answer)

    async def revoke(self, call: Call[Why, Nothing]) -> Reply:
        """Make an invite useless; somebody else's needs manage_room. It may be useless already."""
        room_id = call.path["room_id"]
        await self.door.reach(room_id)
        await self.pool.read(room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.read() as reader:
            row = await invites.find(reader, room_id, call.path["code"])
        if row is None:
            raise errors.NotFoundError("invite")
        is_own = row.created_by == call.user_id
        if not is_own:
            await self.pool.read(room_id, governing.may_manage, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.write() as writer:
            was_usable = await invites.revoke(writer, row.code, now_ms=call.now_ms)
        if was_usable and not is_own:
            await self._record(row, call)
        return Reply(status=204)

    async def _record(self, row: Invite, call: Call[Why, Nothing]) -> None:
        facts = {"code": row.code, "uses": row.uses, "max_uses": row.max_uses, "expires_at": row.expires_at}
        await self.pool.write(
            row.room_id,
            governing.record_invite,
            call.user_id,
            "invite.revoked",
            ("member", row.created_by),
            facts,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )

    async def look_at(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return an invite that works, and what may be known of the room before joining it."""
        async with self.directory.database.read() as reader:
            row = await invites.look_at(reader, call.path["code"], now_ms=call.now_ms)
            await blocks.refuse_invite(reader, call.user_id, by=row.created_by)
            room = await rooms.find(reader, row.room_id)
        return Reply(views.preview(row, room))

    async def use(self, call: Call[Nothing, Nothing]) -> Reply:
        """Join the room of an invite; a use that lets nobody in is not counted."""
        code = call.path["code"]
        async with self.directory.database.write() as writer:
            row = await invites.use(writer, code, now_ms=call.now_ms)
            await blocks.refuse_invite(writer, call.user_id, by=row.created_by)
        is_new = False
        try:
            address = await self.door.reach(row.room_id)
            self.door.refuse_read_only(address)
            gift = None if row.role_id is None else Gift(row.role_id, row.created_by)
            is_new = await self.entrance.enter(row.room_id, call.user_id, gift=gift, now_ms=call.now_ms)
        finally:
            if not is_new:
                async with self.directory.database.write() as writer:
                    await invites.give_back(writer, code)
        return Reply(await self.entrance.shown(address, call.user_id, now_ms=call.now_ms))
