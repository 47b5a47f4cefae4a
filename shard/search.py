"""Finds messages by their words.

A search text is parsed here into terms and rebuilt as quoted FTS5 strings, so nothing a person types is ever FTS5
syntax. Bounds: TERMS_MAX terms, TEXT_LENGTH_MAX characters, and the deadline of the read.
"""

import re
from dataclasses import dataclass

import ids
from ids import ChannelId, MessageId
from shard import permissions, words
from shard.access import Sight
from shard.connections import Reader
from shard.errors import BadSearchError
from shard.messages import MESSAGE_COLUMNS
from shard.rows import Message

TERMS_MAX = 16
TEXT_LENGTH_MAX = 500

_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search text in FTS5's terms."""

    match: str


def parse(text: str) -> SearchQuery:
    """Read a search text: words (all must occur), "exact phrases", beginnings* and -not.

    Raises BadSearchError when nothing positive is left to search for, or when a bound is passed.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise BadSearchError(f"A search has at most {TEXT_LENGTH_MAX} characters.")
    wanted: list[str] = []
    unwanted: list[str] = []
    for minus, phrase, word in _TERM.findall(text.replace("\0", " ")):
        term = _quoted(phrase or word, may_be_prefix=not phrase)
        if term is not None:
            (unwanted if minus else wanted).append(term)
    if not wanted:
        raise BadSearchError('Search for at least one word, a "phrase" or the beginning of a word followed by *.')
    if len(wanted) + len(unwanted) > TERMS_MAX:
        raise BadSearchError(f"A search has at most {TERMS_MAX} words and phrases.")
    match = " AND ".join(wanted)
    if unwanted:
        match = f"({match}) NOT ({' OR '.join(unwanted)})"
    return SearchQuery(match)


def _quoted(term: str, *, may_be_prefix: bool) -> str | None:
    """Return a term as an FTS5 string, or None when it has no letter or digit to look for."""
    is_prefix = (may_be_prefix and term.endswith("*")) or words.ends_single(term)
    cleaned = words.to_find(term.rstrip("*") if may_be_prefix else term).replace('"', " ")
    if not any(character.isalnum() for character in cleaned):
        return None
    return f'"{cleaned}"*' if is_prefix else f'"{cleaned}"'


def find(
    reader: Reader,
    sight: Sight,
    query: SearchQuery,
    *,
    channel_id: ChannelId | None = None,
    before: MessageId | None = None,
    limit: int = 50,
) -> list[Message]:
    """Return matching messages of the channels whose history the member may read, newest first."""
    channels = sight.where(permissions.READ_HISTORY)
    if channel_id is not None:
        channels = [channel for channel in channels if channel == channel_id]
    marks = ", ".join("?" * len(channels))
    rows = reader.all(
        f"SELECT {MESSAGE_COLUMNS} FROM messages_fts f JOIN messages ON id = f.rowid "  # noqa: S608
        f"WHERE messages_fts MATCH ? AND f.rowid < ? AND channel_id IN ({marks}) AND is_deleted = 0 "
        "ORDER BY f.rowid DESC LIMIT ?",
        (query.match, ids.ID_MAX if before is None else before, *channels, limit),
    )
    return [Message._make(row) for row in rows]
