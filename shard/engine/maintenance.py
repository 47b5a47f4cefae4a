"""Maintenance of a shard's file in small steps, each a few milliseconds of the room's writer; the caller paces them.

No message changes: only the statistics of the planner, the places of pages in the file, the segments of the search
index, and the length of the log.
"""

import time
from typing import Final, NamedTuple

from shard.engine.connections import Checkpoint, Reader, Writer

ANALYSIS_ROWS: Final = 400
"""Rows of an index from which the planner's statistics are estimated (sqlite.org recommends 100 to 1000): some
milliseconds, however large the shard."""
ANALYZE_ALL: Final = 0x10002
"""PRAGMA optimize for a young connection: check every table, and analyze those that need it."""

ANALYZED_ROWS_MIN: Final = 10_000
"""Rows of a table from which on its statistics are kept; a smaller table is read fast in any order."""
_FIGURES: Final = "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4') ORDER BY name DESC"
"""The tables of statistics; the one that shows which tables are small comes last."""
_SMALL: Final = "(SELECT tbl FROM sqlite_stat1 GROUP BY tbl HAVING max(CAST(stat AS INTEGER)) < ?)"


class Step(NamedTuple):
    """Result of a step: `left` is the remaining work, in the step's units; `seconds` is how long it held the writer."""

    left: int
    seconds: float


def optimize(writer: Writer) -> Step:
    """Update the planner's statistics of tables that grew or shrank much since the last time.

    Statistics of small tables are not kept. The planner never questions them: from a room of one member it concludes to
    read all members rather than to use an index, and would still do so when there are thousands. Without statistics
    it chooses the plans that the tests check.
    """
    began = time.perf_counter()
    writer.use_reserve()
    writer.all(f"PRAGMA analysis_limit = {ANALYSIS_ROWS}")
    writer.all(f"PRAGMA optimize = {ANALYZE_ALL}")
    # The tables do not exist in a room that was always too small for statistics.
    for (name,) in writer.all(_FIGURES):
        writer.run(f"DELETE FROM {name} WHERE tbl IN {_SMALL}", (ANALYZED_ROWS_MIN,))  # noqa: S608
        writer.all("ANALYZE sqlite_schema")
    return Step(0, time.perf_counter() - began)


def free_pages(reader: Reader) -> int:
    """Return how many pages of the file are free."""
    row = reader.one("PRAGMA freelist_count")
    return 0 if row is None else int(row[0])


def file_pages(reader: Reader) -> int:
    """Return how many pages the file has."""
    row = reader.one("PRAGMA page_count")
    return 0 if row is None else int(row[0])


def used_bytes(reader: Reader) -> int:
    """Return how many bytes of the file are in use."""
    row = reader.one("PRAGMA page_size")
    assert row is not None
    return (file_pages(reader) - free_pages(reader)) * int(row[0])


def give_back(writer: Writer, pages: int, *, checkpoint: Checkpoint | None = "moved") -> Step:
    """Give free pages back to the file system, at most so many; `left` is how many are still free.

    The moved pages are written into the database at once: if they stayed in the log until it is long, some message
    would wait for all of them. With `checkpoint` None they stay in the log.
    """
    began = time.perf_counter()
    writer.use_reserve()
    writer.checkpoint = checkpoint
    # Each page is a row of no columns, so the statement is only done when all were asked for.
    writer.all(f"PRAGMA incremental_vacuum({int(pages)})")
    return Step(free_pages(writer), time.perf_counter() - began)


def merge_index(writer: Writer, pages: int, *, begin: bool, checkpoint: Checkpoint | None = "moved") -> Step:
    """Merge segments of the search index into one, writing about so many pages (sqlite.org/fts5.html, 6.8); `left` is 0
    when there is nothing more to merge. `begin` starts a merge of all segments; without it, that merge continues."""
    began = time.perf_counter()
    writer.use_reserve()
    writer.checkpoint = checkpoint
    before = writer.changed_in_all()
    writer.run("INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?)", (-pages if begin else pages,))
    # A merge that wrote no row but its own has nothing left to merge.
    return Step(int(writer.changed_in_all() - before >= 2), time.perf_counter() - began)


def settle_log(writer: Writer) -> None:
    """Ask for the log to be moved into the database and cut to nothing after this commit, unless a reader needs it."""
    writer.checkpoint = "cut"


class Table(NamedTuple):
    """The size of a table with its indexes, in bytes of pages; `unused_bytes` of them are empty."""

    name: str
    size_bytes: int
    unused_bytes: int


def tables(reader: Reader) -> list[Table]:
    """Return the bytes of each table, the largest first; reads every page of the shard."""
    # One row for each page instead of dbstat's own sums: a deadline cannot interrupt those.
    rows = reader.all(
        "SELECT coalesce(s.tbl_name, d.name), sum(d.pgsize), sum(d.unused) FROM dbstat d "
        "LEFT JOIN sqlite_schema s ON s.name = d.name GROUP BY 1 ORDER BY 2 DESC"
    )
    return [Table(*row) for row in rows]
