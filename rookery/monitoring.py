"""Puts the monitor together: for the server, which goes round by the settings' crons, and for `rookery monitor`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from config.settings import Settings
from directory.directory import Directory
from directory.shards import LEVELS
from monitor.rounds import Rounds
from monitor.telling import Telling
from rookery import alerting, composition
from rookery.composition import now_ms
from router.metrics import Metrics


@contextmanager
def rounds(settings: Settings, directory: Directory) -> Iterator[Rounds]:
    """Lend what goes round, over an open directory."""
    with alerting.tellers(settings) as tellers:
        telling = Telling(directory, tellers, now_ms)
        walk = composition.size_walk(settings, directory)
        yield Rounds(
            directory,
            settings.directory,
            walk,
            telling,
            settings.server.data_dir / composition.MONITOR_LOCK,
            now_ms,
        )


def show(metrics: Metrics, going: Rounds) -> None:
    """Show how the fleet is, and how the rounds go, in the server's metrics."""
    standing = going.standing

    def by_level() -> Mapping[str, float]:
        return {level: standing.summary.by_level.get(level, 0) for level in LEVELS}

    metrics.watch_by("rookery_shards", "Shards at each level of their size.", "level", by_level)
    metrics.watch("rookery_shards_bytes", "Bytes of all shards.", lambda: standing.summary.size_bytes)
    metrics.watch("rookery_shards_quarantined", "Shards that nobody is let into.", lambda: standing.summary.quarantined)
    metrics.watch("rookery_alerts_open", "Alerts that nobody acknowledged.", lambda: standing.open_alerts)
    metrics.watch("rookery_monitor_failed", "Rounds of the monitor that failed.", lambda: standing.failed)
    text = "When the last whole round of the monitor began, in seconds since 1970; 0 before the first."
    metrics.watch("rookery_monitor_round_at", text, lambda: standing.last.began_at / 1_000 if standing.last else 0)
    text = "How long the last whole round of the monitor took."
    metrics.watch("rookery_monitor_round_seconds", text, lambda: standing.last.seconds if standing.last else 0)
