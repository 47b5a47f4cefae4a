"""The platform: nobody in a room has a say in it, whatever they are there."""

from tests.router.matrix.rows import SIGNED_IN, Row, Rows

NOT_THEIRS = SIGNED_IN.replace("200", "403")
BAN = "/v1/platform/bans/{user_id}"
SUSPENSION = "/v1/platform/suspensions/{user_id}"
VERIFIED = "/v1/platform/rooms/{room_id}/verified"

ROWS: Rows = {
    ("GET", "/v1/platform/bans"): Row(NOT_THEIRS),
    ("PUT", BAN): Row(NOT_THEIRS, {"reason": "spam"}),
    ("DELETE", BAN): Row(NOT_THEIRS),
    ("PUT", SUSPENSION): Row(NOT_THEIRS, {"reason": "spam"}),
    ("DELETE", SUSPENSION): Row(NOT_THEIRS),
    ("PUT", VERIFIED): Row(NOT_THEIRS),
    ("DELETE", VERIFIED): Row(NOT_THEIRS),
    ("DELETE", "/v1/platform/rooms/{room_id}"): Row(NOT_THEIRS, {"reason": "spam"}),
    ("GET", "/v1/platform/audit"): Row(NOT_THEIRS),
}
