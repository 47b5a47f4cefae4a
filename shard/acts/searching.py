"""Searching what one may read."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

import ids
from ids import ChannelId, MessageId, UserId
from shard import access, filters, search, snippets
from shard.connections import Reader
from shard.messages import MESSAGE_COLUMNS
from shard.queries import Query
from shard.rows import Message
from shard.snippets import Snippet

RANKED_MAX = 1_000
"""The newest matches that are ranked: all of them are looked at, so this bounds the time and what is held in memory."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A place in the ranking of the hits with ids from `since` to below `until`: so many of them were shown.

    `is_cut` is whether there were older ones than could be ranked, 1 or 0.
    """

    since: int = 0
    until: int = ids.ID_MAX
    shown: int = 0
    is_cut: int = 0


@dataclass(frozen=True, slots=True)
class Results:
    """Found messages, each with the piece of it that shows why. `next_place` is where to go on, None at the end.

    `is_cut` says that time, or what is ranked, ended before the history did.
    """

    messages: list[Message]
    snippets: list[Snippet]
    next_place: tuple[int, ...] | None
    is_cut: bool


def search_messages(
    reader: Reader,
    user_id: UserId,
    query: Query,
    *,
    channel_id: ChannelId | None = None,
    before: int = ids.ID_MAX,
    limit: int,
    seconds: float,
    now_ms: int,
) -> Results:
    """Return the newest messages below the id `before` that match and that the member may read, found in so many
    seconds.

    Raises NotFoundError for a channel or thread that they do not see, ForbiddenError for one whose history is not
    theirs, BadSearchError for a name that nobody has.
    """
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    sieve = filters.sieve(reader, sight, query, channel_id)
    found = search.find(reader, sieve, query, before=before, limit=limit, seconds=seconds)
    place = None if found.next_before is None else (found.next_before,)
    return _results(reader, found.hits, place, is_cut=found.is_cut)


def rank_messages(
    reader: Reader,
    user_id: UserId,
    query: Query,
    *,
    channel_id: ChannelId | None = None,
    ranking: Ranking,
    limit: int,
    seconds: float,
    now_ms: int,
) -> Results:
    """Return what `search_messages` finds, the most relevant of the newest RANKED_MAX first; raises the same."""
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    sieve = filters.sieve(reader, sight, query, channel_id).from_id(ranking.since)
    found = search.find(reader, sieve, query, before=ranking.until, limit=RANKED_MAX, seconds=seconds)
    is_cut = bool(ranking.is_cut) or found.next_before is not None
    begin = max(0, ranking.shown)
    page = search.ranked(found.hits)[begin : begin + limit]
    place = None
    if begin + limit < len(found.hits):
        place = (found.hits[-1].id, found.hits[0].id + 1, begin + limit, int(is_cut))
    return _results(reader, page, place, is_cut=is_cut)


def _results(reader: Reader, hits: list[search.Hit], place: tuple[int, ...] | None, *, is_cut: bool) -> Results:
    messages = _messages(reader, (hit.id for hit in hits))
    cut = [snippets.cut(hit.content, hit.places) for hit in hits]
    return Results([messages[hit.id] for hit in hits], cut, place, is_cut)


def _messages(reader: Reader, message_ids: Iterable[MessageId]) -> dict[MessageId, Message]:
    rows = reader.all(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
        (orjson.dumps(list(message_ids)).decode(),),
    )
    return {row[0]: Message._make(row) for row in rows}
