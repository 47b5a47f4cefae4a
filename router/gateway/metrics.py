"""Metrics of the gateway for Prometheus: plain integers, turned into families when they are collected."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from router.gateway.frames import Rendered

AGES_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
RESUMED_EVENTS: Final = (0, 1, 10, 100, 1_000, 10_000, 100_000)


class Histogram:
    """Counts of values by bucket; the bounds are the greatest value of each."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def family(self, name: str, text: str) -> Metric:
        """Return the histogram as a metric family."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)


class GatewayMetrics(Collector):
    """Metrics of the gateway. Lives on the event loop."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self.opened = 0
        self.received = 0
        self.delivered = 0
        self.endings: Counter[str] = Counter()
        self._ages = Histogram(AGES_SECONDS)
        self._resumes = Histogram(RESUMED_EVENTS)

    def published(self, rendered: Sequence[Rendered], delivered: int) -> None:
        """Count a commit's events, sent `delivered` times in all; the age is that of the first of them."""
        self.delivered += delivered
        if delivered:
            self._ages.observe(max(0, self._clock() - rendered[0].created_at) / 1000, delivered)

    def resumed(self, events: int) -> None:
        """Count a resumed room, so many events behind."""
        self._resumes.observe(events)

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        yield CounterMetricFamily("rookery_gateway_connections_opened", "WebSockets opened.", self.opened)
        text = "Frames from clients, pings included."
        yield CounterMetricFamily("rookery_gateway_frames_received", text, self.received)
        text = "Events told, once for each listener."
        yield CounterMetricFamily("rookery_gateway_events_delivered", text, self.delivered)
        endings = CounterMetricFamily(
            "rookery_gateway_closed", "Connections that we ended, by why.", labels=("reason",)
        )
        for reason, count in self.endings.items():
            endings.add_metric((reason,), count)
        yield endings
        text = "How old events were when they were handed to the sockets of their listeners."
        yield self._ages.family("rookery_gateway_event_age_seconds", text)
        text = "How many events behind a client was that resumed a room."
        yield self._resumes.family("rookery_gateway_resume_events", text)
