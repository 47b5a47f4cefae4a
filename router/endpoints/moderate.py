"""The members of a room, and what moderators do: nicknames, time-outs, kicks, bans, and the record of it all."""

from dataclasses import dataclass

from directory import members
from directory.directory import Directory
from directory.errors import UserNotFoundError
from ids import RoomId, UserId
from router import cursors
from router.doors import People, RoomDoor
from router.entering import Entrance
from router.errors import FieldFault, InvalidError
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import moderate as views
from router.views import people as people_views
from router.views.moderate import BanPageView, BanView, RoomAuditView
from router.views.people import MemberPageView, MemberView, OneMemberView
from router.wire.fields import Nothing, PageQuery, Why
from router.wire.moderate import BanMember, MembersQuery, RenameMember, RoomAuditQuery, TimeOutMember
from shard.acts import governing, joining, moderating
from shard.audit import Filter
from shard.bans import Ban
from shard.members import Member
from shard.pool import ShardPool

MEMBERS = "/v1/rooms/{room_id}/members"
MEMBER = MEMBERS + "/{user_id}"
TIME_OUT = MEMBER + "/timeout"
BANS = "/v1/rooms/{room_id}/bans"
BAN = BANS + "/{user_id}"
AUDIT = "/v1/rooms/{room_id}/audit"
SLICES_MAX = 100
"""Transactions in which the messages of one banned person go: who wrote more than fits is erased by another ban."""


