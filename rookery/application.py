"""The served application: opened stores, the chores that keep them true, and the router in front."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from config.settings import Settings, TokenBucket
from ids import RoomId
from monitor import archive_rounds
from monitor.archive_rounds import ArchiveRounds
from monitor.examining import Examining
from monitor.file_sweeps import FileSweep
from monitor.hibernating import Hibernating
from monitor.hibernation_rounds import HibernationRounds
from monitor.jobs import Jobs
from monitor.tidying import Tidying
from objects.store import Store
from rookery import VERSION, chores, logs, monitoring
from rookery.composition import (
    DAY_MS,
    Archive,
    Stores,
    now_ms,
    open_archive,
    open_archiver,
    open_files,
    open_hibernating,
    open_stores,
)
from rookery.shard_terms import ShardTerms
from router import app, founding
from router.deliveries import Deliveries, Pace
from router.edge import Limits
from router.gateway.desk import Rates
from router.gateway.gateway import Admission, Gateway
from router.limits import Buckets, Rate
from router.metrics import Metrics
from router.outbound import Outbound, Reach
from shard.history import History
from shard.pool import Publish
from shard.rows import Event
from shard.searches import Searches

log = logging.getLogger(__name__)


class Application:
    """An ASGI application that opens its stores when the server starts it, on the server's own event loop."""

    def __init__(self, settings: Settings, *, ready: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._ready = ready
        self._served: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _Lifespan(lambda: self._open(scope["state"])).run(receive, send)
        else:
            assert self._served is not None, "the server starts the application before it serves"
            await self._served(scope, receive, send)

    @asynccontextmanager
    async def _open(self, state: MutableMapping[str, Any]) -> AsyncIterator[None]:
        """Open everything; what the server's own protocols need of it stands in `state` then."""
        metrics = Metrics()
        relay = _Relay([lambda _room_id, events: metrics.committed(len(events))])
        async with (
            open_stores(self._settings, relay.publish) as stores,
            open_files(self._settings) as store,
            open_archive(self._settings) as archive,
        ):
            mended = await founding.mend(stores.directory, stores.pool, now_ms=now_ms())
            if mended:
                log.warning("half-made rooms were mended", extra={"count": mended})
            outbound = _open_outbound(self._settings)
            deliveries = _deliveries(self._settings, stores, metrics, outbound)
            sweep = FileSweep(stores.directory, stores.pool, store)
            limits = _limits(self._settings)
            history = History(stores.pool, archive.cache)
            state["gateway"] = gateway = _gateway(self._settings, stores, history, metrics, limits)
            archiving = _archive_rounds(self._settings, stores, archive)
            relay.listeners += [deliveries.publish, sweep.publish, gateway.publish, archiving.publish]
            examining = monitoring.examining(self._settings, stores.directory)
            terms = ShardTerms(stores, self._settings.shards.size_limit_bytes)
            await terms.refresh()

            def woken(room_id: RoomId) -> None:
                """Have a room looked into that was passed by while it was away."""
                deliveries.watch(room_id)
                sweep.hint(room_id)

            async with open_hibernating(self._settings, stores, woken=woken) as hibernating:
                sleeping = _hibernation_rounds(self._settings, stores, metrics, hibernating)
                await sleeping.begin()
                tidying = Tidying(stores.directory, stores.pool, now_ms)
                workers = monitoring.Workers(examining, tidying, archiving, hibernating, stores.pool)
                jobs = monitoring.jobs(stores.directory, workers)
                await jobs.mend()
                parts = _Parts(
                    stores, archive, history, metrics, limits, deliveries, store, sweep.hint, gateway, jobs, examining
                )
                self._served = logs.watched(_build(self._settings, parts))
                with monitoring.rounds(self._settings, stores.directory, stores.pool) as rounds:
                    monitoring.show(metrics, rounds)
                    going = rounds.run(self._settings.triggers.crons)
                    work = (
                        chores.watch(stores.directory, terms), chores.sweep(sweep), chores.archive(archiving),
                        chores.hibernate(sleeping), chores.obey(sleeping),
                    )  # fmt: skip
                    try:
                        async with _at_work(*work, deliveries.run(), gateway.run(), going):
                            self._ready()
                            yield
                    finally:
                        await jobs.close()
                        outbound.close()
                        await gateway.hub.save()
                        await stores.directory.sessions.flush(now_ms=now_ms())
                        await stores.directory.rooms.flush(now_ms=now_ms())


@asynccontextmanager
async def _at_work(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do all of this until the block ends."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class _Relay:
    """Passes every commit on to whoever listens; made before what listens, since that is made of the stores."""

    def __init__(self, listeners: list[Publish]) -> None:
        self.listeners = listeners

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        for listener in self.listeners:
            listener(room_id, events)


class _Lifespan:
    """Speaks the ASGI lifespan protocol around a context: a failure to open is told to the server and ends it."""

    def __init__(self, context: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._context = context

    async def run(self, receive: Receive, send: Send) -> None:
        await receive()
        is_open = False
        try:
            async with self._context():
                is_open = True
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except BaseException as error:
            stage = "shutdown" if is_open else "startup"
            await send({"type": f"lifespan.{stage}.failed", "message": f"{type(error).__name__}: {error}"})
            raise
        await send({"type": "lifespan.shutdown.complete"})


def _open_outbound(settings: Settings) -> Outbound:
    reach = settings.webhooks
    return Outbound(Reach(reach.allowed_networks, reach.allow_private_networks))


def _deliveries(settings: Settings, stores: Stores, metrics: Metrics, outbound: Outbound) -> Deliveries:
    pace = Pace(give_up_seconds=settings.webhooks.retry_days * DAY_MS / 1000)
    found = Deliveries(stores.directory, stores.pool, outbound, clock=now_ms, pace=pace, count=metrics.delivered)
    text = "For how long the oldest event that an outgoing webhook should have told has been waiting."
    metrics.watch("rookery_webhook_backlog_seconds", text, lambda: found.backlog_seconds)
    return found


def _gateway(settings: Settings, stores: Stores, history: History, metrics: Metrics, limits: Limits) -> Gateway:
    server = settings.server
    gateway = Gateway(
        stores.directory,
        stores.pool,
        history,
        admission=Admission(
            origins=frozenset((_own_origin(settings), *server.allowed_origins)),
            proxies=server.trusted_proxies,
            frame_bytes_max=server.websocket_frame_bytes_max,
            message_length_max=settings.limits.message_length_max,
        ),
        rates=Rates(_rate(settings.limits.rates.frames), limits.user, limits.room),
        addresses=limits.address,
        clock=now_ms,
    )
    metrics.join(gateway.tallies)
    text = "Clients that are connected and have identified."
    metrics.watch("rookery_gateway_connections", text, lambda: gateway.connection_count)
    text = "Bytes that wait in the queues of connections whose clients read slowly."
    metrics.watch("rookery_gateway_queued_bytes", text, lambda: gateway.queued_bytes)
    return gateway


def _own_origin(settings: Settings) -> str:
    server = settings.server
    return server.public_url or f"http://{server.host}:{server.port}"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the application is built over."""

    stores: Stores
    archive: Archive
    history: History
    metrics: Metrics
    limits: Limits
    deliveries: Deliveries
    store: Store
    freed: Callable[[RoomId], None]
    gateway: Gateway
    jobs: Jobs
    quarantine: Examining


def _build(settings: Settings, parts: _Parts) -> ASGIApp:
    stores, metrics = parts.stores, parts.metrics
    limits, server = settings.limits, settings.server
    metrics.watch("rookery_shards_open", "Shards that are open.", lambda: stores.pool.open_count)
    metrics.watch("rookery_shard_tasks_waiting", "Tasks that wait for a shard.", lambda: stores.pool.waiting_count)
    return app.build(
        stores.directory,
        stores.pool,
        parts.history,
        Searches(stores.pool, parts.archive.cache),
        options=app.Options(
            title=settings.name,
            version=VERSION,
            own_origin=_own_origin(settings),
            cross_origins=server.allowed_origins,
            registration_is_open=server.registration == "open",
            message_length_max=limits.message_length_max,
            page_size_max=limits.page_size_max,
            search_deadline_seconds=limits.search_deadline_ms / 1000,
            rooms_owned_max=limits.rooms_owned_max,
            room_members_max=limits.room_members_max,
            group_members_max=limits.group_members_max,
            file_bytes_max=limits.file_bytes_max,
            storage_user_bytes_max=limits.storage_user_bytes_max,
            size_limit_bytes=settings.shards.size_limit_bytes,
            webhook_rate=_rate(limits.rates.webhook),
            site_vars=settings.vars,
        ),
        limits=parts.limits,
        metrics=metrics,
        checks={"directory": stores.directory.database.ping},
        clock=now_ms,
        deliveries=parts.deliveries,
        store=parts.store,
        freed=parts.freed,
        gateway=parts.gateway,
        jobs=parts.jobs,
        quarantine=parts.quarantine,
    )


def _limits(settings: Settings) -> Limits:
    """Return the bounds of HTTP and of the gateway, which share them: whoever asks in both ways has one bucket."""
    limits = settings.limits
    return Limits(
        body_bytes_max=limits.body_bytes_max,
        user=_buckets("user", limits.rates.user),
        address=_buckets("address", limits.rates.address),
        room=_buckets("room", limits.rates.room),
        credentials=_buckets("credentials", limits.rates.credentials),
    )


def _archive_rounds(settings: Settings, stores: Stores, archive: Archive) -> ArchiveRounds:
    limits = archive_rounds.Limits(settings.shards.size_limit_bytes, settings.history.archive_at_percent)
    return ArchiveRounds(stores.directory, open_archiver(settings, stores, archive), limits)


def _buckets(name: str, bucket: TokenBucket) -> Buckets:
    return Buckets(name, _rate(bucket))


def _rate(bucket: TokenBucket) -> Rate:
    return Rate(bucket.per_second, bucket.burst)


def _hibernation_rounds(
    settings: Settings, stores: Stores, metrics: Metrics, hibernating: Hibernating
) -> HibernationRounds:
    text = "How long the last waking of a hibernated room took; 0 before the first."
    metrics.watch("rookery_waking_seconds", text, lambda: hibernating.waking_seconds)
    idle_ms = settings.hibernation.idle_days * DAY_MS
    return HibernationRounds(stores.directory, stores.pool, hibernating, idle_ms=idle_ms, clock=now_ms)
