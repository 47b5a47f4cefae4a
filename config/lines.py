"""Line numbers of the keys in a TOML file, which tomllib does not give.

Good enough for messages; values are never read this way.
"""

import re
from itertools import count

Location = tuple[str | int, ...]

KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')"
DOTTED = rf"({KEY}(?:\s*\.\s*{KEY})*)"
HEADER = re.compile(rf"\s*(\[\[?)\s*{DOTTED}\s*\]\]?\s*(?:#.*)?")
PAIR = re.compile(rf"\s*{DOTTED}\s*=")


def locate(text: str) -> dict[Location, int]:
    """Return the line, counted from 1, of every table and key that begins a line."""
    found: dict[Location, int] = {}
    last: dict[Location, int] = {}
    table: Location = ()
    fence = ""
    for line, number in zip(text.split("\n"), count(1), strict=False):
        if fence:
            fence = "" if line.count(fence) % 2 else fence
        elif header := HEADER.fullmatch(line):
            table = _table(_parts(header[2]), last, is_array=header[1] == "[[")
            found.setdefault(table, number)
            if isinstance(table[-1], int):
                found.setdefault(table[:-1], number)
        elif pair := PAIR.match(line):
            found[table + _parts(pair[1])] = number
            fence = next((mark for mark in ('"""', "'''") if line.count(mark) % 2), "")
    return found


def line_of(location: Location, lines: dict[Location, int]) -> int | None:
    """Return the line of a key, or of the innermost table around it that has one."""
    return next((lines[location[:end]] for end in range(len(location), 0, -1) if location[:end] in lines), None)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(KEY, dotted))


def _table(parts: tuple[str, ...], last: dict[Location, int], *, is_array: bool) -> Location:
    """Return the location of a header; a name inside an array of tables means the array's last element so far."""
    at: Location = ()
    for part in parts:
        at = (*_inside(at, last), part)
    if is_array:
        last[at] = last.get(at, -1) + 1
    return _inside(at, last)


def _inside(at: Location, last: dict[Location, int]) -> Location:
    return (*at, last[at]) if at in last else at
