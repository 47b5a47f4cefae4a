"""Searching what one may read."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import orjson

import ids
from ids import ChannelId, MessageId, UserId
from shard import access, filters, search, segment_filters, segments, snippets
from shard.connections import Reader
from shard.filters import Sieve
from shard.messages import MESSAGE_COLUMNS
from shard.queries import Query
from shard.rows import Message
from shard.segments import Segment
from shard.snippets import Snippet
from shard.terms import Pattern, Term

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


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of one source with their messages, newest first; the source goes on below `next_before`, None at its end."""

    hits: list[search.Hit]
    messages: dict[MessageId, Message]
    next_before: int | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """What the shard found, and where else to look: the segments that may have hits, newest first, whether there may be
    more behind the last, and the sieve for what the searcher may find in them."""

    found: Found
    sieve: Sieve
    segments: list[Segment]
    goes_on: bool


def begin_search(
    reader: Reader,
    user_id: UserId,
    query: Query,
    *,
    channel_id: ChannelId | None = None,
    since: int = 0,
    before: int = ids.ID_MAX,
    limit: int,
    seconds: float,
    now_ms: int,
) -> Begun:
    """Find the newest messages below the id `before`, and from `since` on, that match and that the member may read, in
    so many seconds.

    Raises NotFoundError for a channel or thread that they do not see, ForbiddenError for one whose history is not
    theirs, BadSearchError for a name that nobody has.
    """
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    sieve = filters.sieve(reader, sight, query, channel_id).from_id(since)
    found = _find(reader, sieve, query, before=before, limit=limit, seconds=seconds)
    above = max(sieve.since - 1, 0 if found.next_before is None else found.next_before - 1)
    channels = [ChannelId(number) for number in orjson.loads(sieve.channels)]
    named = segments.of_channels(reader, channels, above=above, below=min(before, sieve.until), newest_first=True)
    return Begun(found, sieve, _worthwhile(reader, named, query), segments.is_full(named))


def _worthwhile(reader: Reader, named: list[Segment], query: Query) -> list[Segment]:
    """Return those segments that may have every wanted word."""
    keys = [segment_filters.word(word) for term in query.wanted for word in _whole_words(reader, term)]
    if not named or not keys:
        return named
    kept = segments.filters(reader, [one.id for one in named])
    # The last of a full page stays, since what lies behind it was not looked at.
    last = named[-1] if segments.is_full(named) else None
    return [one for one in named if one is last or segment_filters.may_have(kept[one.id], keys)]


def _whole_words(reader: Reader, term: Term) -> list[str]:
    found = Pattern(reader, term).words
    return found[:-1] if term.is_prefix else found


def search_segment(
    reader: Reader, segment: Segment, sieve: Sieve, query: Query, *, before: int, limit: int, seconds: float
) -> Found:
    """Find in a segment what a sieve of its shard lets pass."""
    own = replace(sieve, channels=orjson.dumps([segment.channel_id]).decode())
    place = min(before, segment.cut_id + 1)
    found = _find(reader, own, query, before=place, limit=limit + len(segment.hidden), seconds=seconds)
    hits = [hit for hit in found.hits if hit.id not in segment.hidden]
    return replace(found, hits=hits)


def _find(reader: Reader, sieve: Sieve, query: Query, *, before: int, limit: int, seconds: float) -> Found:
    found = search.find(reader, sieve, query, before=before, limit=limit, seconds=seconds)
    return Found(found.hits, _messages(reader, (hit.id for hit in found.hits)), found.next_before, found.is_cut)


def results(hits: list[search.Hit], found: Found, place: tuple[int, ...] | None, *, is_cut: bool) -> Results:
    """Return hits as they are told, with their messages, which `found` has."""
    cut = [snippets.cut(hit.content, hit.places) for hit in hits]
    return Results([found.messages[hit.id] for hit in hits], cut, place, is_cut)


def ranked(found: Found, ranking: Ranking, limit: int) -> Results:
    """Return a page of hits, the most relevant first."""
    is_cut = bool(ranking.is_cut) or found.next_before is not None
    begin = max(0, ranking.shown)
    page = search.ranked(found.hits)[begin : begin + limit]
    place = None
    if begin + limit < len(found.hits):
        place = (found.hits[-1].id, found.hits[0].id + 1, begin + limit, int(is_cut))
    return results(page, found, place, is_cut=is_cut)


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
    """Return what `begin_search` finds in the shard alone."""
    asked = begin_search(
        reader, user_id, query, channel_id=channel_id, before=before, limit=limit, seconds=seconds, now_ms=now_ms
    )
    found = asked.found
    return results(found.hits, found, None if found.next_before is None else (found.next_before,), is_cut=found.is_cut)


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
    """Return what `search_messages` finds, the most relevant of the newest RANKED_MAX first."""
    asked = begin_search(
        reader, user_id, query, channel_id=channel_id, since=ranking.since, before=ranking.until, limit=RANKED_MAX,
        seconds=seconds, now_ms=now_ms,
    )  # fmt: skip
    return ranked(asked.found, ranking, limit)


def _messages(reader: Reader, message_ids: Iterable[MessageId]) -> dict[MessageId, Message]:
    rows = reader.all(
        f"SELECT {MESSAGE_COLUMNS} FROM messages WHERE id IN (SELECT value FROM json_each(?))",  # noqa: S608
        (orjson.dumps(list(message_ids)).decode(),),
    )
    return {row[0]: Message._make(row) for row in rows}
