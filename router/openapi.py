"""OpenAPI 3.1 document, generated from the route table and the models, so that it matches what is served."""

import inspect
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from router import problems
from router.auth import COOKIE
from router.errors import RouterError
from router.examples import example
from router.problems import Meaning
from router.routes import Access, Route
from router.schemas.fields import ID_SCHEMA, Nothing, Wire


class ProblemFault(TypedDict):
    """Invalid field of a request, and its fault."""

    field: str
    detail: str


class ProblemView(TypedDict):
    """Problem document of every error (RFC 9457); `errors` lists the invalid fields of a 422."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: NotRequired[list[ProblemFault]]


EVERYWHERE = frozenset({400, 403, 413, 415, 422, 429, 500, 503})
"""Statuses of dispatch itself, which may refuse any request."""
_SIGN_IN_PROBLEMS = {Access.SIGNED_IN: {401}, Access.MODERATOR: {401}, Access.ADMIN: {401}}
_REF = "#/components/schemas/{model}"

TAGS = {
    "accounts": "Registration, sign-in, and the caller's own account.",
    "rooms": "Listing, creating, joining, leaving and managing rooms.",
    "members": "Members of a room, and moderation.",
    "channels": "Categories and channels of a room.",
    "overwrites": "Permissions of roles and members in a channel or category.",
    "roles": "Roles: their order, their permissions, and their members.",
    "messages": "Sending, reading and searching messages.",
    "files": "Uploading files, attaching them to messages, and reading them.",
    "threads": "Topics with a title inside a channel.",
    "reactions": "Emoji reactions to messages.",
    "pins": "Pinned messages of a channel.",
    "reading": "Read markers, unread counts, mentions, notification levels, and exports.",
    "chats": "Direct chats, groups, and blocks.",
    "gateway": "Tickets, typing notices and presence, beside the live events of the gateway.",
    "voice": "Voice sessions, current and past.",
    "bots": "Bots, their tokens, and their membership in rooms.",
    "webhooks": "Incoming webhooks, which post into a room, and outgoing ones, which send its events.",
    "platform": "Site administration: bans, suspensions, verification, and the audit log.",
    "operate": "Health, metrics, the fleet, jobs, and the documents of this API.",
}
HEADERS = {
    "X-Request-Id": ("Id of this response in the server's log.", {"type": "string"}),
    "Location": ("Address of the content.", {"type": "string"}),
    "RateLimit": ('Requests left: `"user";r=59;t=1` (draft-ietf-httpapi-ratelimit-headers-10).', {"type": "string"}),
    "RateLimit-Policy": ('Limit that applies: `"user";q=60;w=3`.', {"type": "string"}),
    "Retry-After": ("Seconds to wait before a retry.", {"type": "integer"}),
}


def document(routes: Iterable[Route], *, title: str, version: str) -> dict[str, Any]:
    """Return the document of a route table; `x-problems` lists every problem type, for the page at /docs."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    known = list(problem_types())
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "responses": {str(status): _refusal(status, known, schemas) for status in {row["status"] for row in known}},
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in HEADERS.items()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
            "schemas": schemas,
        },
        "x-problems": known,
    }


def problem_types() -> Iterator[dict[str, Any]]:
    """Return every problem type once: its slug (the end of its `type`), status, title, meaning, and whether the request
    can be retried."""
    own: list[type[RouterError]] = RouterError.__subclasses__()
    kinds: list[tuple[type[Exception], Meaning]] = [
        *((kind, Meaning.of(kind)) for kind in own),
        *problems.MEANINGS,
        (Exception, problems.UNEXPECTED),
    ]
    seen: set[str] = set()
    for kind, meaning in sorted(kinds, key=lambda row: row[1].status):
        if meaning.slug in seen:
            continue
        seen.add(meaning.slug)
        yield {
            "slug": meaning.slug,
            "status": meaning.status,
            "title": meaning.title,
            "description": meaning.text,
            "is_retryable": issubclass(kind, problems.RETRYABLE),
        }


