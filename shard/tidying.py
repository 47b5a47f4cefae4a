"""Small acts that keep a shard's file tidy, each a few milliseconds of the room's writer; who calls them paces them.

They change nothing that anybody said: the planner's figures, where pages stand in the file, how the search index is
cut into segments, and how long the log is.
"""

import time
from typing import Final, NamedTuple

from shard.connections import Reader, Writer

ANALYSIS_ROWS: Final = 400
"""Rows of an index that the planner's figures are drawn from (sqlite.org recommends 100 to 1000): some milliseconds,
however large the shard."""
ANALYZE_ALL: Final = 0x10002
"""PRAGMA optimize for a connection that has not lived long: look at every table, and analyze those that need it."""

ANALYZED_ROWS_MIN: Final = 10_000
"""Rows of a table from which on its figures are kept; what has fewer is found in no time in any order."""
_FIGURES: Final = "SELECT name FROM sqlite_schema WHERE name IN ('sqlite_stat1', 'sqlite_stat4') ORDER BY name DESC"
"""Those that say which tables are small stand last: they go last."""
_SMALL: Final = "(SELECT tbl FROM sqlite_stat1 GROUP BY tbl HAVING max(CAST(stat AS INTEGER)) < ?)"


class Step(NamedTuple):
    """What a step did: `left` is what is still to do, in its own units, and `seconds` how long it held the writer."""

    left: int
    seconds: float


def optimize(writer: Writer) -> Step:
    """Bring the planner's figures up to date, where tables grew or shrank much since they were drawn.

    Figures of small tables are not kept. The planner takes them for good: from a room of one member it concludes to
    read all members rather than to use an index, and it would go on so when there are thousands. Without figures it
    does what the tests of its plans have seen.
    """
    began = time.perf_counter()
    writer.all(f"PRAGMA analysis_limit = {ANALYSIS_ROWS}")
    writer.all(f"PRAGMA optimize = {ANALYZE_ALL}")
    # There are none in a room so small that nothing was ever worth it.
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


def give_back(writer: Writer, pages: int) -> Step:
    """Give free pages back to the file system, at most so many; `left` is how many are free still.

    What moved is moved on into the database at once: left to the log until that is long, some message would wait for
    all of it.
    """
    began = time.perf_counter()
    writer.checkpoint = "moved"
    # Each page is a row of no columns, so the statement is only done when all were asked for.
    writer.all(f"PRAGMA incremental_vacuum({int(pages)})")
    return Step(free_pages(writer), time.perf_counter() - began)


def merge_index(writer: Writer, pages: int, *, begin: bool) -> Step:
    """Merge segments of the search index into one, writing about so many pages (sqlite.org/fts5.html, 6.8); `left` is 0
    when there is nothing more to merge. With `begin` all segments are told to become one; without, that goes on."""
    began = time.perf_counter()
    writer.checkpoint = "moved"
    before = writer.changed_in_all()
    writer.run("INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?)", (-pages if begin else pages,))
    # What wrote nothing but its own row has nothing to merge.
    return Step(int(writer.changed_in_all() - before >= 2), time.perf_counter() - began)


def settle_log(writer: Writer) -> None:
    """Have the log moved into the database and cut to nothing after this commit, unless somebody still reads in it."""
    writer.checkpoint = "cut"


class Table(NamedTuple):
    """What a table takes with its indexes, in bytes of pages; `unused_bytes` of them are empty."""

    name: str
    size_bytes: int
    unused_bytes: int


def tables(reader: Reader) -> list[Table]:
    """Return the bytes of each table, the largest first; reads every page of the shard."""
    # A row for each page, and not dbstat's own sums: in the making of these nothing could stop it.
    rows = reader.all(
        "SELECT coalesce(s.tbl_name, d.name), sum(d.pgsize), sum(d.unused) FROM dbstat d "
        "LEFT JOIN sqlite_schema s ON s.name = d.name GROUP BY 1 ORDER BY 2 DESC"
    )
    return [Table(*row) for row in rows]
