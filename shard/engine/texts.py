"""Texts that are no UTF-8 any more: SQLite stores bytes, and a flipped bit in a text breaks nothing of its own."""

from collections.abc import Sequence
from typing import Final

from shard.engine.connections import Reader

CHUNK_ROWS: Final = 500
"""Rows whose texts are decoded at once: a table of a million takes a second, and few calls."""


def tables(reader: Reader) -> dict[str, list[str]]:
    """Return the tables with texts, with the names of these columns; the tables of the search index have none."""
    rows = reader.all(
        "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c "
        "WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite~_%' ESCAPE '~' "
        "AND c.type = 'TEXT' AND c.hidden = 0 ORDER BY t.name, c.cid"
    )
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def count_undecodable(reader: Reader, table: str, columns: Sequence[str]) -> int:
    """Count the rows of a table that have a text which is no UTF-8."""
    joined = " || char(10) || ".join(f"coalesce({column}, '')" for column in columns)
    count = 0
    for rows in reader.chunks(f"SELECT CAST({joined} AS BLOB) FROM {table}", CHUNK_ROWS):  # noqa: S608
        if not is_text(b"\n".join(row[0] for row in rows)):
            count += sum(not is_text(row[0]) for row in rows)
    return count


def is_text(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
