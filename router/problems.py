"""Errors on the wire: RFC 9457 problem documents, from one table of what each error means in HTTP."""

import logging
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from directory import errors as central
from objects import errors as objects
from router.errors import (
    BodyTooLargeError,
    EdgeError,
    FieldFault,
    InvalidError,
    MalformedError,
    RangeRefusedError,
    TooManyRequestsError,
    TooSlowError,
    UnauthenticatedError,
    WrongMethodError,
)
from shard import errors as shard

log = logging.getLogger(__name__)

MEDIA_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error is called in HTTP."""

    status: int
    slug: str
    title: str


# The first match counts, so the special stand before the general.
MEANINGS: tuple[tuple[type[Exception], Meaning], ...] = (
    (shard.NotFoundError, Meaning(404, "not-found", "Not found")),
    (shard.ForbiddenError, Meaning(403, "forbidden", "Not allowed")),
    (shard.ArchivedError, Meaning(409, "archived", "In the archive")),
    (shard.ConflictError, Meaning(409, "conflict", "Not in this state")),
    (shard.SlowModeError, Meaning(429, "slow-mode", "Slow mode")),
    (shard.BadSearchError, Meaning(422, "bad-search", "Nothing to search for")),
    (shard.ShardFullError, Meaning(507, "storage-full", "No space left")),
    (shard.BrokenShardError, Meaning(503, "room-broken", "The room's storage is unavailable")),
    (shard.ArchiveUnavailableError, Meaning(503, "archive-unavailable", "The archive cannot be reached")),
    (shard.WakingError, Meaning(503, "room-waking", "The room is being woken")),
    (shard.OutcomeUnknownError, Meaning(503, "outcome-unknown", "Stored or not")),
    (shard.DeadlineError, Meaning(503, "deadline", "Took too long")),
    (shard.UnavailableError, Meaning(503, "busy", "Busy")),
    (central.NotFoundError, Meaning(404, "not-found", "Not found")),
    (central.TakenError, Meaning(409, "taken", "Taken")),
    (central.RefusedValueError, Meaning(422, "invalid", "Invalid fields")),
    (central.BadCredentialsError, Meaning(401, "bad-credentials", "Wrong name or password")),
    (central.InviteNotUsableError, Meaning(404, "not-found", "Not found")),
    (central.RunningAlreadyError, Meaning(409, "conflict", "Not in this state")),
    (central.BlockingError, Meaning(409, "conflict", "Not in this state")),
    (central.QuotaExceededError, Meaning(413, "quota-exceeded", "Storage used up")),
    (central.LimitReachedError, Meaning(409, "conflict", "Not in this state")),
    (central.RefusedError, Meaning(403, "forbidden", "Not allowed")),
    (central.StorageFullError, Meaning(507, "storage-full", "No space left")),
    (central.CommitUnknownError, Meaning(503, "outcome-unknown", "Stored or not")),
    (central.UnavailableError, Meaning(503, "busy", "Busy")),
    (objects.BadContentError, Meaning(422, "invalid", "Invalid fields")),
    (objects.ContentMismatchError, Meaning(422, "upload-mismatch", "Not the announced file")),
    (objects.SignatureRefusedError, Meaning(403, "link-refused", "This link does not work")),
    (objects.ObjectNotFoundError, Meaning(500, "file-damaged", "The file is damaged")),
    (objects.CorruptObjectError, Meaning(500, "file-damaged", "The file is damaged")),
    (objects.StoreFullError, Meaning(507, "storage-full", "No space left")),
    (objects.StoreUnavailableError, Meaning(503, "busy", "Busy")),
)

RETRYABLE = (
    shard.UnavailableError,
    shard.SlowModeError,
    central.UnavailableError,
    objects.StoreUnavailableError,
    TooManyRequestsError,
)
"""What says when repeating the request may help."""

UNEXPECTED = Meaning(500, "unexpected", "A mistake of ours")


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem document, ready to send."""

    meaning: Meaning
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def of(error: Exception, request_id: str) -> Problem:
    """Return the problem that an error is; one that nobody foresaw is logged and told without its text."""
    meaning, document = described(error, request_id)
    return Problem(meaning, orjson.dumps(document), tuple(_headers(error)))


def described(error: Exception, request_id: str) -> tuple[Meaning, dict[str, Any]]:
    """Return what an error means, and its problem document."""
    meaning = _meaning(error)
    if meaning is UNEXPECTED:
        log.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        detail = f"This was not foreseen. The server's log has it under {request_id}."
    else:
        detail = str(error)
    document: dict[str, Any] = {
        "type": f"/docs#problem-{meaning.slug}",
        "title": meaning.title,
        "status": meaning.status,
        "detail": detail,
        "request_id": request_id,
    }
    if isinstance(error, InvalidError):
        document["errors"] = [{"field": fault.field, "detail": fault.detail} for fault in error.faults]
    return meaning, document


def retry_after_seconds(error: Exception) -> int | None:
    """Return how long to wait before what failed may succeed; None where waiting does not help."""
    return error.retry_after_seconds if isinstance(error, RETRYABLE) else None


def _meaning(error: Exception) -> Meaning:
    if isinstance(error, EdgeError):
        return Meaning(error.status, error.slug, error.title)
    return next((meaning for kind, meaning in MEANINGS if isinstance(error, kind)), UNEXPECTED)


def _headers(error: Exception) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", MEDIA_TYPE)]
    if (seconds := retry_after_seconds(error)) is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, WrongMethodError):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, (UnauthenticatedError, central.BadCredentialsError)):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, RangeRefusedError):
        headers.append((b"content-range", f"bytes */{error.size_bytes}".encode()))
    if isinstance(error, (BodyTooLargeError, TooSlowError)):
        # The rest of the body is not read, so the connection cannot serve another request.
        headers.append((b"connection", b"close"))
    return headers


def explain(error: ValidationError, place: str) -> EdgeError:
    """Return a validation error in this API's words; `place` is `body` or `query`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return MalformedError(f"The body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.")
    return InvalidError(
        [FieldFault(".".join((place, *map(str, fault["loc"]))), _plain(fault["msg"])) for fault in found]
    )


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
