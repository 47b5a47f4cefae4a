"""Threads: opened by everybody, changed by who opened them or manages them, which here is the owner."""

from tests.router.matrix.rows import CHANNEL, ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

THREAD = CHANNEL + "/threads/{thread_id}"

ROWS: Rows = {
    ("POST", CHANNEL + "/threads"): Row(inside(201), {"title": "{role}"}),
    ("GET", CHANNEL + "/threads"): Row(inside(200)),
    ("GET", THREAD): Row(inside(200)),
    ("PATCH", THREAD): Row(inside(200, 200, 403), {"title": "about {role}"}),
    ("GET", ROOM + "/threads"): Row(inside(200)),
}


def furnish(world: World) -> None:
    """Open a thread where everybody sees it, and one where only the owner does."""
    for ids in (world.ids, world.hidden):
        path = f"{world.room.path}/channels/{ids['channel_id']}/threads"
        ids["thread_id"] = world.people["owner"].post(path, {"title": "a topic"})["id"]
