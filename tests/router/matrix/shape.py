"""The shape of a room: changed by whoever manages channels."""

from tests.router.matrix.rows import ROOM, Row, Rows, inside

ROWS: Rows = {
    ("GET", ROOM + "/channels"): Row(inside(200)),
    ("POST", ROOM + "/channels"): Row(inside(201, 201, 403), {"name": "{role}"}),
}
