"""A row of the access matrix: what each relation to a room gets from one route."""

from dataclasses import dataclass, field
from typing import Any

ROLES = ("owner", "moderator", "member", "bot", "stranger", "left", "banned", "elsewhere", "nobody")
"""Relations to a private room: "elsewhere" owns another one, "left" and "banned" were in, "nobody" has no session."""
INSIDE = ("owner", "moderator", "member", "bot")

ROOM = "/v1/rooms/{room_id}"
CHANNEL = ROOM + "/channels/{channel_id}"
MESSAGE = CHANNEL + "/messages/{message_id}"

EVERYBODY = " ".join(["200"] * 9)
SIGNED_IN = "200 200 200 200 200 200 200 200 401"
PEOPLE = "200 200 200 403 200 200 200 200 401"
"""As SIGNED_IN, but not for bots."""


def inside(owner: int, moderator: int | None = None, member: int | None = None, bot: int | None = None) -> str:
    """Return the statuses of a route that is hidden from whoever is not in; each is as the one before unless told."""
    statuses = [owner]
    for told in (moderator, member, bot):
        statuses.append(statuses[-1] if told is None else told)
    return " ".join(map(str, statuses)) + " 404 404 404 404 401"


@dataclass(frozen=True, slots=True)
class Row:
    """Statuses in the order of ROLES, and what is sent; `{role}`, `{number}` and ids are filled in.

    With `fresh`, every role meets a world of its own, because the act uses up what it acts upon.
    """

    statuses: str
    body: Any = None
    params: dict[str, str] = field(default_factory=dict)
    at: dict[str, str] = field(default_factory=dict)
    """Ids that stand in the path in the place of others, such as `channel_id` for that of a voice channel."""
    fresh: bool = False

    @property
    def of_roles(self) -> dict[str, int]:
        return dict(zip(ROLES, map(int, self.statuses.split()), strict=True))


Rows = dict[tuple[str, str], Row]
