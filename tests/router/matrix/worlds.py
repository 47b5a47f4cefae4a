"""A private room with people in every relation to it, and one of everything that a route can be asked about."""

from dataclasses import dataclass
from typing import Any

import sqlite
from shard import permissions
from tests.router.clients import Client, Room
from tests.router.matrix.rows import ROLES
from tests.router.serving import Running

MISSING = "1"
_NOT_HIDDEN = ("user_id", "code")


@dataclass(frozen=True, slots=True)
class World:
    """Who there is, the room, the ids of what is in it, and those of a channel that only the owner sees."""

    people: dict[str, Client]
    room: Room
    ids: dict[str, str]
    hidden: dict[str, str]

    @property
    def ids_of_nothing(self) -> dict[str, str]:
        """Ids of the same kinds that nothing has."""
        missing = {name: MISSING for name in self.ids if name.endswith("_id") and name not in _NOT_HIDDEN}
        return self.ids | missing | {"name": "x-x"}


def make(nobody: Client, server: Running) -> World:
    """Make a world of its own on a running server."""
    people = {role: nobody.guest() for role in ROLES[:-1]} | {"nobody": nobody}
    owner, member = people["owner"], people["member"]
    room = owner.found()
    owner.admit(room, *(people[role] for role in ("moderator", "member", "bot", "left", "banned")))
    for role in ("left", "banned"):
        people[role].post(f"{room.path}/leave")
    people["elsewhere"].found()
    _seat(people, room, server)
    ids = {
        "room_id": room.id,
        "name": room.name,
        "channel_id": room.channels["general"],
        "message_id": owner.say(room, "secret")["id"],
        "session_id": member.get("/v1/users/me/sessions")["sessions"][0]["id"],
        "user_id": owner.id,
        "code": owner.post(f"{room.path}/invites", {})["code"],
    }
    return World(people, room, ids, _hide(owner, room, server))


def _seat(people: dict[str, Client], room: Room, server: Running) -> None:
    """Give the moderator a role with every permission but the administrator's, and ban whoever is banned."""
    moderator, banned, owner = (int(people[role].id) for role in ("moderator", "banned", "owner"))
    shard = sqlite.connect(server.place.shards / f"{room.id}.db")
    granted = permissions.ALL & ~permissions.ADMINISTRATOR
    shard.execute("INSERT INTO roles VALUES (2, 'moderators', NULL, ?, 1, 1, 1)", (granted,))
    shard.execute("INSERT INTO member_roles VALUES (?, 2, ?, 1)", (moderator, owner))
    shard.execute("INSERT INTO bans VALUES (?, NULL, ?, 1, NULL)", (banned, owner))
    shard.close()


def _hide(owner: Client, room: Room, server: Running) -> dict[str, str]:
    """Make a channel that members do not see and return the ids of what is in it."""
    channel_id = owner.post(f"{room.path}/channels", {"name": "hidden"})["id"]
    path = f"{room.path}/channels/{channel_id}"
    message_id = owner.post(f"{path}/messages", {"content": "secret"})["id"]
    shard = sqlite.connect(server.place.shards / f"{room.id}.db")
    shard.execute("UPDATE channels SET is_private = 1 WHERE id = ?", (int(channel_id),))
    shard.close()
    return {"channel_id": channel_id, "message_id": message_id}


def filled(body: Any, ids: dict[str, str]) -> Any:
    """Return a body with the ids that it names."""
    if isinstance(body, dict):
        return {name: filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, ids) for value in body]
    return body.format_map(ids) if isinstance(body, str) else body
