"""Webhooks: managed by who may; posting takes the token alone, whoever one is."""

from tests.router.matrix.rows import ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

WEBHOOKS = ROOM + "/webhooks"
ONE = WEBHOOKS + "/{webhook_id}"
OUTGOING = {"webhook_id": "outgoing_id"}
TOLD = {"name": "{role}", "url": "https://hooks.invalid/x", "events": ["voice"]}

ROWS: Rows = {
    ("POST", "/v1/hooks/{webhook_id}/{token}"): Row(" ".join(["201"] * 9), {"content": "{role}"}),
    ("GET", WEBHOOKS): Row(inside(200, 200, 403)),
    ("POST", WEBHOOKS + "/incoming"): Row(inside(201, 201, 403), {"name": "{role}", "channel_id": "{channel_id}"}),
    ("POST", WEBHOOKS + "/outgoing"): Row(inside(201, 201, 403), TOLD),
    ("GET", ONE): Row(inside(200, 200, 403)),
    ("PATCH", ONE): Row(inside(200, 200, 403), {"name": "{role}"}),
    ("DELETE", ONE): Row(inside(204, 204, 403), fresh=True),
    ("POST", ONE + "/renew"): Row(inside(200, 200, 403)),
    ("POST", ONE + "/ping"): Row(inside(200, 200, 403), at=OUTGOING),
}


def furnish(world: World) -> None:
    """Have the owner make a webhook of each direction."""
    owner, path = world.people["owner"], f"{world.room.path}/webhooks"
    made = owner.post(f"{path}/incoming", {"name": "CI", "channel_id": world.room.channels["general"]})
    told = owner.post(f"{path}/outgoing", {"name": "out", "url": "https://hooks.invalid/x", "events": ["voice"]})
    world.ids.update(webhook_id=made["webhook"]["id"], token=made["token"], outgoing_id=told["webhook"]["id"])
