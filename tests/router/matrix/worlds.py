"""A private room with people in every relation to it, and one of everything that a route can be asked about."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from router.scopes import Scope
from shard import permissions
from tests.router.clients import Client, Room
from tests.router.matrix.rows import ROLES

MISSING = "1"
_NOT_HIDDEN = ("user_id", "code")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class World:
    """The people, the room, the ids of its contents, and those of a channel that only the owner sees.

    The member has an account with a password, and the bot; everybody else is a guest. The bot has every scope.
    The id `user_id` is a plain member's beside the roles, whom others act upon.
    """

    people: dict[str, Client]
    room: Room
    ids: dict[str, str]
    hidden: dict[str, str]

    @property
    def ids_of_nothing(self) -> dict[str, str]:
        """Ids of the same kinds that nothing has."""
        missing = {name: MISSING for name in self.ids if name.endswith("_id") and name not in _NOT_HIDDEN}
        return self.ids | missing | {"name": "x-x"}


Furnish = Callable[["World"], None]
"""Puts something into a world that routes of one part are asked about: ids go into `ids`, those of what only the owner
sees into `hidden`."""


def make(nobody: Client, furnish: Sequence[Furnish]) -> World:
    """Make a world of its own on a running server."""
    people = {role: nobody.guest() for role in ROLES if role not in ("member", "bot", "nobody")} | {"nobody": nobody}
    owner, member = people["owner"], nobody.register(_name("keeper"))
    room = owner.found()
    people |= {"member": member, "bot": _employ(member, owner, room)}
    owner.admit(room, *(people[role] for role in ("moderator", "member", "left", "banned")))
    for role in ("left", "banned"):
        people[role].post(f"{room.path}/leave")
    target = nobody.guest()
    owner.admit(room, target)
    people["elsewhere"].found()
    _seat(people, room)
    ids = {
        "room_id": room.id,
        "name": room.name,
        "channel_id": room.channels["general"],
        "message_id": owner.say(room, "secret")["id"],
        "session_id": member.get("/v1/users/me/sessions")["sessions"][0]["id"],
        "user_id": target.id,
        "code": owner.post(f"{room.path}/invites", {})["code"],
    }
    world = World(people, room, ids, _hide(owner, room))
    for put in furnish:
        put(world)
    return world


def _employ(keeper: Client, owner: Client, room: Room) -> Client:
    """Have a bot of the keeper's let into the room by its owner."""
    bot_id = keeper.post("/v1/bots", {"username": _name("bot"), "is_public": True})["user"]["id"]
    issued = keeper.post(f"/v1/bots/{bot_id}/tokens", {"name": "every", "scopes": [*Scope]})
    owner.did("PUT", f"{room.path}/bots/{bot_id}")
    return keeper.with_token(issued["token"])


def _name(kind: str) -> str:
    """Return a username that looks like no other: 111 and 11 are told apart by what stands between the digits."""
    return f"{kind}_{'x'.join(str(next(_numbers)))}"


def _seat(people: dict[str, Client], room: Room) -> None:
    """Give the moderator a role with every permission but the administrator's, and ban whoever is banned."""
    owner, moderator, banned = (people[role] for role in ("owner", "moderator", "banned"))
    granted = permissions.names(permissions.ALL & ~permissions.ADMINISTRATOR)
    role = owner.post(f"{room.path}/roles", {"name": "moderators", "permissions": granted})
    owner.did("PUT", f"{room.path}/members/{moderator.id}/roles/{role['id']}")
    owner.did("PUT", f"{room.path}/bans/{banned.id}", {})


def _hide(owner: Client, room: Room) -> dict[str, str]:
    """Make a channel that members do not see and return the ids of what is in it."""
    channel_id = owner.post(f"{room.path}/channels", {"name": "hidden", "is_private": True})["id"]
    path = f"{room.path}/channels/{channel_id}"
    return {"channel_id": channel_id, "message_id": owner.post(f"{path}/messages", {"content": "secret"})["id"]}


def filled(body: Any, ids: dict[str, str]) -> Any:
    """Return a body with the ids that it names."""
    if isinstance(body, dict):
        return {name: filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, ids) for value in body]
    return body.format_map(ids) if isinstance(body, str) else body
