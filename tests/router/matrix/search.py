"""Search: what is found is what one may read."""

from tests.router.matrix.rows import ROOM, Row, Rows, inside

ROWS: Rows = {
    ("GET", ROOM + "/search"): Row(inside(200), params={"q": "secret in:{channel_id}"}),
}
