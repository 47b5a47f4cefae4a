"""Dispatch of requests to their endpoints, and of responses and errors back to clients.

Steps: identify, limit, read, validate, find the room, call, encode, and turn every error into a problem document. It
speaks ASGI itself: Starlette's Request and Response objects cost about as much as storing the message does.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from directory.sessions import Viewer
from router import asgi, problems, streams
from router.asgi import Asked, ClientGoneError
from router.auth import Authenticator
from router.conditions import UNCONDITIONAL, Conditions
from router.errors import (
    FieldFault,
    InvalidError,
    NoRouteError,
    NotAllowedError,
    TooManyRequestsError,
    UnauthenticatedError,
    WrongMethodError,
)
from router.metrics import Metrics
from router.rate_limits import Buckets, Rate, network_of
from router.room_access import RoomAccess
from router.routes import Access, Call, Reply, Route, read_words
from router.schemas.fields import Bounds, Nothing, Wire, encode, parse_id
from router.streams import Download, Slots, Upload

log = logging.getLogger(__name__)

THROTTLED_STATUS: Final = TooManyRequestsError.status
JSON = (b"content-type", b"application/json")
HEALTH_RATE: Final = Rate(20.0, 100)
"""Health checks of one address, apart from all else that it asks for."""
QUERY_FIELDS_MAX = 32
"""Fields of a query string. Beyond it 422."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size and the rate of requests."""

    body_bytes_max: int
    ipv6_prefix_length: int
    user: Buckets
    address: Buckets
    room: Buckets
    credentials: Buckets
    health: Buckets = field(default_factory=lambda: Buckets("health", HEALTH_RATE))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Dependencies of dispatch."""

    authenticator: Authenticator
    rooms: RoomAccess
    limits: Limits
    bounds: Bounds
    metrics: Metrics
    clock: Callable[[], int]
    bodies: Slots = field(default_factory=Slots)


class PathApp:
    """ASGI application of one path: it finds the route of the method."""

    def __init__(self, routes: Mapping[str, Route], dispatch: Dispatch) -> None:
        self._routes = dict(routes)
        self._methods = [*routes, "HEAD"] if "GET" in routes else list(routes)
        self._dispatch = dispatch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        route = self._routes.get("GET" if method == "HEAD" else method)
        await serve(self._dispatch, route, self._methods, scope, receive, send)


async def serve(
    dispatch: Dispatch, route: Route | None, methods: list[str], scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve one request: every error becomes a response."""
    started = time.perf_counter()
    request_id = os.urandom(8).hex()
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
    body: bytes | Download
    try:
        if route is None:
            dispatch.limits.address.take(_caller(dispatch.limits, scope)[1], time.monotonic())
            raise WrongMethodError(methods) if methods else NoRouteError("Nothing is at this address; see /docs.")
        reply = await _call(dispatch, route, scope, receive, headers)
        status = reply.status
        headers.extend(reply.headers)
        if isinstance(reply.value, bytes | Download):
            body = reply.value
        elif reply.value is None:
            body = b""
        else:
            body = encode(reply.value)
            headers.append(JSON)
    except ClientGoneError:
        dispatch.metrics.hung_up()
        return
    except Exception as error:
        problem = problems.of(error, request_id)
        status, body = problem.meaning.status, problem.body
        if status == THROTTLED_STATUS:
            scope[asgi.THROTTLED] = True
        headers.extend(problem.headers)
    has_body = scope["method"] != "HEAD"
    if isinstance(body, Download):
        await _send(dispatch, receive, send, status, headers, body, has_body=has_body, request_id=request_id)
    else:
        await asgi.answer(send, status, headers, body, has_body=has_body)
    dispatch.metrics.answered(route, status, time.perf_counter() - started)


async def _send(
    dispatch: Dispatch,
    receive: Receive,
    send: Send,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: Download,
    *,
    has_body: bool,
    request_id: str,
) -> None:
    """Stream a response; one that cannot be finished ends with its connection."""
    try:
        await streams.send_download(receive, send, status, headers, body, has_body=has_body)
    except (ClientGoneError, TimeoutError):
        dispatch.metrics.hung_up()
    except Exception:
        log.exception("an answer broke off", extra={"request_id": request_id})


