"""For operators and developers: health, figures, and the documents of this API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from router import metrics
from router.metrics import Metrics
from router.table import Call, Gate, Reply, Route
from router.wire.fields import Nothing

HTML_TYPE = "text/html; charset=utf-8"
HTML = (
    (b"content-type", HTML_TYPE.encode()),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)


class HealthView(TypedDict):
    """Whether the server can do its work; `checks` names what was looked at."""

    status: str
    checks: dict[str, str]


class SiteView(TypedDict):
    """What the site says of itself: its name, whether people can sign up, and the public `vars` of its settings."""

    name: str
    version: str
    registration_is_open: bool
    vars: dict[str, str | int | float | bool]


Check = Callable[[], Awaitable[None]]
"""Returns when all is well; raises whatever is wrong."""


@dataclass(frozen=True, slots=True)
class Operate:
    """The endpoints and what they need."""

    metrics: Metrics
    checks: dict[str, Check]
    openapi: Callable[[], dict[str, Any]]
    docs: Callable[[], bytes]
    site: SiteView

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "operate"
        return (
            Route("GET", "/v1/site", self.about, "About this server", tag, SiteView, gate=Gate.OPEN),
            Route("GET", "/healthz", self.alive, "Is the process alive?", tag, HealthView, gate=Gate.OPEN),
            Route(
                "GET", "/readyz", self.ready, "Can it do its work?", tag, HealthView, gate=Gate.OPEN, or_status=503,
            ),
            Route(
                "GET", "/metrics", self.figures, "Figures for Prometheus", tag, str, gate=Gate.OPEN,
                media_type=metrics.MEDIA_TYPE,
            ),
            Route(
                "GET", "/openapi.json", self.document, "This API as OpenAPI 3.1", tag, dict[str, Any], gate=Gate.OPEN,
            ),
            Route("GET", "/docs", self.page, "This API for reading", tag, str, gate=Gate.OPEN, media_type=HTML_TYPE),
        )  # fmt: skip

    async def about(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return what a client shows before anybody signs in."""
        return Reply(self.site)

    async def alive(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Answer, which is the proof."""
        answer: HealthView = {"status": "ok", "checks": {}}
        return Reply(answer)

    async def ready(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Look at what the server cannot do without: 200 when all is well, 503 with the reasons when not."""
        found: dict[str, str] = {}
        for name, check in self.checks.items():
            try:
                await check()
                found[name] = "ok"
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
        is_well = all(state == "ok" for state in found.values())
        answer: HealthView = {"status": "ok" if is_well else "unavailable", "checks": found}
        return Reply(answer, 200 if is_well else 503)

    async def figures(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return all figures in Prometheus' text format."""
        return Reply(self.metrics.page(), headers=((b"content-type", metrics.MEDIA_TYPE.encode()),))

    async def document(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return the OpenAPI document of the routes that this server has."""
        return Reply(self.openapi())

    async def page(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return a page that needs nothing from elsewhere."""
        return Reply(self.docs(), headers=HTML)
