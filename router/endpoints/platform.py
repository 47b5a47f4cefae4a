"""For administrators and moderators of the whole platform: bans, suspensions, verified communities, the audit log."""

from dataclasses import dataclass

from directory import accounts, audit, global_bans, rooms
from directory.audit import Filter
from directory.directory import Directory
from ids import RoomId, UserId
from router import cursors
from router.doors import People, RoomDoor
from router.table import Call, Gate, Reply, Route
from router.views import platform as views
from router.views.platform import AuditView, GlobalBanPageView, GlobalBanView
from router.wire.fields import Nothing, PageQuery
from router.wire.platform import AuditQuery, BanUser, SuspendUser
from shard import errors

BANS = "/v1/platform/bans"
BAN = BANS + "/{user_id}"
SUSPENSION = "/v1/platform/suspensions/{user_id}"
VERIFIED = "/v1/platform/rooms/{room_id}/verified"


@dataclass(frozen=True, slots=True)
class Platform:
    """The endpoints and what they need."""

    directory: Directory
    door: RoomDoor
    people: People
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, gate = "platform", Gate.MODERATOR
        return (
            Route("GET", BANS, self.bans, "List bans", tag, GlobalBanPageView, query=PageQuery, gate=gate),
            Route("PUT", BAN, self.ban, "Ban a user", tag, GlobalBanView, takes=BanUser, gate=gate),
            Route("DELETE", BAN, self.unban, "Lift a ban", tag, None, 204, gate=gate),
            Route("PUT", SUSPENSION, self.suspend, "Suspend a user", tag, None, 204, SuspendUser, gate=gate),
            Route("DELETE", SUSPENSION, self.reinstate, "Reinstate a user", tag, None, 204, gate=gate),
            Route(
                "PUT", VERIFIED, self.verify, "Verify a community", tag, None, 204, refusals=(409,), gate=Gate.ADMIN,
            ),
            Route("DELETE", VERIFIED, self.unverify, "Take a verification back", tag, None, 204, gate=Gate.ADMIN),
            Route(
                "GET", "/v1/platform/audit", self.audit, "What was done", tag, AuditView, query=AuditQuery,
                gate=Gate.ADMIN,
            ),
        )  # fmt: skip

    async def bans(self, call: Call[Nothing, PageQuery]) -> Reply:
        """List the bans that hold, by the id of the banned."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        async with self.directory.database.read() as reader:
            rows = await global_bans.list_page(
                reader, after=0 if place is None else place[0], limit=limit + 1, now_ms=call.now_ms
            )
        page = rows[:limit]
        shown = [row.user_id for row in page] + [row.banned_by for row in page if row.banned_by is not None]
        answer: GlobalBanPageView = {
            "bans": [views.ban(row) for row in page],
            "users": await self.people.of(shown),
            "next_cursor": cursors.write(page[-1].user_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def ban(self, call: Call[BanUser, Nothing]) -> Reply:
        """Keep somebody off the platform and end their sessions at once."""
        lifetime = call.body.expires_in_seconds
        ban = await accounts.ban(
            self.directory.database,
            call.path["user_id"],
            reason=call.body.reason,
            expires_at=None if lifetime is None else call.now_ms + lifetime * 1_000,
            by=call.user_id,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return Reply(views.ban(ban))

    async def unban(self, call: Call[Nothing, Nothing]) -> Reply:
        """Let somebody sign in again who is banned."""
        await accounts.unban(
            self.directory.database, call.path["user_id"], by=call.user_id, origin=call.origin, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def suspend(self, call: Call[SuspendUser, Nothing]) -> Reply:
        """Close an account until it is reinstated, and end its sessions at once."""
        await accounts.suspend(
            self.directory.database,
            call.path["user_id"],
            reason=call.body.reason,
            by=call.user_id,
            origin=call.origin,
            now_ms=call.now_ms,
        )
        return Reply(status=204)

    async def reinstate(self, call: Call[Nothing, Nothing]) -> Reply:
        """Open a suspended account again."""
        await accounts.reinstate(
            self.directory.database, call.path["user_id"], by=call.user_id, origin=call.origin, now_ms=call.now_ms
        )
        return Reply(status=204)

    async def verify(self, call: Call[Nothing, Nothing]) -> Reply:
        """Say that a community is whose it claims to be."""
        address = await self.door.reach(call.path["room_id"])
        if address.kind != "community":
            raise errors.ConflictError("Only communities are verified.")
        return await self._set_verified(address.room_id, call, is_verified=True)

    async def unverify(self, call: Call[Nothing, Nothing]) -> Reply:
        """Say no more that a community is whose it claims to be."""
        address = await self.door.reach(call.path["room_id"])
        return await self._set_verified(address.room_id, call, is_verified=False)

    async def _set_verified(self, room_id: RoomId, call: Call[Nothing, Nothing], *, is_verified: bool) -> Reply:
        async with self.directory.database.write() as writer:
            await rooms.change(
                writer, room_id, {"is_verified": is_verified}, by=call.user_id, origin=call.origin, now_ms=call.now_ms
            )
        return Reply(status=204)

    async def audit(self, call: Call[Nothing, AuditQuery]) -> Reply:
        """List what was done on the whole platform, newest first; what was done in a room is in that room's record."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        query = call.query
        wanted = Filter(
            None if query.actor_id is None else UserId(query.actor_id),
            query.action,
            None
            if query.resource_type is None or query.resource_id is None
            else (query.resource_type, query.resource_id),
        )
        async with self.directory.database.read() as reader:
            rows = await audit.list_page(reader, wanted, before=None if place is None else place[0], limit=limit + 1)
        page = rows[:limit]
        shown = [row.user_id for row in page if row.user_id is not None]
        shown += [UserId(int(row.resource_id)) for row in page if row.resource_type == "user" and row.resource_id]
        answer: AuditView = {
            "entries": [views.act(row) for row in page],
            "users": await self.people.of(shown),
            "next_cursor": cursors.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)
