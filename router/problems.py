"""Errors as RFC 9457 problem documents, from one table of each error's meaning in HTTP."""

import logging
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson
from pydantic import ValidationError

from database import errors as database
from directory import errors as central
from objects import errors as objects
from router.errors import (
    BodyTooLargeError,
    EncodedBodyError,
    FieldFault,
    InvalidError,
    MalformedError,
    NoRouteError,
    NotAllowedError,
    RangeRefusedError,
    RouterError,
    TooManyRequestsError,
    TooSlowError,
    UnauthenticatedError,
    UploadMismatchError,
    WrongMethodError,
)
from shard import errors as shard

log = logging.getLogger(__name__)

MEDIA_TYPE = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Meaning:
    """Meaning of an error in HTTP: status, slug, title, and a sentence for the API reference."""

    status: int
    slug: str
    title: str
    text: str

    @classmethod
    def of(cls, kind: type[RouterError]) -> Self:
        """Return the meaning of one of the router's own errors."""
        return cls(kind.status, kind.slug, kind.title, kind.meaning)


NOT_FOUND: Final = Meaning.of(NoRouteError)
FORBIDDEN: Final = Meaning.of(NotAllowedError)
INVALID: Final = Meaning.of(InvalidError)
CONFLICT: Final = Meaning(409, "conflict", "Not in this state", shard.ConflictError.meaning)
STORAGE_FULL: Final = Meaning(507, "storage-full", "No space left", shard.ShardFullError.meaning)
BUSY: Final = Meaning(503, "busy", "Busy", shard.UnavailableError.meaning)
OUTCOME_UNKNOWN: Final = Meaning(503, "outcome-unknown", "Stored or not", shard.OutcomeUnknownError.meaning)
FILE_DAMAGED: Final = Meaning(500, "file-damaged", "The file is damaged", objects.CorruptObjectError.meaning)
UNEXPECTED: Final = Meaning(
    500, "unexpected", "A mistake of ours", "An error in the server. Its log has the details under request_id."
)


# The first match counts, so subclasses stand before their bases.
MEANINGS: Final[tuple[tuple[type[Exception], Meaning], ...]] = (
    (shard.NotFoundError, NOT_FOUND),
    (shard.ForbiddenError, FORBIDDEN),
    (shard.ArchivedError, Meaning(409, "archived", "In the archive", shard.ArchivedError.meaning)),
    (shard.ConflictError, CONFLICT),
    (shard.SlowModeError, Meaning(429, "slow-mode", "Slow mode", shard.SlowModeError.meaning)),
    (shard.BadSearchError, Meaning(422, "bad-search", "Nothing to search for", shard.BadSearchError.meaning)),
    (shard.ShardFullError, STORAGE_FULL),
    (
        shard.BrokenShardError,
        Meaning(503, "room-broken", "The room's storage is unavailable", shard.BrokenShardError.meaning),
    ),
    (
        shard.ArchiveUnavailableError,
        Meaning(503, "archive-unavailable", "The archive cannot be reached", shard.ArchiveUnavailableError.meaning),
    ),
    (shard.WakingError, Meaning(503, "room-waking", "The room is being woken", shard.WakingError.meaning)),
    (shard.OutcomeUnknownError, OUTCOME_UNKNOWN),
    (shard.DeadlineError, Meaning(503, "deadline", "Took too long", shard.DeadlineError.meaning)),
    (shard.UnavailableError, BUSY),
    (central.NotFoundError, NOT_FOUND),
    (central.TakenError, Meaning(409, "taken", "Taken", central.TakenError.meaning)),
    (central.RefusedValueError, INVALID),
    (
        central.BadCredentialsError,
        Meaning(401, "bad-credentials", "Wrong name or password", central.BadCredentialsError.meaning),
    ),
    (central.InviteNotUsableError, NOT_FOUND),
    (central.RunningAlreadyError, CONFLICT),
    (central.BlockingError, CONFLICT),
    (central.QuotaExceededError, Meaning(413, "quota-exceeded", "Storage used up", central.QuotaExceededError.meaning)),
    (central.LimitReachedError, CONFLICT),
    (central.RefusedError, FORBIDDEN),
    (central.UnavailableError, BUSY),
    (database.ConstraintError, INVALID),
    (database.StorageFullError, STORAGE_FULL),
    (database.CommitUnknownError, OUTCOME_UNKNOWN),
    (database.UnavailableError, BUSY),
    (objects.BadContentError, INVALID),
    (objects.ContentMismatchError, Meaning.of(UploadMismatchError)),
    (
        objects.SignatureRefusedError,
        Meaning(403, "link-refused", "This link does not work", objects.SignatureRefusedError.meaning),
    ),
    (objects.ObjectNotFoundError, FILE_DAMAGED),
    (objects.CorruptObjectError, FILE_DAMAGED),
    (objects.StoreFullError, STORAGE_FULL),
    (objects.StoreUnavailableError, BUSY),
)

RETRYABLE = (
    shard.UnavailableError,
    shard.SlowModeError,
    central.UnavailableError,
    database.UnavailableError,
    objects.StoreUnavailableError,
    TooManyRequestsError,
)
"""Errors that carry the time after which a retry may succeed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Problem document, ready to send."""

    meaning: Meaning
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def of(error: Exception, request_id: str) -> Problem:
    """Return the problem document of an error; an unexpected error is logged and its text is not revealed."""
    meaning, document = describe(error, request_id)
    return Problem(meaning, orjson.dumps(document), tuple(_headers(error)))


def describe(error: Exception, request_id: str) -> tuple[Meaning, dict[str, Any]]:
    """Return the meaning of an error and its problem document."""
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
    """Return the seconds after which a retry may succeed; None if waiting does not help."""
    return error.retry_after_seconds if isinstance(error, RETRYABLE) else None


def _meaning(error: Exception) -> Meaning:
    if isinstance(error, RouterError):
        return Meaning.of(type(error))
    return next((meaning for kind, meaning in MEANINGS if isinstance(error, kind)), UNEXPECTED)


def _headers(error: Exception) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", MEDIA_TYPE)]
    if (seconds := retry_after_seconds(error)) is not None:
        headers.append((b"retry-after", str(seconds).encode()))
    if isinstance(error, WrongMethodError):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, (UnauthenticatedError, central.BadCredentialsError)):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, EncodedBodyError):
        # RFC 9110, section 12.5.3: which encodings the next request may use.
        headers.append((b"accept-encoding", b"identity"))
    if isinstance(error, RangeRefusedError):
        headers.append((b"content-range", f"bytes */{error.size_bytes}".encode()))
    if isinstance(error, (BodyTooLargeError, TooSlowError)):
        # The rest of the body is not read, so the connection cannot serve another request.
        headers.append((b"connection", b"close"))
    return headers


def explain(error: ValidationError, place: str) -> RouterError:
    """Return a validation error as one of the router's errors; `place` is `body` or `query`."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return MalformedError(f"The body is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.")
    return InvalidError(
        [FieldFault(".".join((place, *map(str, fault["loc"]))), _plain(fault["msg"])) for fault in found]
    )


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
