"""Bots: their owner's alone, but for a public one, which all who manage a room may let in."""

from tests.router.matrix.rows import PEOPLE, ROOM, Row, Rows, inside
from tests.router.matrix.worlds import World

BOT = "/v1/bots/{bot_id}"
# They are the member's, who is the one with an account.
OWN = "404 404 {} 403 404 404 404 404 401"

ROWS: Rows = {
    ("POST", "/v1/bots"): Row("403 403 201 403 403 403 403 403 401", {"username": "{role}_{number}"}),
    ("GET", "/v1/bots"): Row(PEOPLE),
    ("GET", BOT): Row(PEOPLE),
    ("PATCH", BOT): Row(OWN.format(200), {"bio": "Hi"}),
    ("DELETE", BOT): Row(OWN.format(204)),
    ("POST", BOT + "/tokens"): Row(OWN.format(201), {"name": "ci", "scopes": ["voice"]}),
    ("GET", BOT + "/tokens"): Row(OWN.format(200)),
    ("DELETE", BOT + "/tokens/{token_id}"): Row(OWN.format(204)),
    ("PUT", ROOM + "/bots/{bot_id}"): Row(inside(204, 204, 403, 403)),
    ("DELETE", ROOM + "/bots/{bot_id}"): Row(inside(204, 204, 403, 403)),
}


def furnish(world: World) -> None:
    """Give the member another bot, a public one with a token, that is in no room."""
    keeper = world.people["member"]
    name = f"pet_{world.ids['message_id']}"
    bot_id = keeper.post("/v1/bots", {"username": name, "is_public": True})["user"]["id"]
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "ci", "scopes": ["voice"]})
    world.ids.update(bot_id=bot_id, token_id=issued["details"]["id"])
