"""The rules of the house about who imports what: layers, cycles, lazy imports, homes of libraries, dead files."""

import ast
import graphlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.house_sources import Finding, Source, imports, modules

LEAVES: Final = frozenset({"ids", "sqlite", "word_forms"})
CENTRAL_STORES: Final = frozenset({"directory", "feeds", "graph", "meeting", "safety"})
SHIPPED: Final = (
    LEAVES
    | CENTRAL_STORES
    | {
        *("config", "database", "imports", "mail", "media", "migrations", "monitor", "objects", "rookery", "router"),
        *("seal", "shard", "web"),
    }
)
"""Packages of the wheel; some of them are still to come (docs/architecture.md)."""

MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = {
    "ids": frozenset(),
    "sqlite": frozenset(),
    "word_forms": frozenset(),
    "web": frozenset(),
    **dict.fromkeys(("imports", "mail", "media", "seal"), frozenset({"ids"})),
    "config": LEAVES,
    "objects": LEAVES,
    "migrations": LEAVES,
    "database": LEAVES | {"migrations"},
    **dict.fromkeys(CENTRAL_STORES, LEAVES | {"database", "migrations", "seal"}),
    "shard": LEAVES | {"migrations", "objects"},
    "router": LEAVES | CENTRAL_STORES | {"database", "shard", "objects", "config"},
    "monitor": LEAVES | CENTRAL_STORES | {"database", "shard", "objects", "config", "migrations"},
    "rookery": SHIPPED,
    "bench": SHIPPED,
    "tests": SHIPPED | {"bench"},
}
"""Who may import whom, beside itself: docs/architecture.md."""

_PLAIN: Final = frozenset({"errors", "event_types", "permissions", "rows", "text"})
_BELOW_TABLES: Final = _PLAIN | {"access", "archive", "engine", "search", "visibility"}
SHARD_ROOMS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_PLAIN, _PLAIN),
    "engine": _PLAIN,
    "access": _PLAIN | {"engine"},
    "visibility": _PLAIN | {"access", "engine"},
    "search": _PLAIN | {"access", "engine"},
    "archive": _PLAIN | {"access", "engine"},
    "tables": _BELOW_TABLES,
    "inspections": _PLAIN | {"engine", "tables"},
    "actions": _BELOW_TABLES | {"tables"},
    "history": _BELOW_TABLES | {"tables", "actions"},
}
"""Folders and modules of the shard, and which others each may import beside itself."""

READS_HISTORY: Final = frozenset({"router", "rookery", "bench", "tests"})
"""Packages beside the shard itself that may import shard/history/."""

SQL_IN_SHARD: Final = (
    "shard/access.py",
    "shard/archive/",
    "shard/engine/",
    "shard/inspections.py",
    "shard/search/",
    "shard/tables/",
    "shard/visibility.py",
)
"""The shard's own code that speaks SQL: neither what a person asks for nor what reads across segments does."""

HOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "starlette": ("router/", "rookery/"),
    "uvicorn": ("router/", "rookery/"),
    "websockets": ("router/", "rookery/"),
    "boto3": ("objects/s3.py",),
    "botocore": ("objects/s3.py",),
    "cronsim": ("config/",),
    "PIL": ("media/",),
    "smtplib": ("mail/", "rookery/server/alert_channels.py"),
    "cryptography": ("seal/",),
    "aiosqlite": ("database/",),
    "apsw": ("sqlite.py", "word_forms.py", "database/", "migrations/", "shard/text/", *SQL_IN_SHARD),
}
"""The only shipped code that sees a library. Tests and bench may use what they examine."""

ENTRY_POINTS: Final = frozenset({"rookery.cli"})
OPTIONAL: Final = "rookery/optional.py"
"""Loads in its functions what only some settings switch on."""


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


def shard_rooms(tree: Sequence[Source]) -> Iterator[Finding]:
    """Folders and modules of the shard import only those that SHARD_ROOMS names; few may read its history."""
    known = modules(tree)
    for source in tree:
        room = _shard_room(source.module)
        if room and room not in SHARD_ROOMS:
            yield Finding(source.path, 1, "no room of the shard; put it into one, or give it a line in SHARD_ROOMS")
            continue
        for found in imports(source, known):
            other = _shard_room(found.module)
            if room and other and other != room and other not in SHARD_ROOMS[room]:
                yield Finding(source.path, found.line, f"shard/{room} may not import {other}; move what both need down")
            elif not room and other == "history" and source.package not in READS_HISTORY:
                yield Finding(source.path, found.line, f"{source.package} may not read shard/history; ask an action")


def _shard_room(module: str) -> str:
    """Return the folder or module of the shard that a module is in or is, "" for none."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "shard" else ""


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
    """Imports stand at the top of the file, where a reader and the other rules see them; but for OPTIONAL's."""
    for source in tree:
        for found in imports(source, frozenset()):
            if found.is_nested and source.path != OPTIONAL:
                yield Finding(source.path, found.line, f"lazy import of {found.module}; import it at the top")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                "__import__",
                "import_module",
                "importlib.import_module",
            }:
                yield Finding(source.path, node.lineno, "import by a computed name; write an import statement")


def optional_weight(tree: Sequence[Source]) -> Iterator[Finding]:
    """Libraries that OPTIONAL loads on demand are loaded by no other running code, or they would be loaded always."""
    known = modules(tree)
    loaded = {
        found.module
        for source in tree
        if source.path == OPTIONAL
        for found in imports(source, known)
        if found.is_nested
    }
    for source in tree:
        if source.package not in SHIPPED:
            continue
        for found in imports(source, known):
            if found.module in loaded and not (found.is_nested and source.path == OPTIONAL):
                yield Finding(source.path, found.line, f"{found.module} is optional weight; ask {OPTIONAL} for it")


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
