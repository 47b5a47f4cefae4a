"""What the edge itself refuses, before or around an endpoint.

EdgeError
├── MalformedError             400: the request is not what its headers or HTTP promise
├── UnauthenticatedError       401: no session, or one that ended
├── NotAllowedError            403: signed in, but not for this
├── NoRouteError               404: nothing is there
├── WrongMethodError           405: something is there, for other methods
├── TooSlowError               408: the body did not come within its time
├── BodyTooLargeError          413
├── NotJSONError               415
├── RangeRefusedError          416: the file ends before the range begins
├── UploadMismatchError        422: the bytes are not what was announced
├── InvalidError               422: the fields are wrong, each is named
└── TooManyRequestsError       429: a rate limit; says when to come back
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One wrong field: where it is (`body.content`, `query.limit`) and what is wrong with it."""

    field: str
    detail: str


class EdgeError(Exception):
    """Base of what the edge refuses."""

    status = 400
    slug = "bad-request"
    title = "Bad request"


class MalformedError(EdgeError):
    """The request cannot be read."""


class UnauthenticatedError(EdgeError):
    """There is no session behind the request."""

    status, slug, title = 401, "unauthenticated", "Sign in first"


class NotAllowedError(EdgeError):
    """The person behind the request may not do this."""

    status, slug, title = 403, "forbidden", "Not allowed"


class NoRouteError(EdgeError):
    """No route has this path."""

    status, slug, title = 404, "not-found", "Not found"


class WrongMethodError(EdgeError):
    """The path has routes, but not for this method."""

    status, slug, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(f"This address answers {self.allowed}.")


class BodyTooLargeError(EdgeError):
    """The body is longer than this server reads."""

    status, slug, title = 413, "body-too-large", "Body too large"

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"A request body has at most {bytes_max} bytes.")


class TooSlowError(EdgeError):
    """The body took longer than it may."""

    status, slug, title = 408, "too-slow", "Too slow"


class RangeRefusedError(EdgeError):
    """No byte of the file is in the range."""

    status, slug, title = 416, "range-refused", "No such range"

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(f"The file has {size_bytes} bytes; ask for a range that begins within them.")


class UploadMismatchError(EdgeError):
    """The bytes of an upload are not what was announced."""

    status, slug, title = 422, "upload-mismatch", "Not the announced file"


class NotJSONError(EdgeError):
    """The body is not declared as JSON."""

    status, slug, title = 415, "not-json", "Not JSON"


class InvalidError(EdgeError):
    """Fields are missing, unknown or wrong."""

    status, slug, title = 422, "invalid", "Invalid fields"

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("Some fields are wrong; see errors.")


class TooManyRequestsError(EdgeError):
    """A rate limit is used up."""

    status, slug, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"Too many requests; try again in {retry_after_seconds} s.")
