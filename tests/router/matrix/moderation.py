"""Members and moderation: seen by members, done by those who may, and nothing for whoever is not in."""

from tests.router.matrix.rows import ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

MEMBER = ROOM + "/members/{user_id}"
BAN = ROOM + "/bans/{user_id}"

ROWS: Rows = {
    ("GET", ROOM + "/members"): Row(inside(200), params={"q": "guest"}),
    ("GET", MEMBER): Row(inside(200)),
    ("PATCH", MEMBER): Row(inside(200, 200, 403), {"nickname": "{role}"}),
    ("DELETE", MEMBER): Row(inside(204, 204, 403), fresh=True),
    ("PUT", MEMBER + "/timeout"): Row(inside(200, 200, 403), {"duration_seconds": 60}),
    ("DELETE", MEMBER + "/timeout"): Row(inside(204, 204, 403)),
    ("GET", ROOM + "/bans"): Row(inside(200, 200, 403)),
    ("PUT", BAN): Row(inside(200, 200, 403), {"delete_message_seconds": 60}, fresh=True),
    ("DELETE", BAN): Row(inside(204, 204, 403), at={"user_id": "outlaw_id"}, fresh=True),
    ("GET", ROOM + "/audit"): Row(inside(200, 200, 403)),
}


def furnish(world: World) -> None:
    """Name the id of somebody who is banned."""
    world.ids["outlaw_id"] = world.people["banned"].id
