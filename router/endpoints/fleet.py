"""Endpoints of the fleet, for operators: shards with their sizes and limits, and alerts."""

from dataclasses import dataclass

from directory import alerts, shards, sizes
from directory.sizes import DAY_MS
from ids import RoomId
from router.context import AppContext
from router.routes import Access, Call, Reply, Route
from router.schemas import fleet as schemas
from router.schemas import pages
from router.schemas.fields import Nothing
from router.schemas.fleet import (
    AlertPageView,
    AlertsQuery,
    AlertView,
    CountView,
    HistoryView,
    OpenAlertsQuery,
    SetLimit,
    ShardPageView,
    ShardsQuery,
    ShardView,
    SizesQuery,
)

SHARDS = "/v1/operate/shards"
SHARD = SHARDS + "/{room_id}"
ALERTS = "/v1/operate/alerts"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The endpoints and what they need."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, access = "operate", Access.ADMIN
        return (
            Route(
                "GET", SHARDS, self.listed, "List shards", tag, ShardPageView, query=ShardsQuery, access=access,
            ),
            Route("GET", SHARD, self.one, "Get a shard", tag, ShardView, access=access),
            Route(
                "GET", SHARD + "/sizes", self.history, "List the sizes of a shard", tag, HistoryView, query=SizesQuery,
                access=access,
            ),
            Route(
                "PUT", SHARD + "/limit", self.limit, "Set a shard's size limit", tag, ShardView, takes=SetLimit,
                access=access,
            ),
            Route("GET", ALERTS, self.alerts, "List alerts", tag, AlertPageView, query=AlertsQuery, access=access),
            Route(
                "PUT", ALERTS + "/acknowledged", self.acknowledge_all, "Acknowledge open alerts", tag, CountView,
                query=OpenAlertsQuery, access=access,
            ),
            Route(
                "PUT", ALERTS + "/{alert_id}/acknowledged", self.acknowledge, "Acknowledge an alert", tag, AlertView,
                access=access,
            ),
        )  # fmt: skip

    async def listed(self, call: Call[Nothing, ShardsQuery]) -> Reply:
        """List the shards, the largest first, as of the monitor's last rounds."""
        limit, place = call.query.limit, call.query.place
        after = shards.START if place is None else (place[0], place[1])
        async with self.context.directory.database.read() as reader:
            rows = await shards.largest(reader, call.query.level, after=after, limit=limit + 1)
            found = await shards.summarize(reader)
        page = rows[:limit]
        answer: ShardPageView = {
            "fleet": schemas.fleet(found),
            "shards": [schemas.shard(row, self.context.options.size_limit_bytes) for row in page],
            "next_cursor": pages.write(page[-1].size_bytes, page[-1].room_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a room's shard, as of the monitor's last round."""
        async with self.context.directory.database.read() as reader:
            found = await shards.find(reader, call.room_id)
        return Reply(schemas.shard(found, self.context.options.size_limit_bytes))

    async def history(self, call: Call[Nothing, SizesQuery]) -> Reply:
        """Return the bytes that a shard used, by hour and by day, newest first."""
        since_ms = call.now_ms - call.query.days * DAY_MS
        async with self.context.directory.database.read() as reader:
            await shards.find(reader, call.room_id)
            rows = await sizes.history(reader, call.room_id, since_ms=since_ms)
        return Reply(schemas.history(rows))

    async def limit(self, call: Call[SetLimit, Nothing]) -> Reply:
        """Set a room's own size limit, or with null return to the limit of the settings. It takes effect in the next
        round."""
        room_id, limit_bytes = call.room_id, call.body.size_limit_bytes
        async with self.context.directory.database.write() as writer:
            await shards.set_limit(
                writer, room_id, limit_bytes, by=call.user_id, client=call.client, now_ms=call.now_ms
            )
            found = await shards.find(writer, room_id)
        return Reply(schemas.shard(found, self.context.options.size_limit_bytes))

    async def alerts(self, call: Call[Nothing, AlertsQuery]) -> Reply:
        """List alerts, newest first."""
        limit, place = call.query.limit, call.query.place
        before = alerts.START if place is None else place[0]
        async with self.context.directory.database.read() as reader:
            rows = await alerts.list_page(reader, is_open=call.query.is_open, before=before, limit=limit + 1)
        page = rows[:limit]
        answer: AlertPageView = {
            "alerts": [schemas.alert(row) for row in page],
            "users": await self.context.people.of(
                row.acknowledged_by for row in page if row.acknowledged_by is not None
            ),
            "next_cursor": pages.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def acknowledge_all(self, call: Call[Nothing, OpenAlertsQuery]) -> Reply:
        """Acknowledge the open alerts of a room, of a kind, of both, or all of them, and return their count."""
        room_id, kind = call.query.room_id, call.query.kind
        async with self.context.directory.database.write() as writer:
            count = await alerts.acknowledge_all(
                writer,
                call.user_id,
                room_id=None if room_id is None else RoomId(room_id),
                kind=kind,
                now_ms=call.now_ms,
            )
        return Reply({"count": count})

    async def acknowledge(self, call: Call[Nothing, Nothing]) -> Reply:
        """Acknowledge an alert. The first acknowledgement stays."""
        async with self.context.directory.database.write() as writer:
            found = await alerts.acknowledge(writer, call.alert_id, call.user_id, now_ms=call.now_ms)
        return Reply(schemas.alert(found))
