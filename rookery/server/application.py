"""The served application: opened stores, the parts over them, their periodic tasks, and the router in front."""

import logging
from collections.abc import AsyncIterator, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings, TokenBucket
from directory.directory import Directory
from ids import RoomId
from monitor.archive_schedule import ArchiveSchedule
from monitor.archive_schedule import Limits as ArchiveLimits
from monitor.file_cleanup import FileCleanup
from monitor.full_rooms import FullRooms
from monitor.group_owners import GroupOwners
from monitor.hibernation_schedule import HibernationSchedule
from monitor.hibernator import Hibernator
from monitor.jobs import Jobs
from monitor.optimizer import Optimizer
from monitor.word_indexer import WordIndexer
from rookery import VERSION, link_key, logs, optional
from rookery.composition import (
    DAY_MS,
    Archive,
    Stores,
    disk_space,
    now_ms,
    open_archive,
    open_archiver,
    open_files,
    open_hibernator,
    open_stores,
    prepare,
    size_walk,
)
from rookery.object_storage import open_serving
from rookery.server import drill, gauges, lifespan, monitor, periodic
from rookery.server.peers import Peers
from rookery.server.shard_limits import ShardLimits
from router import app
from router.context import AppContext, Options
from router.dispatch import Limits
from router.gateway.gateway import Gateway, GatewayOptions
from router.gateway.requests import Rates
from router.metrics import Metrics
from router.outbound import Outbound, Reach
from router.people import People
from router.rate_limits import Buckets, Rate
from router.room_access import RoomAccess
from router.schemas.fields import Bounds
from router.sign_ins import SignIns
from router.webhook_deliveries import Deliveries, Pace
from router.workflows import room_creation
from router.workflows.membership import Entrance
from shard.engine.pool import Publish
from shard.history.history import History
from shard.history.search import Searches
from shard.rows import Event

log = logging.getLogger(__name__)


