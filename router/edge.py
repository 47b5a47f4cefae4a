"""The edge: what happens to every request around its endpoint.

Identify, limit, read, validate, call, encode, and turn every error into a problem document. It speaks ASGI itself:
Starlette's Request and Response objects cost about as much as storing the message does.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from directory.sessions import Viewer
from router import exchange, problems, streams
from router.auth import Authenticator
from router.errors import (
    FieldFault,
    InvalidError,
    NoRouteError,
    NotAllowedError,
    UnauthenticatedError,
    WrongMethodError,
)
from router.exchange import Asked, ClientGoneError
from router.limits import Buckets
from router.metrics import Metrics
from router.streams import Download, Upload
from router.table import Call, Gate, Reply, Route
from router.views.values import encode
from router.wire.fields import Nothing, Wire, parse_id

log = logging.getLogger(__name__)

JSON = (b"content-type", b"application/json")
QUERY_FIELDS_MAX = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """The edge's bounds."""

    body_bytes_max: int
    user: Buckets
    address: Buckets
    room: Buckets
    credentials: Buckets


@dataclass(frozen=True, slots=True)
class Edge:
    """What every route shares."""

    authenticator: Authenticator
    limits: Limits
    metrics: Metrics
    clock: Callable[[], int]


class PathApp:
    """The ASGI application of one path: finds the route of the method."""

    def __init__(self, routes: Mapping[str, Route], edge: Edge) -> None:
        self._routes = dict(routes)
        self._methods = [*routes, "HEAD"] if "GET" in routes else list(routes)
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        route = self._routes.get("GET" if method == "HEAD" else method)
        await serve(self._edge, route, self._methods, scope, receive, send)


async def serve(
    edge: Edge, route: Route | None, methods: list[str], scope: Scope, receive: Receive, send: Send
) -> None:
    """Answer one request, whatever happens."""
    started = time.perf_counter()
    request_id = os.urandom(8).hex()
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())]
    body: bytes | Download
    try:
        if route is None:
            raise WrongMethodError(methods) if methods else NoRouteError("Nothing is at this address; see /docs.")
        reply = await _call(edge, route, scope, receive, headers)
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
        edge.metrics.hung_up()
        return
    except Exception as error:
        problem = problems.of(error, request_id)
        status, body = problem.meaning.status, problem.body
        headers.extend(problem.headers)
    has_body = scope["method"] != "HEAD"
    if isinstance(body, Download):
        await _send(edge, receive, send, status, headers, body, has_body=has_body, request_id=request_id)
    else:
        await exchange.answer(send, status, headers, body, has_body=has_body)
    edge.metrics.answered(route, status, time.perf_counter() - started)


async def _send(
    edge: Edge,
    receive: Receive,
    send: Send,
    status: int,
    headers: list[tuple[bytes, bytes]],
    body: Download,
    *,
    has_body: bool,
    request_id: str,
) -> None:
    """Send an answer as it is read; one that cannot be finished ends with its connection."""
    try:
        await streams.send_download(receive, send, status, headers, body, has_body=has_body)
    except (ClientGoneError, TimeoutError):
        edge.metrics.hung_up()
    except Exception:
        log.exception("an answer broke off", extra={"request_id": request_id})


async def _call(edge: Edge, route: Route, scope: Scope, receive: Receive, headers: list[tuple[bytes, bytes]]) -> Reply:
    now_ms = edge.clock()
    asked = exchange.read_headers(scope)
    address = scope["client"][0] if scope.get("client") else ""
    path = _path(scope["path_params"])
    # Before a token is looked up: guessing tokens is as slow as everything else of this address.
    left = edge.limits.address.take(address, time.monotonic())
    viewer = await _admit(edge, route, asked, scope["method"], now_ms)
    _limit(edge.limits, route, address, left, viewer.user_id if viewer else None, path, headers)
    body: Wire | Upload
    if route.is_upload:
        body = streams.upload(asked, receive)
    else:
        body = _parse_body(route.takes, await exchange.read_json(asked, receive, edge.limits.body_bytes_max))
    call = Call(
        body=body,
        query=_parse_query(route.query, scope["query_string"]),
        path=path,
        viewer=viewer,
        now_ms=now_ms,
        address=address,
        user_agent=asked.user_agent,
        range=asked.range,
        if_range=asked.if_range,
    )
    return await route.endpoint(call)


async def _admit(edge: Edge, route: Route, asked: Asked, method: str, now_ms: int) -> Viewer | None:
    viewer = await edge.authenticator.identify(asked, method, now_ms)
    is_out_of_scope = viewer is not None and viewer.scopes is not None and route.scope not in viewer.scopes
    if route.gate is Gate.OPEN or route.gate is Gate.CREDENTIALS:
        return None if is_out_of_scope else viewer
    if viewer is None:
        raise UnauthenticatedError("Send a session's token: Authorization: Bearer TOKEN.")
    if is_out_of_scope:
        # Before anything is looked at: the answer says nothing of what is there.
        raise NotAllowedError(
            "This is not for bots." if route.scope is None else f"This token lacks the scope {route.scope}."
        )
    if route.gate is Gate.ADMIN and "admin" not in viewer.capabilities:
        raise NotAllowedError("This is for administrators of this server.")
    if route.gate is Gate.MODERATOR and viewer.capabilities.isdisjoint(("admin", "moderator")):
        raise NotAllowedError("This is for administrators and moderators of this server.")
    return viewer


def _limit(
    limits: Limits,
    route: Route,
    address: str,
    left: int,
    user_id: int | None,
    path: Mapping[str, Any],
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Take a token from each further bucket that the request counts in, and tell of the narrowest; `left` is what its
    address has left."""
    now = time.monotonic()
    told, key = limits.address, address
    if route.gate is Gate.CREDENTIALS:
        told = limits.credentials
    elif user_id is not None:
        told, key = limits.user, str(user_id)
    headers.append((b"ratelimit-policy", told.policy_header))
    if told is not limits.address:
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
