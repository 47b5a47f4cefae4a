"""Reading: everybody has one's own markers, counts and levels, of what one sees."""

from tests.router.matrix.rows import CHANNEL, ROOM, SIGNED_IN, Row, Rows, inside

ROWS: Rows = {
    ("GET", "/v1/unread"): Row(SIGNED_IN),
    ("GET", ROOM + "/unread"): Row(inside(200)),
    ("PUT", ROOM + "/read"): Row(inside(204)),
    ("PUT", CHANNEL + "/read"): Row(inside(200), {"last_read_id": "{message_id}"}),
    ("PUT", CHANNEL + "/threads/{thread_id}/read"): Row(inside(200), {}),
    ("GET", ROOM + "/mentions"): Row(inside(200)),
    ("GET", ROOM + "/export"): Row(inside(200)),
    ("GET", ROOM + "/notifications"): Row(inside(200)),
    ("PUT", ROOM + "/notifications"): Row(inside(200), {"level": "mentions"}),
    ("PUT", CHANNEL + "/notifications"): Row(inside(204), {"level": "none"}),
    ("DELETE", CHANNEL + "/notifications"): Row(inside(204)),
}
