"""For operators: how full the rooms are, what was alerted, and what a room may grow to."""

from dataclasses import dataclass

from directory import alerts, shards, sizes
from directory.directory import Directory
from directory.sizes import DAY_MS
from router import cursors
from router.doors import People
from router.table import Call, Gate, Reply, Route
from router.views import fleet as views
from router.views.fleet import AlertPageView, AlertView, HistoryView, ShardPageView, ShardView
from router.wire.fields import Nothing
from router.wire.fleet import AlertsQuery, SetLimit, ShardsQuery, SizesQuery

SHARDS = "/v1/operate/shards"
SHARD = SHARDS + "/{room_id}"
ALERTS = "/v1/operate/alerts"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The endpoints and what they need; `size_limit_bytes` is the limit of shards that have none of their own."""

    directory: Directory
    people: People
    size_limit_bytes: int
    page_size_max: int

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag, gate = "operate", Gate.ADMIN
        return (
            Route("GET", SHARDS, self.listed, "How full rooms are", tag, ShardPageView, query=ShardsQuery, gate=gate),
            Route("GET", SHARD, self.one, "How full a room is", tag, ShardView, gate=gate),
            Route(
                "GET", SHARD + "/sizes", self.history, "How a room grew", tag, HistoryView, query=SizesQuery, gate=gate,
            ),
            Route("PUT", SHARD + "/limit", self.limit, "Limit a room", tag, ShardView, takes=SetLimit, gate=gate),
            Route("GET", ALERTS, self.alerts, "Alerts", tag, AlertPageView, query=AlertsQuery, gate=gate),
            Route(
                "PUT", ALERTS + "/{alert_id}/acknowledged", self.acknowledge, "Acknowledge an alert", tag, AlertView,
                gate=gate,
            ),
        )  # fmt: skip

    async def listed(self, call: Call[Nothing, ShardsQuery]) -> Reply:
        """List the shards, the largest first, as the last rounds of the monitor found them."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 2)
        after = shards.START if place is None else (place[0], place[1])
        async with self.directory.database.read() as reader:
            rows = await shards.largest(reader, call.query.level, after=after, limit=limit + 1)
            found = await shards.summarize(reader)
        page = rows[:limit]
        answer: ShardPageView = {
            "fleet": views.fleet(found),
            "shards": [views.shard(row, self.size_limit_bytes) for row in page],
            "next_cursor": cursors.write(page[-1].size_bytes, page[-1].room_id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        """Return a room's shard as the last round found it."""
        async with self.directory.database.read() as reader:
            found = await shards.find(reader, call.path["room_id"])
        return Reply(views.shard(found, self.size_limit_bytes))

    async def history(self, call: Call[Nothing, SizesQuery]) -> Reply:
        """Return what a shard used, hour by hour and day by day, newest first."""
        since_ms = call.now_ms - call.query.days * DAY_MS
        async with self.directory.database.read() as reader:
            await shards.find(reader, call.path["room_id"])
            rows = await sizes.history(reader, call.path["room_id"], since_ms=since_ms)
        return Reply(views.history(rows))

    async def limit(self, call: Call[SetLimit, Nothing]) -> Reply:
        """Give a room a limit of its own, or that of the settings again; the next round judges it by that."""
        room_id, limit_bytes = call.path["room_id"], call.body.size_limit_bytes
        async with self.directory.database.write() as writer:
            await shards.set_limit(
                writer, room_id, limit_bytes, by=call.user_id, origin=call.origin, now_ms=call.now_ms
            )
            found = await shards.find(writer, room_id)
        return Reply(views.shard(found, self.size_limit_bytes))

    async def alerts(self, call: Call[Nothing, AlertsQuery]) -> Reply:
        """List alerts, newest first."""
        limit, place = cursors.size(call.query, self.page_size_max), cursors.read(call.query.cursor, 1)
        before = alerts.START if place is None else place[0]
        async with self.directory.database.read() as reader:
            rows = await alerts.list_page(reader, is_open=call.query.is_open, before=before, limit=limit + 1)
        page = rows[:limit]
        answer: AlertPageView = {
            "alerts": [views.alert(row) for row in page],
            "users": await self.people.of(row.acknowledged_by for row in page if row.acknowledged_by is not None),
            "next_cursor": cursors.write(page[-1].id) if len(rows) > limit else None,
        }
        return Reply(answer)

    async def acknowledge(self, call: Call[Nothing, Nothing]) -> Reply:
        """Say that an alert was seen; who said so first stays."""
        async with self.directory.database.write() as writer:
            found = await alerts.acknowledge(writer, call.path["alert_id"], call.user_id, now_ms=call.now_ms)
        return Reply(views.alert(found))
