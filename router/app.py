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
from ids import RoomId
from objects.store import Store
from router import communities, openapi
from router.auth import Authenticator
from router.deliveries import Deliveries
from router.doors import People, RoomDoor
from router.edge import Edge, Limits, PathApp, serve
from router.endpoints.accounts import Accounts
from router.endpoints.amend import Amend
from router.endpoints.archives import Archives
from router.endpoints.bots import Bots
from router.endpoints.chats import Chats
from router.endpoints.files import Files
from router.endpoints.fleet import Fleet
from router.endpoints.hooks import PING_RATE, Hooks
from router.endpoints.invites import Invites
from router.endpoints.jobs import Operations
from router.endpoints.live import Live
from router.endpoints.moderate import Moderate
from router.endpoints.operate import Check, Operate, SiteView
from router.endpoints.overwrites import Overwrites
from router.endpoints.platform import Platform
from router.endpoints.reactions import Reactions
from router.endpoints.reading import Reading
from router.endpoints.roles import Roles
from router.endpoints.rooms import Rooms
from router.endpoints.search import Search
from router.endpoints.shape import Shape
from router.endpoints.talk import Talk
from router.endpoints.threads import Threads
from router.endpoints.voice import Voice
from router.entering import Entrance
from router.founding import DirectChats
from router.gateway.gateway import Gateway
from router.jobs import Jobs, Quarantine
from router.limits import Buckets, Rate
from router.metrics import Metrics
from router.table import Route
from shard.history import History
from shard.pool import ShardPool
from shard.searches import Searches

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
    group_members_max: int
    file_bytes_max: int
    storage_user_bytes_max: int
    size_limit_bytes: int
    webhook_rate: Rate
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
    history: History,
    searches: Searches,
    *,
    options: Options,
    limits: Limits,
    metrics: Metrics,
    checks: dict[str, Check],
    clock: Callable[[], int],
    store: Store,
    freed: Callable[[RoomId], None],
    deliveries: Deliveries,
    gateway: Gateway,
    jobs: Jobs,
    quarantine: Quarantine,
    lifespan: Lifespan | None = None,
) -> ASGIApp:
    """Return the application over open stores; `freed` is told of rooms whose files are to be removed."""
    table = routes(
        directory,
        pool,
        history,
        searches,
        options=options,
        metrics=metrics,
        checks=checks,
        deliveries=deliveries,
        store=store,
        freed=freed,
        gateway=gateway,
        jobs=jobs,
        quarantine=quarantine,
    )
    edge = Edge(Authenticator(directory.sessions, (options.own_origin, *options.cross_origins)), limits, metrics, clock)

    async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
        await serve(edge, None, [], scope, receive, send)

    served = Router(list(_paths(table, edge)), redirect_slashes=False, default=nowhere, lifespan=lifespan)
    return _shared_with(options.cross_origins, served) if options.cross_origins else served


def _shared_with(origins: tuple[str, ...], served: ASGIApp) -> ASGIApp:
    """Let pages of these origins call the API and read its answers, cookie included."""
    return CORSMiddleware(
        served,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type"),
        allow_credentials=True,
        expose_headers=("X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After"),
    )


def routes(
    directory: Directory,
    pool: ShardPool,
    history: History,
    searches: Searches,
    *,
    options: Options,
    metrics: Metrics,
    checks: dict[str, Check],
    deliveries: Deliveries,
    store: Store,
    freed: Callable[[RoomId], None],
    gateway: Gateway,
    jobs: Jobs,
    quarantine: Quarantine,
) -> tuple[Route, ...]:
    """Return the route table, the busiest routes first: they are looked at in order."""
    door, people = RoomDoor(directory.rooms, directory.chats, pool), People(directory.profiles)
    entrance = Entrance(directory, pool, options.room_members_max)
    parts = (
        Talk(door, history, people, options.message_length_max, options.page_size_max).routes()
        + Amend(door, pool, history, options.message_length_max, options.page_size_max).routes()
        + Reading(directory, pool, history, door, people, options.page_size_max).routes()
        + Reactions(door, pool, history, people, options.page_size_max).routes()
        + Threads(door, pool, options.page_size_max).routes()
        + Search(directory, door, searches, people, options.page_size_max, options.search_deadline_seconds).routes()
        + Files(directory, pool, door, store, freed, options.file_bytes_max, options.storage_user_bytes_max).routes()
        + Shape(door, pool).routes()
        + Overwrites(door, pool).routes()
        + Roles(door, pool, people, options.page_size_max).routes()
        + Moderate(directory, pool, door, people, entrance, options.page_size_max).routes()
        + Rooms(directory, pool, door, people, entrance, options.rooms_owned_max, options.page_size_max).routes()
        + Invites(directory, pool, door, people, entrance).routes()
        + Platform(directory, door, people, options.page_size_max).routes()
        + Fleet(directory, people, options.size_limit_bytes, options.page_size_max).routes()
        + Operations(directory, people, jobs, quarantine, options.page_size_max).routes()
        + Archives(directory, pool).routes()
        + Accounts(directory, options.registration_is_open).routes()
        + _chats(directory, pool, door, people, entrance, options).routes()
        + Voice(door, pool, people).routes()
        + Live(gateway.acts, gateway.tickets).routes()
        + Bots(directory, pool, door, entrance).routes()
        + _hooks(directory, pool, door, people, deliveries, options).routes()
    )
    page = DOCS_PAGE.read_bytes()

    @cache
    def document() -> dict[str, Any]:
        return openapi.document(table, title=options.title, version=options.version)

    table = communities.guarded(parts, door) + Operate(metrics, checks, document, lambda: page, _site(options)).routes()
    return table


def _hooks(
    directory: Directory, pool: ShardPool, door: RoomDoor, people: People, deliveries: Deliveries, options: Options
) -> Hooks:
    rates, pings = Buckets("webhook", options.webhook_rate), Buckets("ping", PING_RATE)
    origin, length_max = options.own_origin, options.message_length_max
    return Hooks(directory, pool, door, people, deliveries, rates, pings, origin, length_max)


def _chats(
    directory: Directory, pool: ShardPool, door: RoomDoor, people: People, entrance: Entrance, options: Options
) -> Chats:
    direct = DirectChats(directory, pool)
    owned_max, group_max = options.rooms_owned_max, options.group_members_max
    return Chats(directory, pool, door, people, entrance, direct, owned_max, group_max, options.page_size_max)


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