@dataclass(frozen=True, slots=True)
class Moderate:
    """The endpoints and what they need."""

    directory: Directory
    pool: ShardPool
    door: RoomDoor
    people: People
    entrance: Entrance
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, keep = "members", Scope.MEMBERS_MODERATE
        return (
            Route(
                "GET", MEMBERS, self.members, "List or search members", tag, MemberPageView, query=MembersQuery,
                scope=Scope.ROOMS_READ,
            ),
            Route("GET", MEMBER, self.one, "A member", tag, OneMemberView, scope=Scope.ROOMS_READ),
            Route("PATCH", MEMBER, self.rename, "Change a nickname", tag, MemberView, takes=RenameMember, scope=keep),
            Route("DELETE", MEMBER, self.kick, "Kick a member", tag, None, 204, Why, scope=keep),
            Route(
                "PUT", TIME_OUT, self.time_out, "Time a member out", tag, MemberView, takes=TimeOutMember,
                refusals=(409,), scope=keep,
            ),
            Route("DELETE", TIME_OUT, self.end_time_out, "End a time-out", tag, None, 204, Why, scope=keep),
            Route("GET", BANS, self.bans, "List bans", tag, BanPageView, query=PageQuery, scope=keep),
            Route("PUT", BAN, self.ban, "Ban somebody", tag, BanView, takes=BanMember, scope=keep),
            Route("DELETE", BAN, self.unban, "Lift a ban", tag, None, 204, Why, scope=keep),
            Route(
                "GET", AUDIT, self.audit, "What moderators did", tag, RoomAuditView, query=RoomAuditQuery,
                scope=Scope.ROOMS_MANAGE,
            ),
        )  # fmt: skip

    async def members(self, call: Call[Nothing, MembersQuery]) -> Reply:
        """List a room's members by id, to its members; with `q` those of a name."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        address = await self.door.reach(call.path["room_id"])
        after = None if place is None else UserId(place[0])
        if call.query.q is not None:
            page, last = await self._named(address.room_id, call, call.query.q, after, limit)
        else:
            rows = await self.pool.read(
                address.room_id, joining.list_members, call.user_id, after=after, limit=limit + 1, now_ms=call.now_ms
            )
            page = rows[:limit]
            last = page[-1].user_id if len(rows) > limit else None
        answer: MemberPageView = {
            "members": [people_views.member(row) for row in page],
            "users": await self.people.of(row.user_id for row in page),
            "next_cursor": None if last is None else cursors.write(last),
        }
        return Reply(answer)

    async def _named(
        self, room_id: RoomId, call: Call[Nothing, MembersQuery], words: str, after: UserId | None, limit: int
    ) -> tuple[list[Member], int | None]:
        """Names are the directory's, and who is in is the shard's to say: of those found it knows who may be told."""
        await self.pool.read(room_id, joining.membership, call.user_id, now_ms=call.now_ms)
        async with self.directory.database.read() as reader:
            found, last = await members.search(reader, room_id, words, after=after or 0, limit=limit)
        page = await self.pool.read(room_id, joining.get_members, call.user_id, found, now_ms=call.now_ms)
        return page, last

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a member, to members."""
        address = await self.door.reach(call.path["room_id"])
        row = await self.pool.read(
            address.room_id, joining.get_member, call.user_id, call.path["user_id"], now_ms=call.now_ms
        )
        [user] = await self.people.of([row.user_id])
        answer: OneMemberView = {"member": people_views.member(row), "user": user}
        return Reply(answer)

    async def rename(self, call: Call[RenameMember, Nothing]) -> Reply:
        """Change one's own nickname, which needs change_nickname, or that of somebody below, with manage_nicknames."""
        if "nickname" not in call.body.model_fields_set:
            raise InvalidError([FieldFault("body.nickname", "Field required")])
        room_id, user_id = await self._reach(call)
        row = await self.pool.write(
            room_id,
            moderating.rename,
            call.user_id,
            user_id,
            call.body.nickname,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )
        await self.entrance.follow(room_id, user_id)
        return Reply(people_views.member(row))

    async def kick(self, call: Call[Why, Nothing]) -> Reply:
        """Put somebody below out of the room; they may come back. Needs kick_members."""
        room_id, user_id = await self._reach(call)
        await self.pool.write(
            room_id, moderating.kick, call.user_id, user_id, reason=call.body.reason, now_ms=call.now_ms
        )
        await self.entrance.follow(room_id, user_id)
        return Reply(status=204)

    async def time_out(self, call: Call[TimeOutMember, Nothing]) -> Reply:
        """Leave somebody below nothing but reading for a while, from now on. Needs time_out_members."""
        return Reply(people_views.member(await self._set_time_out(call, call.body.duration_seconds)))

    async def end_time_out(self, call: Call[Why, Nothing]) -> Reply:
        """Let somebody below act again. Needs time_out_members."""
        await self._set_time_out(call, None)
        return Reply(status=204)

    async def _set_time_out(
        self, call: Call[TimeOutMember, Nothing] | Call[Why, Nothing], seconds: int | None
    ) -> Member:
        room_id, user_id = await self._reach(call)
        return await self.pool.write(
            room_id,
            moderating.time_out,
            call.user_id,
            user_id,
            None if seconds is None else call.now_ms + seconds * 1_000,
            reason=call.body.reason,
            now_ms=call.now_ms,
        )

    async def bans(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the bans that hold, by the id of the banned. Needs ban_members."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        address = await self.door.reach(call.path["room_id"])
        rows = await self.pool.read(
            address.room_id,
            moderating.list_bans,
            call.user_id,
            after=None if place is None else UserId(place[0]),
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = rows[:limit]
        answer: BanPageView = {
            "bans": [views.ban(row) for row in page],
            "users": await self.people.of([row.user_id for row in page] + [row.banned_by for row in page]),
            "next_cursor": cursors.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def ban(self, call: Call[BanMember, Nothing]) -> Reply:
        """Keep somebody out, who is below or not in at all, and put them out if they are in. Needs ban_members."""
        room_id, user_id = await self._reach(call)
        body, now_ms = call.body, call.now_ms
        await self.pool.read(room_id, moderating.may_ban, call.user_id, now_ms=now_ms)
        if not await self.directory.profiles.load([user_id]):
            raise UserNotFoundError(user_id)
        expires_at = None if body.expires_in_seconds is None else now_ms + body.expires_in_seconds * 1_000
        wanted = Ban(user_id, body.reason, call.user_id, now_ms, expires_at)
        ban = await self.pool.write(room_id, moderating.ban, call.user_id, wanted, now_ms=now_ms)
        await self.entrance.follow(room_id, user_id)
        if body.delete_message_seconds:
            await self._erase(room_id, call, now_ms - body.delete_message_seconds * 1_000)
        return Reply(views.ban(ban))

    async def _erase(self, room_id: RoomId, call: Call[BanMember, Nothing], since_ms: int) -> None:
        """Each slice is a transaction of its own, so that the room's other writes go on in between."""
        for _ in range(SLICES_MAX):
            count = await self.pool.write(
                room_id,
                moderating.erase_recent,
                call.user_id,
                call.path["user_id"],
                since_ms=since_ms,
                now_ms=call.now_ms,
            )
            if not count:
                return

    async def unban(self, call: Call[Why, Nothing]) -> Reply:
        """Let somebody come back who is banned. Needs ban_members."""
        room_id, user_id = await self._reach(call)
        await self.pool.write(
            room_id, moderating.unban, call.user_id, user_id, reason=call.body.reason, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def _reach(
        self,
        call: Call[RenameMember, Nothing]
        | Call[TimeOutMember, Nothing]
        | Call[BanMember, Nothing]
        | Call[Why, Nothing],
    ) -> tuple[RoomId, UserId]:
        address = await self.door.reach_for_freeing(call.path["room_id"], call.user_id, now_ms=call.now_ms)
        return address.room_id, call.path["user_id"]

    async def audit(self, call: Call[Nothing, RoomAuditQuery]) -> Reply:
        """List what moderators and administrators of the room did, newest first. Needs view_audit_log.

        What was done in a channel that the caller does not see is left out.
        """
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        address = await self.door.reach(call.path["room_id"])
        actor_id = None if call.query.actor_id is None else UserId(call.query.actor_id)
        rows = await self.pool.read(
            address.room_id,
            governing.read_audit,
            call.user_id,
            Filter(actor_id, call.query.target_id, call.query.action),
            before=None if place is None else place[0],
            limit=limit + 1,
            now_ms=call.now_ms,
        )
        page = rows[:limit]
        shown = [row.actor_id for row in page if row.actor_id is not None]
        shown += [UserId(row.target_id) for row in page if row.target_type == "member" and row.target_id is not None]
        answer: RoomAuditView = {
            "entries": [views.act(row) for row in page],
            "users": await self.people.of(shown),
            "next_cursor": cursors.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)
