"""Presence and tickets: tickets for people's pages, typing for those who may write, presences for members."""

from tests.router.matrix.rows import CHANNEL, ROOM, Row, Rows, inside

TICKETS = "201 201 201 403 201 201 201 201 401"
"""Everybody who is signed in with a session; bots have tokens that they may show."""

ROWS: Rows = {
    ("POST", "/v1/gateway/tickets"): Row(TICKETS),
    ("POST", CHANNEL + "/typing"): Row(inside(204), {}),
    ("GET", ROOM + "/presences"): Row(inside(200)),
}
