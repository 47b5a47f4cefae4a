"""ASGI application: Starlette's router over the route table; dispatch serves every path."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from starlette.convertors import Convertor, register_url_convertor
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Router
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from router import openapi
from router.auth import Authenticator
from router.context import AppContext
from router.dispatch import Dispatch, Limits, PathApp, serve
from router.endpoints.accounts import Accounts
from router.endpoints.archive import Archives
from router.endpoints.bots import Bots
from router.endpoints.channels import Channels
from router.endpoints.chats import Chats
from router.endpoints.files import Files
from router.endpoints.fleet import Fleet
from router.endpoints.invites import Invites
from router.endpoints.jobs import Operations
from router.endpoints.messages import Messages
from router.endpoints.moderation import Moderation
from router.endpoints.overwrites import Overwrites
from router.endpoints.presence import Presence
from router.endpoints.reactions import Reactions
from router.endpoints.roles import Roles
from router.endpoints.rooms import Rooms
from router.endpoints.search import Search
from router.endpoints.site import Site
from router.endpoints.site_admin import SiteAdmin
from router.endpoints.threads import Threads
from router.endpoints.unread import Unread
from router.endpoints.voice import Voice
from router.endpoints.webhooks import Webhooks
from router.routes import Route
from router.schemas.fields import encode

DOCS_PAGE = Path(__file__).with_name("docs.html")


class Part(Protocol):
    """Endpoints of one part of the API."""

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of this part."""


PARTS: Final[tuple[Callable[[AppContext], Part], ...]] = (
    Messages,
    Unread,
    Reactions,
    Threads,
    Search,
    Files,
    Channels,
    Overwrites,
    Roles,
    Moderation,
    Rooms,
    Invites,
    SiteAdmin,
    Fleet,
    Operations,
    Archives,
    Accounts,
    Chats,
    Voice,
    Presence,
    Bots,
    Webhooks,
)
"""Parts of the API, the busiest first: routes are matched in order."""


class IdConvertor(Convertor[str]):
    """Convertor that matches only digits, so that /v1/rooms/by-name/search is the room named search, not the search of
    a room."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", IdConvertor())


def build(context: AppContext, limits: Limits, clock: Callable[[], int]) -> ASGIApp:
    """Return the application over open stores."""
    options = context.options
    origins = (options.own_origin, *options.cross_origins)
    authenticator = Authenticator(context.directory.sessions, origins)
    dispatch = Dispatch(authenticator, context.rooms, limits, options.bounds, context.metrics, clock)

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        await serve(dispatch, None, [], scope, receive, send)

    served = Router(list(_paths(routes(context), dispatch)), redirect_slashes=False, default=not_found)
    return _with_cors(options.cross_origins, served) if options.cross_origins else served


def _with_cors(origins: tuple[str, ...], served: ASGIApp) -> ASGIApp:
    """Allow pages of these origins to call the API and read its responses, with the cookie."""
    return CORSMiddleware(
        served,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("Authorization", "Content-Type", "If-Match", "If-None-Match", "If-Range", "Range"),
        allow_credentials=True,
        expose_headers=("X-Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After", "ETag", "Content-Range"),
    )


def routes(context: AppContext) -> tuple[Route, ...]:
    """Return the route table."""
    parts = tuple(route for part in PARTS for route in part(context).routes())
    page = DOCS_PAGE.read_bytes()

    @cache
    def document() -> bytes:
        # Encoded once: clients that do not read it would otherwise keep a copy each.
        return encode(openapi.document(table, title=context.options.title, version=context.options.version))

    table = parts + Site(context, document, lambda: page).routes()
    return table


def _paths(table: tuple[Route, ...], dispatch: Dispatch) -> "list[BaseRoute]":
    methods: dict[str, dict[str, Route]] = {}
    for route in table:
        methods.setdefault(route.path, {})[route.method] = route
    return [
        StarletteRoute(path.replace("_id}", "_id:id}"), PathApp(of_path, dispatch)) for path, of_path in methods.items()
    ]