def statuses(route: Route) -> set[int]:
    """Return every status that a route can return as a problem."""
    found = EVERYWHERE | _SIGN_IN_PROBLEMS.get(route.access, set()) | {*route.refusals}
    if "{" in route.path:
        found |= {404}
    if route.community_only:
        found |= {409}
    if route.method != "GET" or "{room_id}" in route.path:
        # Reading can need space too: the first request that opens a shard migrates it.
        found |= {507}
    return {*found}


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "description": "\n\n".join(filter(None, (inspect.getdoc(route.endpoint), _doc_of(route.query)))),
        "operationId": route.endpoint.__qualname__.replace(".", "_").lower(),
        "tags": [route.tag],
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query, schemas)],
        "responses": _responses(route, schemas),
    }
    if route.takes is not Nothing:
        operation["requestBody"] = {
            "required": any(field.is_required() for field in route.takes.model_fields.values()),
            "content": {"application/json": {"schema": _schema(route.takes, schemas), "example": example(route.takes)}},
        }
    if route.is_upload:
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": _schema(bytes, schemas)}}}
    if route.scope is not None:
        operation["x-bot-scope"] = route.scope.value
    if route.access in _SIGN_IN_PROBLEMS:
        operation["security"] = [{"token": []}, {"cookie": []}]
    return operation


def _doc_of(query: type[Wire]) -> str | None:
    return None if query is Nothing else inspect.getdoc(query)


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses(route))
    }
    content: dict[str, Any] = {}
    if route.answers is not None:
        content = {route.media_type: {"schema": _schema(route.answers, schemas)}}
    for status in (route.status, route.or_status, *route.also):
        if status is None:
            continue
        has_content = bool(content) and not (status in route.also and status >= HTTPStatus.MULTIPLE_CHOICES)
        refused = {"application/problem+json": {"schema": _schema(ProblemView, schemas)}}
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "headers": _header_references(status),
            # /readyz returns 503 with its own schema, and dispatch in front of it with a problem document.
            **({"content": content | (refused if status in statuses(route) else {})} if has_content else {}),
        }
    return dict(sorted(responses.items()))


def _refusal(status: int, known: list[dict[str, Any]], schemas: dict[str, Any]) -> dict[str, Any]:
    titles = [f"{row['title']} ({row['slug']})" for row in known if row["status"] == status]
    return {
        "description": "; ".join(titles),
        "headers": _header_references(status),
        "content": {"application/problem+json": {"schema": _schema(ProblemView, schemas)}},
    }


def _header_references(status: int) -> dict[str, Any]:
    only = {"Retry-After": (429, 503), "Location": (302,)}
    names = [name for name in HEADERS if name not in only or status in only[name]]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": ID_SCHEMA if name.endswith("_id") else {"type": "string", "minLength": 1},
        }
        for name in names
    ]


def _query_parameters(model: type[Wire], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    schema = _tidy(model.model_json_schema(ref_template=_REF))
    schemas.update(schema.get("$defs", {}))
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
        for name, field in schema.get("properties", {}).items()
    ]


def _schema(model: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """Add a model and its parts to `schemas` and return a reference to it."""
    schema: dict[str, Any] = _tidy(TypeAdapter(model).json_schema(ref_template=_REF))
    schemas.update(schema.pop("$defs", {}))
    if "properties" not in schema:
        return schema
    name: str = model.__name__
    schemas[name] = schema
    return {"$ref": _REF.format(model=name)}


def _tidy(schema: Any) -> Any:
    """Drop keys without information: titles made from names, and the default null of nullable fields."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and not (key == "default" and value is None)
    }


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a query parameter, which can be left out but is never null."""
    choices = [choice for choice in field.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {**{key: value for key, value in field.items() if key != "anyOf"}, **choices[0]}


_DESCRIPTION = (
    "Ids are strings of digits. Times are RFC 3339, UTC. Text may have any character but U+0000. Errors are problem "
    "documents (RFC 9457); 429 and 503 have a Retry-After header. Unknown fields are refused. Sending is "
    "safe to repeat with the same nonce."
)
