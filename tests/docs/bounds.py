"""The table of bounds in docs/architecture.md, made of the constants' own docstrings; `make docs` writes it.

A bound is a number with a public name and a docstring, at the top of a shipped module.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeGuard

from tests import house_sources
from tests.house_imports import SHIPPED

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN: Final = "<!-- bounds: written by `make docs` -->\n"
END: Final = "<!-- end of bounds -->\n"
HEAD: Final = "| bound | value | where | meaning |\n|---|---|---|---|\n"

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_BOUND = re.compile(r"(?:^|_)(?:MAX|MIN|SECONDS|MS|BYTES|CHARS|DAYS|HOURS|PERCENT|KIB|AT_ONCE|PAGE)(?:$|_)")
_UNIT = re.compile(r"(?:MINUTE|HOUR|DAY)_MS")


class Bound(NamedTuple):
    """A named number of a module, and its docstring on one line; None without one."""

    path: str
    name: str
    value: str
    meaning: str | None


def bounds(root: Path) -> Iterator[Bound]:
    """Yield the named numbers of shipped modules, in the order of their files."""
    for source in house_sources.read(root):
        if source.package not in SHIPPED:
            continue
        for node, following in zip(source.tree.body, [*source.tree.body[1:], None], strict=True):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and _NAME.fullmatch(target.id) and _is_number(value):
                yield Bound(source.path, target.id, ast.unparse(value), _docstring(following))


def _is_number(node: ast.expr | None) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _docstring(node: ast.stmt | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return None


def untold(root: Path) -> list[str]:
    """Return the numbers without a docstring whose names are those of bounds: `PAGE_MAX`, `RETRY_MS`, `CODE_BYTES`."""
    return [
        f"{bound.path}: {bound.name}"
        for bound in bounds(root)
        if bound.meaning is None and _BOUND.search(bound.name) and not _UNIT.fullmatch(bound.name)
    ]


def table(root: Path) -> str:
    """Return the table of all bounds, as the page has it."""
    rows = (bound for bound in bounds(root) if bound.meaning is not None)
    return HEAD + "".join(f"| `{row.name}` | {row.value} | `{row.path}` | {_cell(row)} |\n" for row in rows)


def _cell(row: Bound) -> str:
    return (row.meaning or "").removesuffix(".").replace("|", "\\|")


def with_table(page: str, written: str) -> str:
    """Return the page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + written + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table(ROOT)), encoding="utf-8")
