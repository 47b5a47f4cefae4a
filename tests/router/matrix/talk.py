"""Talk: what is said in a channel is for those who see it."""

from tests.router.matrix.rows import CHANNEL, MESSAGE, ROOM, Row, Rows, inside

ROWS: Rows = {
    ("GET", ROOM + "/search"): Row(inside(200), params={"q": "secret"}),
    ("POST", CHANNEL + "/messages"): Row(inside(201), {"content": "hello"}),
    ("GET", CHANNEL + "/messages"): Row(inside(200)),
    ("GET", MESSAGE): Row(inside(200)),
    ("POST", CHANNEL + "/threads"): Row(inside(201), {"title": "{role}"}),
    ("GET", CHANNEL + "/threads"): Row(inside(200)),
}