class Application:
    """An ASGI application that opens its stores when the server starts it, on the server's own event loop."""

    def __init__(self, settings: Settings, *, is_drill: bool = False, ready: Callable[[], None] = lambda: None) -> None:
        self._settings = drill.without_alert_channels(settings) if is_drill else settings
        self._is_drill = is_drill
        self._ready = ready
        self._served: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan.run(lambda: self._open(scope["state"]), receive, send)
        else:
            assert self._served is not None, "the server starts the application before it serves"
            await self._served(scope, receive, send)

    @asynccontextmanager
    async def _open(self, state: MutableMapping[str, Any]) -> AsyncIterator[None]:
        """Open the stores, build the parts over them, recover from a crash, and run; close in the opposite order.

        Parts that uvicorn's protocols use are put into `state`.
        """
        settings, metrics = self._settings, Metrics()
        prepare(settings)
        disk_space(settings).prepare()
        relay = _Relay([lambda _room_id, events: metrics.committed(len(events))])
        async with (
            open_stores(settings, relay.publish, kind="server", checks_shards=False) as stores,
            open_serving(settings, stores.directory, now_ms, is_drill=self._is_drill) as ownership,
            open_files(settings, ownership) as store,
            open_archive(settings, ownership) as archive,
            open_hibernator(settings, stores, ownership, woken=relay.announce_woken) as hibernator,
        ):
            directory, pool = stores.directory, stores.pool
            limits = _limits(settings)
            history = History(pool, archive.cache)
            outbound = _outbound(settings, is_silent=self._is_drill)
            deliveries = _deliveries(settings, stores, metrics, outbound)
            cleanup = FileCleanup(directory, pool, store)
            archive_schedule = _archive_schedule(settings, stores, archive)
            hibernation = _hibernation_schedule(settings, stores, hibernator)
            shard_limits = ShardLimits(stores, settings.shards.size_limit_bytes)
            integrity_check = monitor.integrity_check(settings, directory)
            scrub = monitor.scrub(settings, directory, archive, store, hibernator)
            optimizer = Optimizer(directory, pool, now_ms)
            disk = monitor.disk_watch(settings, directory, pool)
            full_rooms = FullRooms(pool, size_walk(settings, directory), optimizer)
            workers = monitor.Workers(integrity_check, optimizer, archive_schedule, hibernator, pool)
            jobs = monitor.jobs(directory, workers)
            state["gateway"] = gateway = _gateway(settings, stores, history, limits)
            state["peers"] = peers = _peers(settings)
            heard_by = (deliveries, cleanup, gateway.hub, archive_schedule, full_rooms)
            relay.listeners += [each.publish for each in heard_by]
            relay.woken_listeners += [deliveries.watch, cleanup.hint]

            await _recover(stores, shard_limits, hibernation, jobs)

            context = AppContext(
                _options(settings), directory, pool, history, Searches(pool, archive.cache),
                RoomAccess(directory.rooms, directory.chats, pool), People(directory.profiles),
                Entrance(directory, pool, settings.limits.room_members_max), gateway, deliveries, store, cleanup.hint,
                scrub.hint, optional.inspect_image, jobs, integrity_check, metrics,
                SignIns(settings.limits.ipv6_prefix_length), checks={"directory": directory.database.ping},
                warnings={"disk": disk.space.describe},
            )  # fmt: skip
            self._served = logs.watched(app.build(context, limits, now_ms))
            tasks = periodic.tasks(
                directory, shard_limits, full_rooms, disk.look, lambda: monitor.note_damages(pool, integrity_check),
                cleanup, archive_schedule, hibernation, gateway, WordIndexer(directory, pool, now_ms), ownership,
                peers, scrub, GroupOwners(directory, pool, now_ms),
            )  # fmt: skip
            with monitor.rounds(settings, directory, pool) as rounds:
                gauges.declare(
                    metrics, pool, deliveries, gateway, peers, hibernator, rounds.stats, disk.space, scrub.stats,
                    settings.directory.size_limit_bytes,
                )  # fmt: skip
                disk.deliver = rounds.deliver
                await disk.look()
                work = [gateway.run(), rounds.run(settings.triggers.crons)]
                if not self._is_drill:
                    work.append(deliveries.run())
                try:
                    async with periodic.running(*map(periodic.repeat, tasks), *work):
                        self._ready()
                        yield
                finally:
                    await _wind_up(directory, jobs, outbound, gateway)


class _Relay:
    """A relay of commits and woken rooms; made before its listeners, which need the stores."""

    def __init__(self, listeners: list[Publish]) -> None:
        self.listeners = listeners
        self.woken_listeners: list[Callable[[RoomId], None]] = []

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        for listener in self.listeners:
            try:
                listener(room_id, events)
            except Exception:  # the log has the events; the other listeners receive them
                log.exception("a listener failed at a commit", extra={"room_id": room_id})

    def announce_woken(self, room_id: RoomId) -> None:
        """Have a woken room visited by the parts that skipped it while it was hibernated."""
        for listener in self.woken_listeners:
            try:
                listener(room_id)
            except Exception:  # the others receive it
                log.exception("a listener failed at a room that was woken", extra={"room_id": room_id})


async def _recover(stores: Stores, shard_limits: ShardLimits, hibernation: HibernationSchedule, jobs: Jobs) -> None:
    """Finish or undo the rooms whose creation a crash cut short, and forget the work that ended with the process."""
    mended = await room_creation.mend(stores.directory, stores.pool, now_ms=now_ms())
    if mended:
        log.warning("half-made rooms were mended", extra={"count": mended})
    await shard_limits.refresh()
    await hibernation.discard_orders()
    await jobs.abandon_unfinished()


async def _wind_up(directory: Directory, jobs: Jobs, outbound: Outbound, gateway: Gateway) -> None:
    """End what is under way, and save what is in memory only."""
    await jobs.close()
    outbound.close()
    await gateway.hub.save()
    await directory.sessions.flush(now_ms=now_ms())
    await directory.rooms.flush(now_ms=now_ms())


