"""Reactions and pins: for those who see the message; those of others are removed by who manages messages."""

from tests.router.matrix.rows import CHANNEL, MESSAGE, Row, Rows, inside
from tests.router.matrix.worlds import World

REACTIONS = MESSAGE + "/reactions"
REACTION = REACTIONS + "/{emoji}"

ROWS: Rows = {
    ("PUT", REACTION): Row(inside(204)),
    ("DELETE", REACTION): Row(inside(204)),
    ("GET", REACTION + "/users"): Row(inside(200)),
    ("DELETE", REACTION + "/users"): Row(inside(204, 204, 403)),
    ("DELETE", REACTION + "/users/{user_id}"): Row(inside(204, 204, 403), fresh=True, at={"user_id": "reactor_id"}),
    ("DELETE", REACTIONS): Row(inside(204, 204, 403)),
    ("PUT", MESSAGE + "/pin"): Row(inside(204, 204, 403), {"reason": "{role}"}),
    ("DELETE", MESSAGE + "/pin"): Row(inside(204, 204, 403)),
    ("GET", CHANNEL + "/pins"): Row(inside(200)),
}


def furnish(world: World) -> None:
    """Have a member react to what everybody sees, and the owner to what only they do."""
    for ids, role in ((world.ids, "member"), (world.hidden, "owner")):
        reactor = world.people[role]
        reactor.did("PUT", (REACTION).format_map(world.ids | ids | {"emoji": "👍"}))
        ids["reactor_id"] = reactor.id
    world.ids["emoji"] = "👍"
