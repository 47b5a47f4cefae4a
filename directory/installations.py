"""Installations: the prefixes of object storage that this directory belongs to.

The newest is its own. A copy of the data folder begins a new one and only reads from those before, because the original
still needs what is there.
"""

import secrets
from dataclasses import dataclass

from directory.database import Reader, Writer


@dataclass(frozen=True, slots=True)
class Installation:
    """The own prefix, the number of its last claim, and the former prefixes, the newest first."""

    prefix: str
    claim: int
    former: tuple[str, ...]


async def find(reader: Reader) -> Installation | None:
    """Return the installation; None before the first start."""
    rows = await reader.fetch_all("SELECT prefix, claim FROM installations ORDER BY number DESC")
    return Installation(rows[0][0], rows[0][1], tuple(row[0] for row in rows[1:])) if rows else None


async def begin(writer: Writer, *, now_ms: int) -> Installation:
    """Begin a new prefix; the present one becomes a former one."""
    await writer.execute(
        "INSERT INTO installations (prefix, created_at) VALUES (?, ?)", (f"i-{secrets.token_hex(8)}", now_ms)
    )
    found = await find(writer)
    assert found is not None
    return found


async def adopt(writer: Writer, prefix: str, *, claim: int) -> Installation:
    """Make a former prefix the own one, claimed up to a number."""
    await writer.execute(
        "UPDATE installations SET number = (SELECT max(number) + 1 FROM installations), claim = ? WHERE prefix = ?",
        (claim, prefix),
    )
    found = await find(writer)
    assert found is not None
    return found


async def note_claim(writer: Writer, prefix: str, claim: int) -> None:
    """Note the number of a claim before it is made: a crash then leaves a number too high, never one too low."""
    await writer.execute("UPDATE installations SET claim = ? WHERE prefix = ?", (claim, prefix))
