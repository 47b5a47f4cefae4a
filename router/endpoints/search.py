"""Search: finding what was said again."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import ids
from directory import users
from directory.directory import Directory
from directory.errors import UserNotFoundError
from ids import ChannelId, UserId
from router import cursors
from router.doors import People, RoomDoor
from router.scopes import Scope
from router.table import Call, Reply, Route
from router.views import search as views
from router.views import talk
from router.views.search import SearchView
from router.wire.fields import Nothing
from router.wire.search import SearchQuery
from shard import queries
from shard.acts.searching import Ranking
from shard.searches import Searches

SEARCH = "/v1/rooms/{room_id}/search"

SHARE = 0.8
"""How much of the deadline a search takes before it answers with what it has: a chunk and the page need the rest."""


@dataclass(frozen=True, slots=True)
class Search:
    """The endpoint and what it needs."""

    directory: Directory
    door: RoomDoor
    searches: Searches
    people: People
    page_size_max: int
    deadline_seconds: float

    def routes(self) -> tuple[Route, ...]:
        """Return the route of this part."""
        return (
            Route(
                "GET", SEARCH, self.find, "Search a room", "messages", SearchView, query=SearchQuery,
                scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def find(self, call: Call[Nothing, SearchQuery]) -> Reply:
        """Search the channels that the caller sees, newest first or most relevant first.

        A search that runs out of time answers with what it found, `is_cut`, and where to go on.
        """
        asked = call.query
        is_ranked = asked.sort == "relevance"
        query, limit = queries.parse(asked.q), cursors.size(asked, self.page_size_max)
        place = cursors.read(asked.cursor, 4 if is_ranked else 1)
        query = replace(query, people=await self._named(query.names))
        room = await self.door.reach(call.path["room_id"])
        channel_id = None if asked.channel_id is None else ChannelId(asked.channel_id)
        seconds = SHARE * self.deadline_seconds
        if is_ranked:
            found = await self.searches.ranked(
                room.room_id,
                call.user_id,
                query,
                channel_id=channel_id,
                ranking=Ranking(*place or ()),
                limit=limit,
                seconds=seconds,
                deadline_seconds=self.deadline_seconds,
                now_ms=call.now_ms,
            )
        else:
            found = await self.searches.newest(
                room.room_id,
                call.user_id,
                query,
                channel_id=channel_id,
                before=place[0] if place else ids.ID_MAX,
                limit=limit,
                seconds=seconds,
                deadline_seconds=self.deadline_seconds,
                now_ms=call.now_ms,
            )
        answer: SearchView = {
            "messages": talk.messages(room.room_id, found.messages),
            "snippets": list(map(views.snippet, found.messages, found.snippets)),
            "users": await self.people.of(message.user_id for message in found.messages),
            "next_cursor": None if found.next_place is None else cursors.write(*found.next_place),
            "is_cut": found.is_cut,
        }
        return Reply(answer)

    async def _named(self, names: Iterable[str]) -> dict[str, UserId]:
        """Return the users of these names, as far as there are any; a search has at most `queries.TERMS_MAX`."""
        found: dict[str, UserId] = {}
        if not names:
            return found
        async with self.directory.database.read() as reader:
            for name in names:
                try:
                    found[name] = (await users.find_by_username(reader, name)).id
                except UserNotFoundError:
                    continue  # it may be a role, or wrong: the room says so to its members
        return found
