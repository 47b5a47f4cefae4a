"""Roles: seen by all who are in, changed by whoever manages them and stands above."""

from tests.router.matrix.rows import ROOM, Row, Rows, inside

ROLE = ROOM + "/roles/{role_id}"
GRANT = ROOM + "/members/{user_id}/roles/{role_id}"

ROWS: Rows = {
    ("GET", ROOM + "/permissions"): Row(inside(200)),
    ("GET", ROOM + "/roles"): Row(inside(200)),
    ("POST", ROOM + "/roles"): Row(inside(201, 201, 403), {"name": "{role}"}),
    # Who may is told that these are not all.
    ("PUT", ROOM + "/roles/order"): Row(inside(409, 409, 403), {"role_ids": []}),
    ("PATCH", ROLE): Row(inside(200, 200, 403), {"name": "{role}"}),
    ("DELETE", ROLE): Row(inside(204, 204, 403), fresh=True),
    ("GET", ROLE + "/members"): Row(inside(200)),
    ("PUT", GRANT): Row(inside(204, 204, 403)),
    ("DELETE", GRANT): Row(inside(204, 204, 403)),
}
