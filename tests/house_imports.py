"""The rules of the house about who imports what: layers, cycles, lazy imports, homes of libraries, dead files."""

import ast
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.house_sources import Finding, Source, imports, modules

LEAVES: Final = frozenset({"ids", "sqlite"})
SHIPPED: Final = LEAVES | {"config", "directory", "migrations", "monitor", "objects", "rookery", "router", "shard"}
MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "ids": frozenset(),
    "sqlite": frozenset(),
    "config": LEAVES,
    "objects": LEAVES,
    "migrations": LEAVES,
    "directory": LEAVES | {"migrations"},
    "shard": LEAVES | {"migrations", "objects"},
    "router": LEAVES | {"directory", "shard", "objects", "config"},
    "monitor": LEAVES | {"directory", "shard", "objects", "config", "migrations"},
    "rookery": SHIPPED,
    "bench": SHIPPED,
    "tests": SHIPPED | {"bench"},
}
"""Who may import whom, beside itself: docs/architecture.md."""

HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "starlette": ("router/", "rookery/"),
    "uvicorn": ("router/", "rookery/"),
    "websockets": ("router/", "rookery/"),
    "boto3": ("objects/s3.py",),
    "botocore": ("objects/s3.py",),
    "aiosqlite": ("directory/",),
    "apsw": ("sqlite.py", "directory/", "shard/", "migrations/"),
}
"""The only shipped code that sees a library. Tests and bench may use what they examine."""

ENTRY_POINTS: Final = frozenset({"rookery.cli"})


def layers(tree: Sequence[Source]) -> Iterator[Finding]:
    """Packages import only those that MAY_IMPORT names."""
    known = modules(tree)
    for source in tree:
        if source.package not in MAY_IMPORT:
            yield Finding(source.path, 1, "nobody knows this package; give it a line in MAY_IMPORT and in the docs")
            continue
        allowed = MAY_IMPORT[source.package] | {source.package}
        for found in imports(source, known):
            package = found.module.partition(".")[0]
            if package in MAY_IMPORT and package not in allowed:
                remedy = "pass in what it needs from whoever may know both"
                if package == "config":
                    remedy = "take plain values, not settings"
                yield Finding(source.path, found.line, f"{source.package} may not import {package}; {remedy}")


def cycles(tree: Sequence[Source]) -> Iterator[Finding]:
    """No module reaches itself by imports, type-only ones included."""
    known = modules(tree)
    lines = {
        (source.module, found.module): (source.path, found.line) for source in tree for found in imports(source, known)
    }
    graph: dict[str, set[str]] = {module: set() for module in known}
    for importer, imported in lines:
        if imported in known and imported != importer:
            graph[importer].add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        path, line = lines[circle[0], circle[1]]
        yield Finding(path, line, f"import cycle {' -> '.join(circle)}; move what both need into a third module")


def lazy_imports(tree: Sequence[Source]) -> Iterator[Finding]:
    """Imports stand at the top of the file, where a reader and the other rules see them."""
    for source in tree:
        for found in imports(source, frozenset()):
            if found.is_nested:
                yield Finding(source.path, found.line, f"lazy import of {found.module}; import it at the top")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "__import__",
                "import_module",
                "importlib.import_module",
            }:
                yield Finding(source.path, node.lineno, "import by a computed name; write an import statement")


def library_homes(tree: Sequence[Source]) -> Iterator[Finding]:
    """A library with a home is imported nowhere else in shipped code."""
    for source in tree:
        if source.package not in SHIPPED:
            continue
        for found in imports(source, frozenset()):
            library = found.module.partition(".")[0]
            if library in HOMES and not source.path.startswith(HOMES[library]):
                homes = ", ".join(HOMES[library])
                yield Finding(source.path, found.line, f"{library} is for {homes} only; call what they offer")


def dead_files(tree: Sequence[Source]) -> Iterator[Finding]:
    """Every module is an entry point or imported; what only tests import is dead to those who run it."""
    known = modules(tree)
    users: dict[str, set[bool]] = {}
    for source in tree:
        for found in imports(source, known):
            if found.module != source.module:
                users.setdefault(found.module, set()).add(source.package in SHIPPED)
    for source in tree:
        is_shipped = source.package in SHIPPED
        alive = True in users.get(source.module, ()) if is_shipped else source.module in users
        if not alive and not _is_entry(source):
            yield Finding(source.path, 1, "nothing that runs imports this file; use it or remove it")


def _is_entry(source: Source) -> bool:
    is_test = source.package == "tests" and (source.stem.startswith("test_") or source.stem == "conftest")
    is_program = source.module in ENTRY_POINTS or any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'" for node in source.tree.body
    )
    return is_test or is_program or source.stem in {"__init__", "__main__"}
