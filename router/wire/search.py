"""Searching."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from router.wire.fields import NO_NUL, Id, PageQuery
from shard.queries import TEXT_LENGTH_MAX


class SearchQuery(PageQuery):
    """Words (all must occur), "phrases", beginnings*, operators such as from:me, and -not; newest or best first."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LENGTH_MAX), NO_NUL]
    channel_id: Id | None = None
    sort: Literal["time", "relevance"] = "time"
