"""Endpoints of site administration: bans, suspensions, verified communities, the site's audit log."""

from dataclasses import dataclass

from directory import accounts, audit, global_bans, rooms
from directory.audit import Filter
from ids import UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Access, Call, Reply, Route
from router.schemas import pages
from router.schemas import site_admin as schemas
from router.schemas.fields import Nothing, PageQuery, Why
from router.schemas.site_admin import AuditQuery, AuditView, BanUser, GlobalBanPageView, GlobalBanView, SuspendUser
from shard import errors
from shard.actions import rooms as room_actions

BANS = "/v1/platform/bans"
BAN = BANS + "/{user_id}"
SUSPENSION = "/v1/platform/suspensions/{user_id}"
PLATFORM_ROOM = "/v1/platform/rooms/{room_id}"
VERIFIED = PLATFORM_ROOM + "/verified"


@dataclass(frozen=True, slots=True)
class SiteAdmin:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, access = "platform", Access.MODERATOR
        return (
            Route("GET", BANS, self.bans, "List site bans", tag, GlobalBanPageView, query=PageQuery, access=access),
            Route("PUT", BAN, self.ban, "Ban a user from the site", tag, GlobalBanView, takes=BanUser, access=access),
            Route("DELETE", BAN, self.unban, "Lift a site ban", tag, None, 204, access=access),
            Route("PUT", SUSPENSION, self.suspend, "Suspend a user", tag, None, 204, SuspendUser, access=access),
            Route("DELETE", SUSPENSION, self.reinstate, "Reinstate a user", tag, None, 204, access=access),
            Route(
                "PUT", VERIFIED, self.verify, "Verify a community", tag, None, 204, refusals=(409,),
                access=Access.ADMIN, room=Need.READ,
            ),
            Route(
                "DELETE", VERIFIED, self.unverify, "Remove a verification", tag, None, 204, access=Access.ADMIN,
                room=Need.READ,
            ),
            Route(
                "DELETE", PLATFORM_ROOM, self.delete_room, "Delete any room", tag, None, 204, Why, access=Access.ADMIN,
                room=Need.END,
            ),
            Route(
                "GET", "/v1/platform/audit", self.audit, "List the site's audit log", tag, AuditView, query=AuditQuery,
                access=Access.ADMIN,
            ),
        )  # fmt: skip

    async def bans(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the site's bans in force, by the banned user's id."""
        limit, place = call.query.limit, call.query.place
        async with self.context.directory.database.read() as reader:
            rows = await global_bans.list_page(
                reader, after=0 if place is None else place[0], limit=limit + 1, now_ms=call.now_ms
            )
        page = rows[:limit]
        shown = [row.user_id for row in page] + [row.banned_by for row in page if row.banned_by is not None]
        answer: GlobalBanPageView = {
            "bans": [schemas.ban(row) for row in page],
            "users": await self.context.people.of(shown),
            "next_cursor": pages.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def ban(self, call: Call[BanUser, Nothing]) -> Reply:
        """Ban a user from the site. Their sessions end immediately."""
        lifetime = call.body.expires_in_seconds
        ban = await accounts.ban(
            self.context.directory.database,
            call.target_id,
            reason=call.body.reason,
            expires_at=None if lifetime is None else call.now_ms + lifetime * 1_000,
            by=call.user_id,
            client=call.client,
            now_ms=call.now_ms,
        )
        return Reply(schemas.ban(ban))

    async def unban(self, call: Call[Nothing, Nothing]) -> Reply:
        """Lift a ban: the user can sign in again."""
        await accounts.unban(
            self.context.directory.database, call.target_id, by=call.user_id, client=call.client, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def suspend(self, call: Call[SuspendUser, Nothing]) -> Reply:
        """Suspend an account until it is reinstated. Its sessions end immediately."""
        await accounts.suspend(
            self.context.directory.database,
            call.target_id,
            reason=call.body.reason,
            by=call.user_id,
            client=call.client,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def reinstate(self, call: Call[Nothing, Nothing]) -> Reply:
        """Reinstate a suspended account."""
        await accounts.reinstate(
            self.context.directory.database, call.target_id, by=call.user_id, client=call.client, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def verify(self, call: Call[Nothing, Nothing]) -> Reply:
        """Mark a community as verified: it belongs to those whom it claims to represent. 409 for other kinds of
        rooms."""
        if call.room.address.kind != "community":
            raise errors.ConflictError("Only communities are verified.")
        return await self._set_verified(call, is_verified=True)

    async def unverify(self, call: Call[Nothing, Nothing]) -> Reply:
        """Remove the verification of a community."""
        return await self._set_verified(call, is_verified=False)

    async def _set_verified(self, call: Call[Nothing, Nothing], *, is_verified: bool) -> Reply:
        async with self.context.directory.database.write() as writer:
            await rooms.change(
                writer,
                call.room_id,
                {"is_verified": is_verified},
                by=call.user_id,
                client=call.client,
                now_ms=call.now_ms,
            )
        return Reply(status=204)

    async def delete_room(self, call: Call[Why, Nothing]) -> Reply:
        """Delete any room permanently, and every membership in it, also one that is read-only."""
        await call.room.write(room_actions.close_as_admin, reason=call.body.reason)
        async with self.context.directory.database.write() as writer:
            await rooms.delete(writer, call.room_id, by=call.user_id, client=call.client, now_ms=call.now_ms)
        return Reply(status=204)

    async def audit(self, call: Call[Nothing, AuditQuery]) -> Reply:
        """List the acts of the site's audit log, newest first. Acts in a room are in that room's audit log."""
        limit, place = call.query.limit, call.query.place
        query = call.query
        wanted = Filter(
            None if query.actor_id is None else UserId(query.actor_id),
            query.action,
            None
            if query.resource_type is None or query.resource_id is None
            else (query.resource_type, query.resource_id),
        )
        async with self.context.directory.database.read() as reader:
            rows = await audit.list_page(reader, wanted, before=None if place is None else place[0], limit=limit + 1)
        page = rows[:limit]
        shown = [row.user_id for row in page if row.user_id is not None]
        shown += [UserId(int(row.resource_id)) for row in page if row.resource_type == "user" and row.resource_id]
        answer: AuditView = {
            "entries": [schemas.act(row) for row in page],
            "users": await self.context.people.of(shown),
            "next_cursor": pages.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)
