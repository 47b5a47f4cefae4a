"""The word index of a shard: the version in which its words are folded, and how far it reaches back.

A room names the version in which the application folds its words. When a new release folds otherwise, the index is
emptied at the next open, and messages are indexed again in the background, newest first. Until then a search reads the
older messages without the index.
"""

import time
from typing import Any, Final, NamedTuple

import word_forms
from shard.engine.connections import Reader, Writer
from shard.text import tokens

ROWS_MAX: Final = 2_000
"""Messages that one step indexes at most."""


class Step(NamedTuple):
    """Result of a step: `left` is the id up to which messages wait, 0 when none do; `seconds` is how long it took."""

    left: int
    seconds: float


def is_outdated(reader: Reader) -> bool:
    """Tell whether the index has words as another release folded them."""
    row = reader.one("SELECT folding FROM room")
    return row is not None and row[0] != word_forms.VERSION


def unindexed_until(reader: Reader) -> int:
    """Return the id up to which not all messages are in the index, 0 when all are."""
    row = reader.one("SELECT unindexed_until FROM room")
    return 0 if row is None else int(row[0])


def adopt(writer: Writer) -> None:
    """Name the present version as that of all words in the index."""
    writer.run("UPDATE room SET folding = ?", (word_forms.VERSION,))


def renew(writer: Writer) -> None:
    """Empty the index, and begin it in the present version."""
    writer.run("INSERT INTO messages_fts (messages_fts) VALUES ('delete-all')")
    writer.run("UPDATE room SET unindexed_until = coalesce((SELECT max(id) FROM messages), 0)")
    adopt(writer)


def index_older(writer: Writer, limit: int) -> Step:
    """Index the newest messages that wait, at most so many."""
    began = time.perf_counter()
    until = unindexed_until(writer)
    rows = writer.all(
        "SELECT id, content, search_text, is_deleted FROM messages WHERE id <= ? ORDER BY id DESC LIMIT ?",
        (until, min(limit, ROWS_MAX)),
    )
    # A message whose words were written anew since is in the index already, with these very words.
    for message_id, words in filter(None, map(_refolded, rows)):
        writer.run("UPDATE messages SET search_text = ? WHERE id = ?", (words, message_id))
    left = rows[-1][0] - 1 if len(rows) == min(limit, ROWS_MAX) else 0
    writer.run(_INDEX, (left, until))
    writer.run("UPDATE room SET unindexed_until = ?", (left,))
    return Step(left, time.perf_counter() - began)


def _refolded(row: tuple[Any, ...]) -> tuple[int, str | None] | None:
    message_id, content, search_text, is_deleted = row
    words = None if is_deleted else tokens.to_index(content)
    return None if words == search_text else (message_id, words)


_INDEX: Final = (
    "INSERT INTO messages_fts (rowid, words) SELECT id, coalesce(search_text, content) FROM messages "
    "WHERE id > ? AND id <= ? AND is_deleted = 0 "
    "AND NOT EXISTS (SELECT 1 FROM messages_fts_docsize d WHERE d.id = messages.id)"
)
