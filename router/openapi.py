"""The OpenAPI 3.1 document, made from the route table and the models: what is served is what is documented."""

import inspect
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from router import problems
from router.auth import COOKIE
from router.errors import EdgeError
from router.problems import Meaning
from router.table import Gate, Route
from router.wire.fields import ID_SCHEMA, Nothing, Wire


class ProblemFault(TypedDict):
    """One wrong field."""

    field: str
    detail: str


class ProblemView(TypedDict):
    """What every refusal looks like (RFC 9457); `errors` names the wrong fields of a 422."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: NotRequired[list[ProblemFault]]


EVERYWHERE = frozenset({400, 403, 413, 415, 422, 429, 500, 503})
"""Statuses of the edge itself: each may refuse any request, whatever its route."""
_SIGN_IN_PROBLEMS = {Gate.SIGNED_IN: {401}, Gate.MODERATOR: {401}, Gate.ADMIN: {401}}
_REF = "#/components/schemas/{model}"

TAGS = {
    "accounts": "Signing up and in, and one's own account.",
    "rooms": "Finding, making, entering, leaving and running rooms.",
    "members": "Who is in a room, and what moderators do.",
    "channels": "The categories and channels of a room.",
    "overwrites": "Who may what in a channel or category.",
    "roles": "Who stands above whom, what each role allows, and who has it.",
    "messages": "Sending, reading and searching.",
    "files": "Uploading files, attaching them to messages, and reading them.",
    "threads": "Topics with a title inside a channel.",
    "reactions": "What people answer a message with, besides words.",
    "pins": "Messages that a channel keeps at hand.",
    "reading": "What is read, what is left to read, what calls one, and taking it all along.",
    "chats": "Direct chats, groups of a few people, and whom one blocks.",
    "gateway": "What goes with live events: tickets, typing, who is there.",
    "voice": "Who is in voice, and who was.",
    "bots": "Bots, their tokens, and letting them into rooms.",
    "webhooks": "Programs that post into a room, and programs that are told of it.",
    "platform": "What administrators and moderators of the whole platform do.",
    "operate": "Health, figures, and these documents.",
}
HEADERS = {
    "X-Request-Id": ("This answer's id in the server's log.", {"type": "string"}),
    "Location": ("Where the answer is.", {"type": "string"}),
    "RateLimit": ('What is left: `"user";r=59;t=1` (draft-ietf-httpapi-ratelimit-headers-10).', {"type": "string"}),
    "RateLimit-Policy": ('The limit that counts: `"user";q=60;w=3`.', {"type": "string"}),
    "Retry-After": ("Seconds until asking again may help.", {"type": "integer"}),
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
    """Return every problem type once: its slug (the end of its `type`), status, title, meaning, and whether repeating
    the request may help."""
    edge: list[type[EdgeError]] = EdgeError.__subclasses__()
    kinds: list[tuple[type[Exception], Meaning]] = [
        *((kind, Meaning(kind.status, kind.slug, kind.title)) for kind in edge),
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
            "description": _MEANS[meaning.slug],
            "is_retryable": issubclass(kind, problems.RETRYABLE),
        }


def statuses(route: Route) -> set[int]:
    """Return every status that a route may answer with a problem."""
    found = EVERYWHERE | _SIGN_IN_PROBLEMS.get(route.gate, set()) | {*route.refusals}
    if "{" in route.path:
        found |= {404}
    if route.method != "GET" or "{room_id}" in route.path:
        # Reading can need space too: a shard is migrated by whoever opens it first.
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
            "content": {"application/json": {"schema": _schema(route.takes, schemas)}},
        }
    if route.is_upload:
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": _schema(bytes, schemas)}}}
    if route.scope is not None:
        operation["x-bot-scope"] = route.scope.value
    if route.gate in _SIGN_IN_PROBLEMS:
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
            # /readyz answers 503 in its own words, and the edge in front of it in a problem's.
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
    """Put a model and those it names into `schemas` and return a reference to it."""
    schema: dict[str, Any] = _tidy(TypeAdapter(model).json_schema(ref_template=_REF))
    schemas.update(schema.pop("$defs", {}))
    if "properties" not in schema:
        return schema
    name: str = model.__name__
    schemas[name] = schema
    return {"$ref": _REF.format(model=name)}


def _tidy(schema: Any) -> Any:
    """Leave out what says nothing: titles made from names, and null as the default of what may be null."""
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
    """Return the schema of a query parameter, which can be left out but has no null."""
    choices = [choice for choice in field.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {**{key: value for key, value in field.items() if key != "anyOf"}, **choices[0]}


_MEANS = {
    "bad-request": "The request cannot be read: its body is not JSON, or a header is not what HTTP promises.",
    "unauthenticated": "There is no session behind the request, or it ended. Sign in and send its token.",
    "bad-credentials": "The name or the password is wrong; which of them is not told.",
    "forbidden": "You see the thing but may not do this with it; detail names what is missing.",
    "not-found": "It is not there, or it is not yours to see: both look the same.",
    "method-not-allowed": "The address answers other methods; the header Allow names them.",
    "conflict": "The present state forbids it, such as a full room or an archived channel; detail says which.",
    "archived": "The message is in the archive: it can be read and deleted, but no longer changed.",
    "archive-unavailable": "It is in the archive, which cannot be reached now. Repeat it later as it was.",
    "taken": "Somebody else has this name or address. Choose another one.",
    "body-too-large": "The body is longer than this server reads. The connection is closed.",
    "not-json": "The body needs the header Content-Type: application/json.",
    "invalid": "Fields are missing, unknown or wrong; errors names each.",
    "bad-search": "The search has no word, no phrase and no beginning of a word, or too many of them.",
    "too-many-requests": "A rate limit is used up. Wait for as long as Retry-After says.",
    "slow-mode": "The channel is in slow mode and your last message a moment ago. Wait as long as Retry-After says.",
    "unexpected": "A mistake in the server. Its log has the details under request_id.",
    "room-broken": "This room's file is missing or damaged, and an operator has to look; other rooms go on.",
    "outcome-unknown": "The disk failed while this was stored. Send a message again with the same nonce; look "
    "before repeating anything else.",
    "deadline": "It took too long and was stopped, and nothing was stored. Ask for less at once.",
    "room-waking": "This room was not used for long and comes back from object storage. Repeat it a little later.",
    "busy": "Too much is going on, and nothing was stored. Repeat it a little later.",
    "too-slow": "The file did not come within its time. The connection is closed; send it again.",
    "range-refused": "The file ends before the range begins; Content-Range says how long it is.",
    "upload-mismatch": "The bytes are not the announced ones, or not an image of the announced type.",
    "quota-exceeded": "With this file you would store more than one person may. Delete something first.",
    "link-refused": "The link is not as the server gave it, or its time is over. Ask for a new one.",
    "file-damaged": "The file's bytes were lost or changed in the server's storage; an operator has to look.",
    "storage-full": "The disk or the room is full, or the room is read-only. Nothing was stored.",
}
_DESCRIPTION = (
    "Ids are strings of digits. Times are RFC 3339, UTC. Text may have any character but U+0000. Errors are problem "
    "documents (RFC 9457); 429 and 503 say in Retry-After when to come back. Unknown fields are refused. Sending is "
    "safe to repeat with the same nonce."
)
