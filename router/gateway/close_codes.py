"""Close codes of the gateway, each with its reason and what the client should do.

Codes of 4000 and above are the application's own (RFC 6455, section 7.4.2).
"""

from typing import Final, NamedTuple


class Close(NamedTuple):
    """Close code; `reason` is sent with it, `remedy` is for the documentation."""

    code: int
    name: str
    reason: str
    remedy: str


UNEXPECTED: Final = Close(4000, "unexpected", "unexpected server error", "Connect again with backoff, and resume.")
MALFORMED: Final = Close(
    4001,
    "malformed",
    "a frame is not a text frame with a JSON object of op, d and ref, or an identify is invalid",
    "Mend the client; this is not retried.",
)
NOT_IDENTIFIED: Final = Close(
    4002, "not-identified", "identify first, within ten seconds", "Connect again and send identify at once."
)
REFUSED: Final = Close(
    4003, "refused", "this token or ticket is not valid", "Sign in again, or ask for a new ticket; do not just retry."
)
ENDED: Final = Close(
    4004, "session-ended", "the session ended", "Sign in again: logged out, suspended, banned, or expired."
)
IDENTIFIED_TWICE: Final = Close(4005, "identified-twice", "identify once", "Mend the client.")
TOO_CHATTY: Final = Close(
    4006, "too-chatty", "too many frames", "Wait for ten seconds, connect again, and send fewer frames."
)
SILENT: Final = Close(
    4007, "silent", "no frame received for too long", "Connect again and resume; send heartbeats as hello asks."
)
TOO_SLOW: Final = Close(
    4008, "too-slow", "this client reads too slowly", "Connect again and resume; it may be seen as 1006."
)
TOO_MANY: Final = Close(
    4009, "too-many-connections", "too many connections of this user", "Close one of the others first."
)
NOT_UTF8: Final = Close(1007, "not-utf8", "a text frame was not UTF-8", "Mend the client.")
GOING_AWAY: Final = Close(1012, "restart", "the server is restarting", "Connect again with backoff, and resume.")

CLOSES: Final = (
    UNEXPECTED, MALFORMED, NOT_IDENTIFIED, REFUSED, ENDED, IDENTIFIED_TWICE, TOO_CHATTY, SILENT, TOO_SLOW, TOO_MANY,
    GOING_AWAY,
)  # fmt: skip