def _outbound(settings: Settings, *, is_silent: bool) -> Outbound:
    reach = settings.webhooks
    return Outbound(Reach(reach.allowed_networks, reach.allow_private_networks), is_silent=is_silent)


def _deliveries(settings: Settings, stores: Stores, metrics: Metrics, outbound: Outbound) -> Deliveries:
    pace = Pace(give_up_seconds=settings.webhooks.retry_days * DAY_MS / 1000)
    return Deliveries(stores.directory, stores.pool, outbound, clock=now_ms, pace=pace, count=metrics.delivered)


def _gateway(settings: Settings, stores: Stores, history: History, limits: Limits) -> Gateway:
    server = settings.server
    return Gateway(
        stores.directory,
        stores.pool,
        history,
        options=GatewayOptions(
            origins=frozenset((_own_origin(settings), *server.allowed_origins)),
            proxies=server.trusted_proxies,
            frame_bytes_max=server.websocket_frame_bytes_max,
            message_length_max=settings.limits.message_length_max,
            ipv6_prefix_length=settings.limits.ipv6_prefix_length,
        ),
        rates=Rates(_rate(settings.limits.rates.frames), limits.user, limits.room),
        addresses=limits.address,
        clock=now_ms,
    )


def _peers(settings: Settings) -> Peers:
    server = settings.server
    return Peers(
        connections_max=server.connections_max,
        per_address_max=server.connections_per_address_max,
        proxies=server.trusted_proxies,
        ipv6_prefix_length=settings.limits.ipv6_prefix_length,
    )


def _own_origin(settings: Settings) -> str:
    server = settings.server
    return server.public_url or f"http://{server.host}:{server.port}"


def _options(settings: Settings) -> Options:
    limits = settings.limits
    return Options(
        title=settings.name,
        version=VERSION,
        own_origin=_own_origin(settings),
        cross_origins=settings.server.allowed_origins,
        registration_is_open=settings.server.registration == "open",
        bounds=Bounds(limits.message_length_max, limits.page_size_max, limits.file_bytes_max),
        search_deadline_seconds=limits.search_deadline_ms / 1000,
        rooms_owned_max=limits.rooms_owned_max,
        room_members_max=limits.room_members_max,
        group_members_max=limits.group_members_max,
        storage_user_bytes_max=limits.storage_user_bytes_max,
        size_limit_bytes=settings.shards.size_limit_bytes,
        webhook_rate=_rate(limits.rates.webhook),
        site_vars=settings.vars,
        link_secret=link_key.read_or_make(settings.server.data_dir),
    )


def _limits(settings: Settings) -> Limits:
    """Return the bounds of HTTP and of the gateway, which share them: a client of both has one bucket."""
    limits = settings.limits
    return Limits(
        body_bytes_max=limits.body_bytes_max,
        ipv6_prefix_length=limits.ipv6_prefix_length,
        user=_buckets("user", limits.rates.user),
        address=_buckets("address", limits.rates.address),
        room=_buckets("room", limits.rates.room),
        credentials=_buckets("credentials", limits.rates.credentials),
    )


def _archive_schedule(settings: Settings, stores: Stores, archive: Archive) -> ArchiveSchedule:
    limits = ArchiveLimits(settings.shards.size_limit_bytes, settings.history.archive_at_percent)
    return ArchiveSchedule(stores.directory, open_archiver(settings, stores, archive), limits)


def _buckets(name: str, bucket: TokenBucket) -> Buckets:
    return Buckets(name, _rate(bucket))


def _rate(bucket: TokenBucket) -> Rate:
    return Rate(bucket.per_second, bucket.burst)


def _hibernation_schedule(settings: Settings, stores: Stores, hibernator: Hibernator) -> HibernationSchedule:
    idle_ms = settings.hibernation.idle_days * DAY_MS
    return HibernationSchedule(stores.directory, stores.pool, hibernator, idle_ms=idle_ms, clock=now_ms)
