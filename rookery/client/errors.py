"""Errors of the client; `remedy` says what helps.

ClientError
├── UnreachableError   the first try to connect failed; later ones are repeated silently
├── EndedError         the server ended the connection, and trying again would not help: `code`
├── SequenceError      events of a room were missing or came twice: `room_id`, `place`, `seq`
├── UnsendableError    a request is no JSON, such as one with half a surrogate pair; nothing was sent
├── RequestError       the server did not do what was asked: `status`, `slug`, `errors`, `retry_after_seconds`
└── ClosedError        the client was closed
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

ENDINGS: Final[Mapping[int, str]] = {
    1007: "Mend the client.",
    1009: "Mend the client.",
    4001: "Mend the client; this is not retried.",
    4003: "Sign in again, or ask for a new ticket; do not just retry.",
    4004: "Sign in again: logged out, suspended, banned, or expired.",
    4005: "Mend the client.",
    4009: "Close one of the others first.",
}
"""Close codes after which the client does not connect again, and what helps; the table is in docs/gateway.md."""


class ClientError(Exception):
    """Any error of the client."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.remedy = remedy


class UnreachableError(ClientError):
    """The server cannot be reached, or what answers is not a gateway; `__cause__` says more."""


class EndedError(ClientError):
    """The server ended the connection for good. `code` is the close code, or the HTTP status of a refused handshake."""

    def __init__(self, code: int, reason: str, remedy: str) -> None:
        super().__init__(f"The server ended the connection ({code}): {reason or 'it gave no reason'}.", remedy)
        self.code = code
        self.reason = reason


class SequenceError(ClientError):
    """The events of a room went on at `seq` and not after `place`. The client stopped there; its places are right."""

    def __init__(self, room_id: str, place: int, seq: int) -> None:
        remedy = "Connect anew with the client's places; if that does not help, read the room's history over HTTP."
        super().__init__(f"Room {room_id} went on with event {seq} after {place}.", remedy)
        self.room_id = room_id
        self.place = place
        self.seq = seq


class UnsendableError(ClientError, ValueError):
    """A request that cannot be sent: no JSON, or too large. The connection and other requests are not affected."""


class RequestError(ClientError):
    """A refused request: the problem document that HTTP would answer (docs/api.md)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.status: int = problem["status"]
        self.slug: str = problem["type"].rpartition("#problem-")[2]
        self.detail: str = problem["detail"]
        self.errors: Sequence[Mapping[str, str]] = problem.get("errors") or ()
        self.retry_after_seconds: int | None = problem.get("retry_after_seconds")
        fields = "".join(f" {error['field']}: {error['detail']}." for error in self.errors)
        wait = self.retry_after_seconds
        super().__init__(
            f"{self.status} {self.slug}: {self.detail}{fields}", "" if wait is None else f"Again in {wait} s."
        )


class ClosedError(ClientError):
    """The client was closed before there was an answer; the request may have been carried out."""

    def __init__(self) -> None:
        super().__init__("The client is closed.", "Connect again.")
