"""Endpoints of members and moderation: nicknames, time-outs, kicks, bans, and the audit log of a room."""

from dataclasses import dataclass

from directory import members
from directory.errors import UserNotFoundError
from ids import UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import moderation as schemas
from router.schemas import pages
from router.schemas import people as people_schemas
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.moderation import (
    BanMember,
    BanPageView,
    BanView,
    MembersQuery,
    RenameMember,
    RoomAuditQuery,
    RoomAuditView,
    TimeOutMember,
)
from router.schemas.people import MemberPageView, MemberView, OneMemberView
from router.scopes import Scope
from shard.actions import members as member_actions
from shard.actions import moderation, rooms
from shard.tables.audit import Filter
from shard.tables.bans import Ban
from shard.tables.members import Member

MEMBERS = "/v1/rooms/{room_id}/members"
MEMBER = MEMBERS + "/{user_id}"
TIME_OUT = MEMBER + "/timeout"
BANS = "/v1/rooms/{room_id}/bans"
BAN = BANS + "/{user_id}"
AUDIT = "/v1/rooms/{room_id}/audit"
SLICES_MAX = 1_000
"""Transactions in which the messages of one banned user are deleted; a user who wrote more is deleted by another
ban."""


@dataclass(frozen=True, slots=True)
class Moderation:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, keep = "members", Scope.MEMBERS_MODERATE
        return (
            Route(
                "GET", MEMBERS, self.members, "List or search members", tag, MemberPageView, query=MembersQuery,
                room=Need.READ, scope=Scope.ROOMS_READ,
            ),
            Route("GET", MEMBER, self.one, "Get a member", tag, OneMemberView, room=Need.READ, scope=Scope.ROOMS_READ),
            Route(
                "PATCH", MEMBER, self.rename, "Change a nickname", tag, MemberView, takes=RenameMember, room=Need.FREE,
                scope=keep,
            ),
            Route("DELETE", MEMBER, self.kick, "Kick a member", tag, None, 204, Why, room=Need.FREE, scope=keep),
            Route(
                "PUT", TIME_OUT, self.time_out, "Time out a member", tag, MemberView, takes=TimeOutMember,
                refusals=(409,), room=Need.FREE, scope=keep,
            ),
            Route(
                "DELETE", TIME_OUT, self.end_time_out, "End a time-out", tag, None, 204, Why, room=Need.FREE,
                scope=keep,
            ),
            Route(
                "GET", BANS, self.bans, "List bans", tag, BanPageView, query=PageQuery, room=Need.READ,
                community_only=True, scope=keep,
            ),
            Route(
                "PUT", BAN, self.ban, "Ban a user", tag, BanView, takes=BanMember, room=Need.FREE,
                community_only=True, scope=keep,
            ),
            Route(
                "DELETE", BAN, self.unban, "Lift a ban", tag, None, 204, Why, room=Need.FREE, community_only=True,
                scope=keep,
            ),
            Route(
                "GET", AUDIT, self.audit, "List a room's audit log", tag, RoomAuditView, query=RoomAuditQuery,
                room=Need.READ, scope=Scope.ROOMS_MANAGE,
            ),
        )  # fmt: skip

    async def members(self, call: Call[Nothing, MembersQuery]) -> Reply:
        """List a room's members by id; `q` searches their names. Only for members."""
        limit, place = call.query.limit, call.query.place
        after = None if place is None else UserId(place[0])
        if call.query.q is not None:
            page, last = await self._named(call, call.query.q, after, limit)
        else:
            rows = await call.room.read(member_actions.list_members, after=after, limit=limit + 1)
            page = rows[:limit]
            last = page[-1].user_id if len(rows) > limit else None
        answer: MemberPageView = {
            "members": [people_schemas.member(row) for row in page],
            "users": await self.context.people.of(row.user_id for row in page),
            "next_cursor": None if last is None else pages.write(last),
        }
        return Reply(answer)

    async def _named(
        self, call: Call[Nothing, MembersQuery], words: str, after: UserId | None, limit: int
    ) -> tuple[list[Member], int | None]:
        """Search members by name: the directory finds the names, and the shard decides which of them the caller may
        see."""
        await call.room.read(member_actions.membership)
        async with self.context.directory.database.read() as reader:
            found, last = await members.search(reader, call.room_id, words, after=after or 0, limit=limit)
        page = await call.room.read(member_actions.get_members, found)
        return page, last

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a member. Only for members."""
        row = await call.room.read(member_actions.get_member, call.target_id)
        [user] = await self.context.people.of([row.user_id])
        answer: OneMemberView = {"member": people_schemas.member(row), "user": user}
        return Reply(answer)

    async def rename(self, call: Call[RenameMember, Nothing]) -> Reply:
        """Change a nickname: the caller's own needs `change_nickname`, that of a member below the caller needs
        `manage_nicknames`."""
        row = await call.room.write(moderation.rename, call.target_id, call.body.nickname, reason=call.body.reason)
        await self.context.entrance.update_index(call.room_id, call.target_id, now_ms=call.now_ms)
        return Reply(people_schemas.member(row))

    async def kick(self, call: Call[Why, Nothing]) -> Reply:
        """Remove a member below the caller from the room. The member may join again. Needs `kick_members`."""
        await call.room.write(moderation.kick, call.target_id, reason=call.body.reason)
        await self.context.entrance.update_index(call.room_id, call.target_id, now_ms=call.now_ms)
        return Reply(status=204)

    async def time_out(self, call: Call[TimeOutMember, Nothing]) -> Reply:
        """Time out a member below the caller: from now on the member can only read, for `duration_seconds`. Needs
        `time_out_members`."""
        return Reply(people_schemas.member(await self._set_time_out(call, call.body.duration_seconds)))

    async def end_time_out(self, call: Call[Why, Nothing]) -> Reply:
        """End the time-out of a member below the caller. Needs `time_out_members`."""
        await self._set_time_out(call, None)
        return Reply(status=204)

    async def _set_time_out(
        self, call: Call[TimeOutMember, Nothing] | Call[Why, Nothing], seconds: int | None
    ) -> Member:
        until = None if seconds is None else call.now_ms + seconds * 1_000
        return await call.room.write(moderation.time_out, call.target_id, until, reason=call.body.reason)

    async def bans(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the bans in force, by the banned user's id. Needs `ban_members`."""
        limit, place = call.query.limit, call.query.place
        rows = await call.room.read(
            moderation.list_bans, after=None if place is None else UserId(place[0]), limit=limit + 1
        )
        page = rows[:limit]
        answer: BanPageView = {
            "bans": [schemas.ban(row) for row in page],
            "users": await self.context.people.of([row.user_id for row in page] + [row.banned_by for row in page]),
            "next_cursor": pages.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def ban(self, call: Call[BanMember, Nothing]) -> Reply:
        """Ban a user, who must be below the caller or not a member, and remove them if they are a member. Needs
        `ban_members`."""
        body, user_id, now_ms = call.body, call.target_id, call.now_ms
        await call.room.read(moderation.may_ban)
        if not await self.context.directory.profiles.load([user_id]):
            raise UserNotFoundError(user_id)
        expires_at = None if body.expires_in_seconds is None else now_ms + body.expires_in_seconds * 1_000
        wanted = Ban(user_id, body.reason, call.user_id, now_ms, expires_at)
        ban = await call.room.write(moderation.ban, wanted)
        await self.context.entrance.update_index(call.room_id, user_id, now_ms=call.now_ms)
        if body.delete_message_seconds:
            await self._erase(call, now_ms - body.delete_message_seconds * 1_000)
        return Reply(schemas.ban(ban))

    async def _erase(self, call: Call[BanMember, Nothing], since_ms: int) -> None:
        """Delete a banned user's messages; each slice is a transaction of its own, so that the room's other writes are
        not held up."""
        for _ in range(SLICES_MAX):
            count = await call.room.write(moderation.erase_recent, call.target_id, since_ms=since_ms)
            if not count:
                return

    async def unban(self, call: Call[Why, Nothing]) -> Reply:
        """Lift a ban: the user may join again. Needs `ban_members`."""
        await call.room.write(moderation.unban, call.target_id, reason=call.body.reason)
        return Reply(status=204)

    async def audit(self, call: Call[Nothing, RoomAuditQuery]) -> Reply:
        """List the acts of a room's moderators and administrators, newest first. Needs `view_audit_log`.

        Acts in channels that the caller cannot see are left out.
        """
        limit, place = call.query.limit, call.query.place
        actor_id = None if call.query.actor_id is None else UserId(call.query.actor_id)
        rows = await call.room.read(
            rooms.read_audit,
            Filter(actor_id, call.query.target_id, call.query.action),
            before=None if place is None else place[0],
            limit=limit + 1,
        )
        page = rows[:limit]
        shown = [row.actor_id for row in page if row.actor_id is not None]
        shown += [UserId(row.target_id) for row in page if row.target_type == "member" and row.target_id is not None]
        answer: RoomAuditView = {
            "entries": [schemas.act(row) for row in page],
            "users": await self.context.people.of(shown),
            "next_cursor": pages.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)
