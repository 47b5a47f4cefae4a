"""Search of the messages that a member may read, in the shard and in segments."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import orjson

import ids
import word_forms
from ids import ChannelId, MessageId, UserId
from shard import access
from shard.archive import bloom, manifest
from shard.archive.manifest import Segment
from shard.engine.connections import Reader
from shard.rows import Message
from shard.search import filters, match, snippets
from shard.search.filters import Sieve
from shard.search.query import Query
from shard.search.snippets import Snippet
from shard.search.terms import Pattern
from shard.tables import messages

RANKED_MAX = 1_000
"""The newest matches that are ranked: all of them are examined, so this bounds the time and what is held in memory.

Older ones are cut.
"""


class Newest(NamedTuple):
    """A position among the hits ordered by time, the newest first: the page begins with ids below `before`."""

    before: int = ids.ID_MAX


class Ranking(NamedTuple):
    """A position in the ranking of the hits with ids from `since` to below `until`: the number of hits shown so far.

    `is_cut` is 1 if there were older hits than could be ranked, else 0.
    """

    since: int = 0
    until: int = ids.ID_MAX
    shown: int = 0
    is_cut: int = 0


Place = Newest | Ranking
"""The order of the hits, and the position in it where a page begins."""
BEGINNING: Final = Newest()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A request for one page of a search, in a channel or with None in the room.

    After `seconds` the result has the hits found so far; after `deadline_seconds` the shard is interrupted.
    """

    query: Query
    channel_id: ChannelId | None = None
    place: Place = BEGINNING
    limit: int
    seconds: float
    deadline_seconds: float

    @property
    def since(self) -> int:
        """The lowest id that is searched."""
        return self.place.since if isinstance(self.place, Ranking) else 0

    @property
    def before(self) -> int:
        """The id below which hits are searched."""
        return self.place.until if isinstance(self.place, Ranking) else self.place.before

    @property
    def hits_max(self) -> int:
        """The number of hits that the page needs: a ranking needs all of them."""
        return RANKED_MAX if isinstance(self.place, Ranking) else self.limit


@dataclass(frozen=True, slots=True)
class Results:
    """A page of found messages, each with a snippet. `next_place` is the cursor of the next page, None at the end.

    `is_cut` is whether the time or RANKED_MAX ended the search before the end of the history.
    """

    messages: list[Message]
    snippets: list[Snippet]
    next_place: Place | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Hits of one source with their messages, newest first; further ones are below `next_before`, None at the end."""

    hits: list[match.Hit]
    messages: dict[MessageId, Message]
    next_before: int | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Begun:
    """The first step of a search: the hits of the shard, and the segments that may have more, newest first.

    `goes_on` is whether there may be more segments after the last; `sieve` filters hits in segments by what the member
    may read.
    """

    found: Found
    sieve: Sieve
    segments: list[Segment]
    goes_on: bool


def begin_search(reader: Reader, user_id: UserId, request: SearchRequest, *, now_ms: int) -> Begun:
    """Find the newest matching messages between the ids of a request that the member may read, within its time.

    Raises NotFoundError for a channel or thread that they do not see, ForbiddenError for one whose history
    they may not read, BadSearchError for an unknown name.
    """
    sight = access.open_channels(reader, user_id, now_ms=now_ms)
    sieve = filters.sieve(reader, sight, request.query, request.channel_id).from_id(request.since)
    found = _find(reader, sieve, request, before=request.before, limit=request.hits_max, seconds=request.seconds)
    above = max(sieve.since - 1, 0 if found.next_before is None else found.next_before - 1)
    below = min(request.before, sieve.until)
    channels = [ChannelId(number) for number in orjson.loads(sieve.channels)]
    named = manifest.of_channels(reader, channels, above=above, below=below, newest_first=True)
    return Begun(found, sieve, _worthwhile(reader, named, request.query), manifest.is_full(named))


def _worthwhile(reader: Reader, named: list[Segment], query: Query) -> list[Segment]:
    """Return the segments that may have every wanted word."""
    keys = [bloom.word(word) for term in query.wanted for word in Pattern(term).keys]
    if not named or not keys:
        return named
    kept = manifest.filters(reader, [one.id for one in named])
    # The last one of a full page stays, since the segments after it were not examined.
    last = named[-1] if manifest.is_full(named) else None
    return [
        one
        for one in named
        # A filter of words that were folded otherwise says nothing about these.
        if one is last or one.folding != word_forms.VERSION or bloom.may_have(kept[one.id], keys)
    ]


def search_segment(reader: Reader, segment: Segment, sieve: Sieve, request: SearchRequest, *, seconds: float) -> Found:
    """Find hits in a segment, within a time, that pass the sieve of its shard."""
    unindexed = 0 if segment.folding == word_forms.VERSION else segment.until_id
    own = replace(sieve, channels=orjson.dumps([segment.channel_id]).decode(), unindexed_until=unindexed)
    place, limit = min(request.before, segment.cut_id + 1), request.hits_max + len(segment.hidden)
    found = _find(reader, own, request, before=place, limit=limit, seconds=seconds)
    hits = [hit for hit in found.hits if hit.id not in segment.hidden]
    return replace(found, hits=hits)


def _find(reader: Reader, sieve: Sieve, request: SearchRequest, *, before: int, limit: int, seconds: float) -> Found:
    found = match.find(reader, sieve, request.query, before=before, limit=limit, seconds=seconds)
    there = {message.id: message for message in messages.by_ids(reader, [hit.id for hit in found.hits])}
    return Found(found.hits, there, found.next_before, found.is_cut)


def results(found: Found, request: SearchRequest) -> Results:
    """Return the requested page of all hits, in the order of the request."""
    place: Place | None
    if isinstance(request.place, Ranking):
        page, place, is_cut = _ranked(found, request.place, request.limit)
    else:
        page, is_cut = found.hits, found.is_cut
        place = None if found.next_before is None else Newest(found.next_before)
    cut = [snippets.cut(hit.content, hit.places) for hit in page]
    return Results([found.messages[hit.id] for hit in page], cut, place, is_cut)


def _ranked(found: Found, ranking: Ranking, limit: int) -> tuple[list[match.Hit], Ranking | None, bool]:
    """Return a page of hits, the most relevant first, the cursor of the next, and whether older hits were cut."""
    is_cut = bool(ranking.is_cut) or found.next_before is not None
    end = max(0, ranking.shown) + limit
    place = None
    if end < len(found.hits):
        place = Ranking(found.hits[-1].id, found.hits[0].id + 1, end, int(is_cut))
    return match.ranked(found.hits)[end - limit : end], place, is_cut