async def _call(
    dispatch: Dispatch, route: Route, scope: Scope, receive: Receive, headers: list[tuple[bytes, bytes]]
) -> Reply:
    now_ms = dispatch.clock()
    asked = asgi.read_headers(scope)
    address, network = _caller(dispatch.limits, scope)
    # Before a token is looked up: guessing tokens is as slow as everything else of this address.
    counted = dispatch.limits.health if route.is_health else dispatch.limits.address
    left = counted.take(network, time.monotonic())
    path: Mapping[str, Any] = _path(scope["path_params"])
    viewer = await _admit(dispatch, route, asked, scope["method"], now_ms)
    _limit(dispatch.limits, route, network, left, viewer.user_id if viewer else None, path, headers)
    body: Wire | Upload
    if route.is_upload:
        body = streams.upload(asked, receive)
    else:
        sent = _parse_body(route.takes, await _read_json(dispatch, asked, receive, network))
        body = sent.within(dispatch.bounds)
    query = _parse_query(route.query, scope["query_string"]).within(dispatch.bounds)
    path = read_words(path)
    entered = None
    if route.room is not None:
        # After every fault of the request itself: to who may not see a room, those are the same for one that is there.
        assert viewer is not None, "a route of a room asks who calls"
        entered = await dispatch.rooms.enter(
            path["room_id"], viewer.user_id, route.room, community_only=route.community_only, now_ms=now_ms
        )
    conditions = _conditions(asked, scope["method"])
    call = Call(body, query, path, viewer, now_ms, address, network, asked.user_agent, conditions, entered)
    return await route.endpoint(call)


async def _read_json(dispatch: Dispatch, asked: Asked, receive: Receive, network: str) -> bytes:
    """Return a JSON body; of those that do not come at once, one network has a bounded number."""
    return await asgi.read_json(
        asked, receive, dispatch.limits.body_bytes_max, in_parts=lambda: dispatch.bodies.taken(network)
    )


def _caller(limits: Limits, scope: Scope) -> tuple[str, str]:
    """Return the address of the caller, and the network under which it is counted."""
    address = scope["client"][0] if scope.get("client") else ""
    return address, network_of(address, limits.ipv6_prefix_length)


def _conditions(asked: Asked, method: str) -> Conditions:
    if not (asked.range or asked.if_match or asked.if_none_match):
        return UNCONDITIONAL
    part = (asked.range, asked.if_range) if method == "GET" else (b"", b"")
    return Conditions(*part, asked.if_match, asked.if_none_match)


async def _admit(dispatch: Dispatch, route: Route, asked: Asked, method: str, now_ms: int) -> Viewer | None:
    viewer = await dispatch.authenticator.identify(asked, method, now_ms)
    is_out_of_scope = viewer is not None and viewer.scopes is not None and route.scope not in viewer.scopes
    if route.access is Access.OPEN or route.access is Access.CREDENTIALS:
        return None if is_out_of_scope else viewer
    if viewer is None:
        raise UnauthenticatedError("Send a session's token: Authorization: Bearer TOKEN.")
    if is_out_of_scope:
        # Before anything is looked at: the answer says nothing of what is there.
        raise NotAllowedError(
            "This is not for bots." if route.scope is None else f"This token lacks the scope {route.scope}."
        )
    if route.access is Access.ADMIN and "admin" not in viewer.capabilities:
        raise NotAllowedError("This is for administrators of this server.")
    if route.access is Access.MODERATOR and viewer.capabilities.isdisjoint(("admin", "moderator")):
        raise NotAllowedError("This is for administrators and moderators of this server.")
    return viewer


def _limit(
    limits: Limits,
    route: Route,
    network: str,
    left: int,
    user_id: int | None,
    path: Mapping[str, Any],
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Take a token from each further bucket that the request counts in, and tell of the narrowest; `left` is what its
    network has left."""
    now = time.monotonic()
    told, key = limits.health if route.is_health else limits.address, network
    if route.access is Access.CREDENTIALS:
        told = limits.credentials
    elif user_id is not None:
        told, key = limits.user, str(user_id)
    headers.append((b"ratelimit-policy", told.policy_header))
    if told is limits.credentials or told is limits.user:
        left = told.take(key, now)
    headers.append((b"ratelimit", told.header(left)))
    room_id = path.get("room_id")
    if room_id is not None and route.method != "GET":
        limits.room.take(room_id, now)


def _path(parameters: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {name: parse_id(text) if name.endswith("_id") else text for name, text in parameters.items()}
    except ValueError:
        raise NoRouteError("Nothing is at this address: an id in it is not one.") from None


def _parse_body(model: type[Wire], body: bytes) -> Wire:
    if model is Nothing and not body:
        return NOTHING
    try:
        return model.model_validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        raise problems.explain(error, "body") from None


def _parse_query(model: type[Wire], query: bytes) -> Wire:
    if not query:
        if model is Nothing:
            return NOTHING
        query = b""
    try:
        fields = dict(
            parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
        )
        return model.model_validate(fields)
    except ValidationError as error:
        raise problems.explain(error, "query") from None
    except ValueError:
        fault = f"not percent-encoded UTF-8, or more than {QUERY_FIELDS_MAX} fields"
        raise InvalidError([FieldFault("query", fault)]) from None


NOTHING = Nothing()
