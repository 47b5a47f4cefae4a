"""Errors of the router itself, before or around an endpoint.

RouterError
├── MalformedError             400: the request is not what its headers or HTTP promise
├── UnauthenticatedError       401: no session, or one that ended
├── NotAllowedError            403: signed in, but not for this
├── NoRouteError               404: nothing is there
├── WrongMethodError           405: something is there, for other methods
├── TooSlowError               408: the body did not come within its time
├── PreconditionFailedError    412: the file is not the one that the client has
├── BodyTooLargeError          413
├── NotJSONError               415
├── EncodedBodyError           415: the body is compressed
├── RangeRefusedError          416: the file ends before the range begins
├── UploadMismatchError        422: the bytes are not what was announced
├── InvalidError               422: the fields are wrong, each is named
└── TooManyRequestsError       429: a rate limit; says when to come back
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldFault:
    """Invalid field: its path (`body.content`, `query.limit`) and its fault."""

    field: str
    detail: str


class RouterError(Exception):
    """Base of the router's own errors: status, slug and title of its problem document, and a sentence for the API
    reference that explains it and how to proceed."""

    status = 400
    slug = "bad-request"
    title = "Bad request"
    meaning = "The request cannot be read: its body is not JSON, or a header is not what HTTP promises."


class MalformedError(RouterError):
    """Error of a request that cannot be parsed."""


class UnauthenticatedError(RouterError):
    """Error of a request without a live session."""

    status, slug, title = 401, "unauthenticated", "Sign in first"
    meaning = "The request has no session, or the session has ended. Sign in and send its token."


class NotAllowedError(RouterError):
    """Error of a caller who lacks a permission."""

    status, slug, title = 403, "forbidden", "Not allowed"
    meaning = "You can see this resource but lack the permission for this operation; detail names it."


class NoRouteError(RouterError):
    """Error of a path that has no route."""

    status, slug, title = 404, "not-found", "Not found"
    meaning = "The resource does not exist, or you may not see it; the two cases are not distinguished."


class WrongMethodError(RouterError):
    """Error of a path that has routes for other methods only."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"
    meaning = "The address does not support this method; the header Allow lists those that it does."

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"This address answers {self.allowed}.")


class BodyTooLargeError(RouterError):
    """Error of a body above this server's limit."""

    status, slug, title = 413, "body-too-large", "Body too large"
    meaning = "The body is above this server's limit. The connection is closed."

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"A request body has at most {bytes_max} bytes.")


class TooSlowError(RouterError):
    """Error of an upload that exceeded its time limit."""

    status, slug, title = 408, "too-slow", "Too slow"
    meaning = "The upload exceeded its time limit. The connection is closed; send the file again."


class PreconditionFailedError(RouterError):
    """The file is another one than the request's If-Match names."""

    status, slug, title = 412, "precondition-failed", "Another file"
    meaning = "The file is not one of those that If-Match names."


class RangeRefusedError(RouterError):
    """Error of a range that has no byte of the file."""

    status, slug, title = 416, "range-refused", "No such range"
    meaning = "The range begins after the end of the file; Content-Range has the file's size."

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"The file has {size_bytes} bytes; ask for a range that begins within them.")


class UploadMismatchError(RouterError):
    """Error of an upload whose bytes differ from the announcement."""

    status, slug, title = 422, "upload-mismatch", "Not the announced file"
    meaning = "The bytes differ from the announced ones, or are not an image of the announced type."


class NotJSONError(RouterError):
    """Error of a body without the media type of JSON."""

    status, slug, title = 415, "not-json", "Not JSON"
    meaning = "The body needs the header Content-Type: application/json."


class EncodedBodyError(RouterError):
    """The body has a Content-Encoding, such as gzip."""

    status, slug, title = 415, "encoded-body", "Encoded body"
    meaning = "Send the body as it is, without a Content-Encoding; Accept-Encoding says so to programs."

    def __init__(self) -> None:
        super().__init__("Send the body without a Content-Encoding: this server decodes none.")


class InvalidError(RouterError):
    """Error of fields that are missing, unknown or invalid."""

    status, slug, title = 422, "invalid", "Invalid fields"
    meaning = "Fields are missing, unknown or invalid; errors lists each of them."

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("Some fields are wrong; see errors.")


class TooManyRequestsError(RouterError):
    """Error of a caller whose rate limit is exhausted."""

    status, slug, title = 429, "too-many-requests", "Too many requests"
    meaning = "A rate limit is exhausted. Wait for the number of seconds in Retry-After."

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"Too many requests; try again in {retry_after_seconds} s.")
