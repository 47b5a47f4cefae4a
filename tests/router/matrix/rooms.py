"""Rooms: a private one is not there for whoever is not in."""

from tests.router.matrix.rows import ROOM, SIGNED_IN, Row, Rows, inside

ROWS: Rows = {
    ("GET", "/v1/rooms"): Row(SIGNED_IN),
    ("POST", "/v1/rooms"): Row(SIGNED_IN.replace("200", "201"), {"name": "{role}-{number}"}),
    ("GET", "/v1/rooms/public"): Row(SIGNED_IN),
    ("GET", "/v1/rooms/by-name/{name}"): Row(inside(200)),
    ("GET", ROOM): Row(inside(200)),
    ("POST", ROOM + "/join"): Row(inside(200)),
    ("POST", ROOM + "/leave"): Row(inside(409, 204)),
    ("GET", ROOM + "/members"): Row(inside(200)),
    ("POST", ROOM + "/invites"): Row(inside(201), {}),
    # Who has the code may use it, unless they are banned.
    ("GET", "/v1/invites/{code}"): Row(SIGNED_IN),
    ("POST", "/v1/invites/{code}/use"): Row("200 200 200 200 200 200 403 200 401"),
}
