"""The shape of a room: changed by who manages channels, and by who manages roles where it decides who may what."""

from tests.router.matrix.rows import CHANNEL, ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

CATEGORY = ROOM + "/categories/{category_id}"
TARGET = "/overwrites/{target_type}/{target_id}"
ALLOWED = {"allow": ["send_messages"], "deny": ["attach_files"]}

ROWS: Rows = {
    ("GET", ROOM + "/channels"): Row(inside(200)),
    ("POST", ROOM + "/channels"): Row(inside(201, 201, 403), {"name": "{role}"}),
    # Who may is told that this is not all that there is.
    ("PUT", ROOM + "/channels/order"): Row(inside(409, 409, 403), {"categories": [], "channels": []}),
    ("PATCH", CHANNEL): Row(inside(200, 200, 403), {"description": "{role}"}),
    ("DELETE", CHANNEL): Row(inside(204, 204, 403), {"reason": "{role}"}, fresh=True),
    ("POST", ROOM + "/categories"): Row(inside(201, 201, 403), {"name": "{role}"}),
    ("PATCH", CATEGORY): Row(inside(200, 200, 403), {"name": "{role}"}),
    ("DELETE", CATEGORY): Row(inside(204, 204, 403), fresh=True),
    ("GET", CHANNEL + "/overwrites"): Row(inside(200, 200, 403)),
    ("PUT", CHANNEL + TARGET): Row(inside(200, 200, 403), ALLOWED),
    ("DELETE", CHANNEL + TARGET): Row(inside(204, 204, 403)),
    ("GET", CATEGORY + "/overwrites"): Row(inside(200, 200, 403)),
    ("PUT", CATEGORY + TARGET): Row(inside(200, 200, 403), ALLOWED),
    ("DELETE", CATEGORY + TARGET): Row(inside(204, 204, 403)),
}


def furnish(world: World) -> None:
    """Have the owner make a category, and a role that something can be allowed."""
    owner, room = world.people["owner"], world.room
    world.ids["category_id"] = owner.post(f"{room.path}/categories", {"name": "Branches"})["id"]
    world.ids["role_id"] = owner.post(f"{room.path}/roles", {"name": "fledglings"})["id"]
    world.ids.update(target_type="role", target_id=world.ids["role_id"])
