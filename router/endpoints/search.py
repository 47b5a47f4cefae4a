"""Endpoint of search."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

from directory import users
from directory.errors import UserNotFoundError
from ids import ChannelId, UserId
from router.context import AppContext
from router.room_access import Need
from router.routes import Call, Reply, Route
from router.schemas import messages, pages, time_zones
from router.schemas import search as schemas
from router.schemas.fields import Nothing
from router.schemas.search import SearchQuery, SearchView
from router.scopes import Scope
from shard.actions.search import SearchRequest

SEARCH = "/v1/rooms/{room_id}/search"

SHARE = 0.8
"""Share of the deadline after which a search returns the results it has; reading one more chunk and the page takes the
rest."""


@dataclass(frozen=True, slots=True)
class Search:
    """The endpoint and what it needs."""

    context: AppContext

    def routes(self) -> tuple[Route, ...]:
        """Return the route of this part."""
        return (
            Route(
                "GET", SEARCH, self.find, "Search a room", "messages", SearchView, query=SearchQuery, room=Need.READ,
                scope=Scope.MESSAGES_READ,
            ),
        )  # fmt: skip

    async def find(self, call: Call[Nothing, SearchQuery]) -> Reply:
        """Search the messages of the channels that the caller can see, newest first or most relevant first.

        A search that reaches its deadline returns the results so far with `is_cut`; `next_cursor` continues it.
        """
        asked = call.query
        parsed = asked.parsed
        zone = asked.zone or (await self._zone_of(call.user_id) if parsed.has_dates else UTC)
        query = replace(parsed, people=await self._named(parsed.names), zone=zone)
        deadline_seconds = self.context.options.search_deadline_seconds
        request = SearchRequest(
            query=query,
            channel_id=None if asked.channel_id is None else ChannelId(asked.channel_id),
            place=asked.place,
            limit=asked.limit,
            seconds=SHARE * deadline_seconds,
            deadline_seconds=deadline_seconds,
        )
        found = await call.room.ask(self.context.searches.search_room, request)
        answer: SearchView = {
            "messages": messages.messages(call.room_id, found.messages),
            "snippets": list(map(schemas.snippet, found.messages, found.snippets)),
            "users": await self.context.people.of(message.user_id for message in found.messages),
            "next_cursor": None if found.next_place is None else pages.write(*found.next_place),
            "is_cut": found.is_cut,
            "ignored": list(query.ignored),
        }
        return Reply(answer)

    async def _zone_of(self, user_id: UserId) -> tzinfo:
        """Return the time zone of a user's account, UTC for a name that is none."""
        async with self.context.directory.database.read() as reader:
            name = (await users.find(reader, user_id)).timezone
        return time_zones.find(name) or UTC

    async def _named(self, names: Iterable[str]) -> dict[str, UserId]:
        """Return the users with these names; unknown names are left out. A search has at most `queries.TERMS_MAX`."""
        found: dict[str, UserId] = {}
        if not names:
            return found
        async with self.context.directory.database.read() as reader:
            for name in names:
                try:
                    found[name] = (await users.find_named(reader, name)).id
                except UserNotFoundError:
                    continue  # it may name a role, or nothing: the room's shard reports that to members
        return found
