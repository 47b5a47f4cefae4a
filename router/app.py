"""The ASGI application: Starlette's router over the route table, every path served through the edge."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Router
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from directory.directory import Directory
from router import openapi
from router.auth import Authenticator
from router.doors import People, RoomDoor
from router.edge import Edge, Limits, PathApp, serve
from router.endpoints.accounts import Accounts
from router.endpoints.operate import Check, Operate, SiteView
from router.endpoints.rooms import Rooms
from router.endpoints.shape import Shape
from router.endpoints.talk import Talk
from router.metrics import Metrics
from router.table import Route
from shard.pool import ShardPool

DOCS_PAGE = Path(__file__).with_name("docs.html")


@dataclass(frozen=True, slots=True)
class Options:
    """What the application is told of its surroundings; sizes in their units."""

    title: str
    version: str
    own_origin: str
    cross_origins: tuple[str, ...]
    registration_is_open: bool
    message_length_max: int
    page_size_max: int
    search_deadline_seconds: float
    rooms_owned_max: int
    room_members_max: int
    site_vars: Mapping[str, str | int | float | bool]


class IdConvertor(Convertor[str]):
    """Matches digits alone, so that /v1/rooms/by-name/search is the room named search, not the search of a room."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", IdConvertor())

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def build(
    directory: Directory,
    pool: ShardPool,
    *,
    options: Options,
    limits: Limits,
    metrics: Metrics,
    checks: dict[str, Check],
    clock: Callable[[], int],
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """Return the application over two open stores."""
    table = routes(directory, pool, options=options, metrics=metrics, checks=checks)
    edge = Edge(Authenticator(directory.sessions, (options.own_origin, *options.cross_origins)), limits, metrics, clock)

    async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await serve(edge, None, [], scope, receive, send)

    served = Router(list(_paths(table, edge)), redirect_slashes=False, default=nowhere, lifespan=lifespan)
    return _shared_with(options.cross_origins, served) if options.cross_origins else served


def _shared_with(origins: tuple[str, ...], served: ASGIApp) -> ASGIApp:
    """Let pages of these origins call the API and read its answers, cookie included."""
    return CORSMiddleware(
        served,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type"),
        allow_credentials=True,
        expose_headers=("X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After"),
    )


def routes(
    directory: Directory, pool: ShardPool, *, options: Options, metrics: Metrics, checks: dict[str, Check]
) -> tuple[Route, ...]:
    """Return the route table, the busiest routes first: they are looked at in order."""
    door, people = RoomDoor(directory.rooms, pool), People(directory.profiles)
    parts = (
        Talk(
            door, pool, people, options.message_length_max, options.page_size_max, options.search_deadline_seconds
        ).routes()
        + Shape(door, pool).routes()
        + Rooms(
            directory, pool, door, people, options.rooms_owned_max, options.room_members_max, options.page_size_max
        ).routes()
        + Accounts(directory, options.registration_is_open).routes()
    )
    page = DOCS_PAGE.read_bytes()

    @cache
    def document() -> dict[str, Any]:
        return openapi.document(table, title=options.title, version=options.version)

    table = parts + Operate(metrics, checks, document, lambda: page, _site(options)).routes()
    return table


def _site(options: Options) -> SiteView:
    return {
        "name": options.title,
        "version": options.version,
        "registration_is_open": options.registration_is_open,
        "vars": dict(options.site_vars),
    }


def _paths(table: tuple[Route, ...], edge: Edge) -> "list[BaseRoute]":
    methods: dict[str, dict[str, Route]] = {}
    for route in table:
        methods.setdefault(route.path, {})[route.method] = route
    return [
        StarletteRoute(path.replace("_id}", "_id:id}"), PathApp(of_path, edge)) for path, of_path in methods.items()
    ]
