"""Metrics of the data plane for Prometheus, in a registry of their own.

Requests are counted in plain integers and converted to Prometheus' families at each scrape: the library's own counters
take a lock each, which was 4 % of a send.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from router.routes import Route

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
_BOUNDS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_Family = type[CounterMetricFamily] | type[GaugeMetricFamily]


class _Tally:
    """Counts of the responses of one route with one status."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(_BOUNDS_SECONDS) + 1)


class Metrics(Collector):
    """Counts of requests by route, and gauges of values that others own. Lives on the event loop."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._tallies: dict[tuple[Route | None, int], _Tally] = {}
        self._watched: list[tuple[_Family, str, str, str, Callable[[], Mapping[str, float]]]] = []
        self._hung_up = 0
        self._events = 0
        self._deliveries: Counter[str] = Counter()

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Export a value that is read at every scrape."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def facts(self, name: str, text: str, facts: Mapping[str, str]) -> None:
        """Export facts that do not change, as labels of a gauge that is 1; `_info` is added to its name."""
        Info(name, text, registry=self._registry).info(dict(facts))

    def join(self, collector: Collector) -> None:
        """Export the metrics of another collector."""
        self._registry.register(collector)

    def watch_by(
        self, name: str, text: str, label: str, values: Callable[[], Mapping[str, float]], *, is_counter: bool = False
    ) -> None:
        """Export values that are read at every scrape, each under one value of a label; a counter's only grow."""
        family = CounterMetricFamily if is_counter else GaugeMetricFamily
        self._watched.append((family, name, text, label, values))

    def answered(self, route: Route | None, status: int, seconds: float) -> None:
        """Count one response."""
        tally = self._tallies.get((route, status))
        if tally is None:
            tally = self._tallies[route, status] = _Tally()
        tally.count += 1
        tally.seconds += seconds
        tally.buckets[bisect_left(_BOUNDS_SECONDS, seconds)] += 1

    def hung_up(self) -> None:
        """Count a client that disconnected."""
        self._hung_up += 1

    def committed(self, count: int) -> None:
        """Count events of a commit."""
        self._events += count

    def delivered(self, outcome: str) -> None:
        """Count a delivery to a webhook by its outcome."""
        self._deliveries[outcome] += 1

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families; called by the registry."""
        labels = ("method", "path", "status")
        requests = CounterMetricFamily("rookery_http_requests", "Requests answered.", labels=labels)
        seconds = HistogramMetricFamily("rookery_http_request_seconds", "Time to answer a request.", labels=labels)
        for (route, status), tally in self._tallies.items():
            values = (*((route.method, route.path) if route else ("-", "-")), str(status))
            requests.add_metric(values, tally.count)
            seconds.add_metric(values, _cumulative(tally), tally.seconds)
        yield requests
        yield seconds
        yield CounterMetricFamily(
            "rookery_http_hung_up", "Clients that left before their request was whole.", self._hung_up
        )
        yield CounterMetricFamily("rookery_events", "Events committed to shards.", self._events)
        text = "Deliveries to outgoing webhooks."
        deliveries = CounterMetricFamily("rookery_webhook_deliveries", text, labels=("outcome",))
        for outcome, count in self._deliveries.items():
            deliveries.add_metric((outcome,), count)
        yield deliveries
        for kind, name, text, label, ask in self._watched:
            family = kind(name, text, labels=(label,))
            for value, figure in ask().items():
                family.add_metric((value,), figure)
            yield family


def _cumulative(tally: _Tally) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    total = 0
    for bound, count in zip((*map(str, _BOUNDS_SECONDS), "+Inf"), tally.buckets, strict=True):
        total += count
        found.append((bound, total))
    return found
