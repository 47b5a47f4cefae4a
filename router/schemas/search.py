"""Schemas of search: the query, the messages found, and their snippets."""

from datetime import tzinfo
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import StringConstraints
from typing_extensions import TypedDict

from router.schemas import pages, time_zones
from router.schemas.fields import NO_NUL, Bounds, Id, PageQuery
from router.schemas.messages import MessageView
from router.schemas.people import UserView
from router.schemas.time_zones import TimeZone
from shard.actions.search import Newest, Ranking
from shard.rows import Message
from shard.search import query
from shard.search.query import TEXT_LENGTH_MAX, Query
from shard.search.snippets import Snippet


class SearchQuery(PageQuery):
    """Search query: words (all must occur), "phrases", prefixes*, operators such as from:me, and -exclusions; newest or
    most relevant first."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LENGTH_MAX), NO_NUL]
    channel_id: Id | None = None
    sort: Literal["time", "relevance"] = "time"
    time_zone: TimeZone | None = None

    @cached_property
    def parsed(self) -> Query:
        """Words, phrases and operators of the query; raises BadSearchError."""
        return query.parse(self.q)

    @property
    def zone(self) -> tzinfo | None:
        """Time zone of the dates in the query, None for that of the caller's account."""
        return None if self.time_zone is None else time_zones.find(self.time_zone)

    @cached_property
    def place(self) -> Newest | Ranking:
        """Order of the results, and the position of the cursor in it; raises InvalidError for a foreign cursor."""
        order = Ranking if self.sort == "relevance" else Newest
        return order(*pages.read(self.cursor, len(order._fields)) or ())

    def within(self, bounds: Bounds) -> Self:
        """Return it as `PageQuery` does; raises BadSearchError for a query that cannot be searched for too."""
        self.parsed  # noqa: B018 - raises for an invalid query
        return super().within(bounds)


class SnippetView(TypedDict):
    """Excerpt of a found message, up to 200 characters and … where it was cut; `matches` are [start, length] in
    characters (code points) of `text`."""

    message_id: str
    text: str
    matches: list[list[int]]


class SearchView(TypedDict):
    """Messages found, each with its snippet, and the users who wrote them. `next_cursor` is null on the last page.

    `is_cut` means that the deadline ended the search early; `next_cursor` continues it. `ignored` are the parts of the
    query that cannot be searched for, such as `&`.
    """

    messages: list[MessageView]
    snippets: list[SnippetView]
    users: list[UserView]
    next_cursor: str | None
    is_cut: bool
    ignored: list[str]


def snippet(message: Message, piece: Snippet) -> SnippetView:
    """Render the excerpt of a found message."""
    return {
        "message_id": str(message.id),
        "text": piece.text,
        "matches": [[start, length] for start, length in piece.matches],
    }
