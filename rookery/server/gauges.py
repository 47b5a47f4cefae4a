"""Gauges of the server, in one list: values that a scrape of /metrics reads from the parts that have them.

Counters and histograms are declared beside the code that counts: router/metrics.py, router/gateway/metrics.py.
"""

import platform
from collections.abc import Mapping

import sqlite
from directory.shards import LEVELS
from monitor.disk_space import DiskSpace
from monitor.hibernator import Hibernator
from monitor.rounds import RoundStats
from monitor.scrub import ScrubStats
from rookery import VERSION
from rookery.server.peers import Peers
from router.gateway.gateway import Gateway
from router.metrics import Metrics
from router.webhook_deliveries import Deliveries
from shard.engine.pool import ShardPool


def declare(
    metrics: Metrics,
    pool: ShardPool,
    deliveries: Deliveries,
    gateway: Gateway,
    peers: Peers,
    hibernator: Hibernator,
    rounds: RoundStats,
    disk: DiskSpace,
    scrub: ScrubStats,
    directory_limit_bytes: int,
) -> None:
    """Declare every gauge, with the counters of the gateway: a new gauge is one line here, and one in operations.md."""

    def by_level() -> Mapping[str, float]:
        return {level: rounds.summary.by_level.get(level, 0) for level in LEVELS}

    began_at = "When the last whole round of the monitor began, in seconds since 1970; 0 before the first."
    backlog = "For how long the oldest event that an outgoing webhook should have told has been waiting."
    queued = "Bytes that wait in the queues of connections whose clients read slowly."
    waking = "How long the last waking of a hibernated room took; 0 before the first."
    connected = "Clients that are connected and have identified."
    ended = "Connections that the server ended or refused to serve."
    took = "How long the last whole round of the monitor took."
    gauge = metrics.watch
    gauge("rookery_shards_open", "Shards that are open.", lambda: pool.open_count)
    gauge("rookery_disk_free_bytes", "Free bytes on the disk of the data folder.", lambda: disk.free_bytes)
    gauge("rookery_shard_tasks_waiting", "Tasks that wait for a shard.", lambda: pool.waiting_count)
    gauge("rookery_webhook_backlog_seconds", backlog, lambda: deliveries.backlog_seconds)
    gauge("rookery_connections", "Connections that are open, WebSockets included.", lambda: peers.count)
    gauge("rookery_gateway_connections", connected, lambda: gateway.connection_count)
    gauge("rookery_gateway_queued_bytes", queued, lambda: gateway.queued_bytes)
    gauge("rookery_waking_seconds", waking, lambda: hibernator.waking_seconds)
    gauge("rookery_shards_bytes", "Bytes of all shards.", lambda: rounds.summary.size_bytes)
    measured = "Bytes of the directory in use, as of the last round of the monitor."
    gauge("rookery_directory_bytes", measured, lambda: rounds.directory_bytes)
    gauge("rookery_directory_limit_bytes", "Bytes that the directory may use.", lambda: directory_limit_bytes)
    build = {"version": VERSION, "python": platform.python_version(), "sqlite": sqlite.version()}
    metrics.facts("rookery_build", "The versions that run.", build)
    gauge("rookery_shards_quarantined", "Shards that nobody is let into.", lambda: rounds.summary.quarantined)
    gauge("rookery_alerts_open", "Alerts that nobody acknowledged.", lambda: rounds.open_alerts)
    gauge("rookery_work_set_aside", "Rooms and objects whose work failed, to be tried again.", lambda: rounds.set_aside)
    gauge("rookery_monitor_failed", "Rounds of the monitor that failed.", lambda: rounds.failed)
    gauge("rookery_monitor_round_at", began_at, lambda: rounds.last.began_at / 1_000 if rounds.last else 0)
    gauge("rookery_monitor_round_seconds", took, lambda: rounds.last.seconds if rounds.last else 0)
    scrubbed_at = "When the room whose objects were compared longest ago had its turn, in seconds since 1970; 0: never."
    gauge("rookery_scrub_oldest_at", scrubbed_at, lambda: scrub.oldest_at / 1_000)
    gauge("rookery_scrub_lost_rooms", "Rooms of which objects are lost or damaged.", lambda: scrub.lost)
    gauge("rookery_scrub_objects", "Objects that were looked for since the start.", lambda: scrub.objects)
    gauge("rookery_scrub_bytes", "Bytes of objects that were compared since the start.", lambda: scrub.bytes)
    metrics.watch_by("rookery_shards", "Shards at each level of their size.", "level", by_level)
    slow = "Statements that took longer than the settings' slow_statement_ms."
    metrics.watch_by("rookery_slow_statements", slow, "store", lambda: sqlite.slow_statements.counts, is_counter=True)
    metrics.watch_by("rookery_connections_ended", ended, "reason", lambda: peers.ended, is_counter=True)
    metrics.join(gateway.metrics)
