"""Endpoints of the site itself: health, metrics, and the documents of this API."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from router import metrics
from router.context import AppContext
from router.routes import Access, Call, Reply, Route
from router.schemas.fields import Nothing

JSON = (b"content-type", b"application/json")
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
    """Health of the server; `checks` has the result of each check by name."""

    status: str
    checks: dict[str, str]


class SiteView(TypedDict):
    """Public facts of the site: its name, whether registration is open, and the public `vars` of its settings."""

    name: str
    version: str
    registration_is_open: bool
    vars: dict[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Site:
    """The endpoints and what they need."""

    context: AppContext
    openapi: Callable[[], bytes]
    docs: Callable[[], bytes]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""
        tag = "operate"
        return (
            Route("GET", "/v1/site", self.about, "Get the site", tag, SiteView, access=Access.OPEN),
            Route(
                "GET", "/healthz", self.alive, "Check liveness", tag, HealthView, access=Access.OPEN, is_health=True,
            ),
            Route(
                "GET", "/readyz", self.ready, "Check readiness", tag, HealthView, access=Access.OPEN, or_status=503,
                is_health=True,
            ),
            Route(
                "GET", "/metrics", self.figures, "Get metrics", tag, str, access=Access.OPEN,
                media_type=metrics.MEDIA_TYPE,
            ),
            Route(
                "GET", "/openapi.json", self.document, "Get the OpenAPI document", tag, dict[str, Any],
                access=Access.OPEN,
            ),
            Route(
                "GET", "/docs", self.page, "Get the API reference", tag, str, access=Access.OPEN, media_type=HTML_TYPE,
            ),
        )  # fmt: skip

    async def about(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return the facts that a client shows before sign-in."""
        options = self.context.options
        answer: SiteView = {
            "name": options.title,
            "version": options.version,
            "registration_is_open": options.registration_is_open,
            "vars": dict(options.site_vars),
        }
        return Reply(answer)

    async def alive(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return 200 while the process runs."""
        answer: HealthView = {"status": "ok", "checks": {}}
        return Reply(answer)

    async def ready(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Check everything that the server depends on. Returns 200 if all checks pass, and 503 with the reasons if not.

        `status` is `degraded`, with 200, while the server does a part of its work: on a full disk it serves reads.
        """
        found: dict[str, str] = {}
        for name, check in self.context.checks.items():
            try:
                await check()
                found[name] = "ok"
            except Exception as error:
                found[name] = f"{type(error).__name__}: {error}"
        is_well = all(state == "ok" for state in found.values())
        warnings = {name: warning() for name, warning in self.context.warnings.items()}
        is_degraded = any(state.startswith("full") for state in warnings.values())
        status = "unavailable" if not is_well else "degraded" if is_degraded else "ok"
        answer: HealthView = {"status": status, "checks": found | warnings}
        return Reply(answer, 200 if is_well else 503)

    async def figures(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return all metrics in Prometheus' text format."""
        return Reply(self.context.metrics.page(), headers=((b"content-type", metrics.MEDIA_TYPE.encode()),))

    async def document(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return the OpenAPI document of this server's routes."""
        return Reply(self.openapi(), headers=(JSON,))

    async def page(self, _call: Call[Nothing, Nothing]) -> Reply:
        """Return the API reference as one page, without external resources."""
        return Reply(self.docs(), headers=HTML)
