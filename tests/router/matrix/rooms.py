"""Rooms: a private one is not there for whoever is not in."""

from tests.router.matrix.rows import PEOPLE, ROOM, SIGNED_IN, Row, Rows, inside

ROWS: Rows = {
    ("GET", "/v1/rooms"): Row(SIGNED_IN),
    ("POST", "/v1/rooms"): Row(PEOPLE.replace("200", "201"), {"name": "{role}-{number}"}),
    ("GET", "/v1/rooms/public"): Row(PEOPLE),
    ("GET", "/v1/rooms/by-name/{name}"): Row(inside(200)),
    ("GET", ROOM): Row(inside(200)),
    ("POST", ROOM + "/join"): Row(inside(200, 200, 200, 403)),
    ("POST", ROOM + "/leave"): Row(inside(409, 204, 204, 403)),
    ("PATCH", ROOM): Row(inside(200, 200, 403), {"description": "{role}"}),
    ("DELETE", ROOM): Row(inside(204, 403), fresh=True),
    ("PUT", ROOM + "/owner"): Row(inside(200, 403), {"user_id": "{user_id}"}, fresh=True),
    ("GET", ROOM + "/invites"): Row(inside(200)),
    ("POST", ROOM + "/invites"): Row(inside(201), {}),
    ("DELETE", ROOM + "/invites/{code}"): Row(inside(204, 204, 403)),
    # Who has the code may use it, unless they are banned.
    ("GET", "/v1/invites/{code}"): Row(PEOPLE),
    ("POST", "/v1/invites/{code}/use"): Row("200 200 200 403 200 200 403 200 401"),
}
