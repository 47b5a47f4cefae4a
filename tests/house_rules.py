"""The rules of the house: each a function from a tree of sources to what breaks it; `RULES` names them all.

tests/test_house.py runs every rule over this project, and over a small tree with one violation planted in it.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tests import house_imports, house_words
from tests.house_sources import Finding, Source, comments, functions, imports, strings

FUNCTION_LINES_MAX: Final = 70
FILE_LINES_MAX: Final = 400
SQL_HOMES: Final = (
    "sqlite.py",
    "database/",
    *(f"{store}/" for store in sorted(house_imports.CENTRAL_STORES)),
    "migrations/",
    "sqlite.py",
    "tests/",
    "bench/",
    *house_imports.SQL_IN_SHARD,
)
EVENT_TYPES: Final = "shard/event_types.py"
EVENT_LITERAL_HOMES: Final = frozenset({EVENT_TYPES, "directory/audit.py"})
"""The registry, and the names of acts in the directory's own log, which knows nothing of shards."""

_SQL = re.compile(
    r"""\s*(?:
        SELECT\s.+?\sFROM\s | SELECT\s+(?:\d|\?|\w+\() | WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^)]*\))?\s+AS\s*\(
        | INSERT\s+(?:OR\s+\w+\s+)?INTO\s | REPLACE\s+INTO\s | UPDATE\s+(?:OR\s+\w+\s+)?\S+\s+SET\s
        | DELETE\s+FROM\s | (?:CREATE|DROP|ALTER)\s+(?:\w+\s+)?(?:TABLE|INDEX|TRIGGER|VIEW)\s
        | PRAGMA\s+\w | BEGIN\s+(?:IMMEDIATE|EXCLUSIVE|DEFERRED)\b | SAVEPOINT\s+\w | VACUUM\s+INTO\b
        | ATTACH\s+\S+\s+AS\b
    )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_VAGUE_CLASS = re.compile(r"(?:Manager|Helper|Service|Util|Base)s?$")
_VAGUE_MODULE = re.compile(r"(?:^|_)(?:manager|helper|service|util|base)s?$")
_BLANKET_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[)")
_TYPE = re.compile(r"([a-z]+)\.[a-z_]+")
_TYPE_IN_SQL = re.compile(r"'([a-z]+)\.([a-z_]+)'")
_SECOND_SENTENCE = re.compile(r"[.!?]\s+[A-Z]")


def one_sqlite(tree: Sequence[Source]) -> Iterator[Finding]:
    """Only sqlite.py opens connections, and only with apsw's SQLite: two copies in one process lose commits."""
    remedy = "open it with sqlite.connect, which sets every pragma"
    for source in tree:
        for found in imports(source, frozenset()):
            if found.module.partition(".")[0] == "sqlite3":
                yield Finding(source.path, found.line, f"sqlite3 is a second copy of SQLite; {remedy}")
        names = {"aiosqlite.connect"} if source.path == "sqlite.py" else {"aiosqlite.connect", "apsw.Connection"}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
                yield Finding(source.path, node.lineno, f"{ast.unparse(node.func)} called outside sqlite.py; {remedy}")
            elif isinstance(node, ast.ImportFrom) and node.module in {"apsw", "aiosqlite"}:
                yield Finding(source.path, node.lineno, f"import {node.module} whole, so that its calls can be checked")


def sql_homes(tree: Sequence[Source]) -> Iterator[Finding]:
    """SQL stands in the stores and the migrations, nowhere else; in the shard not in its actions either."""
    for source in tree:
        if source.path.startswith(SQL_HOMES):
            continue
        for line, text in strings(source):
            # A sentence for people starts with one capital: "Select a room from the list".
            if _SQL.match(text) and (text.lstrip()[:6].isupper() or text.lstrip()[:6].islower()):
                yield Finding(source.path, line, "SQL outside the stores; make it a function in one of them")


def long_functions(tree: Sequence[Source]) -> Iterator[Finding]:
    """A function fits on a page."""
    for source in tree:
        for function in functions(source):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                message = f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}; give its steps names"
                yield Finding(source.path, function.lineno, message)


def long_files(tree: Sequence[Source]) -> Iterator[Finding]:
    """A file holds one idea."""
    for source in tree:
        lines = len(source.text.splitlines())
        if lines > FILE_LINES_MAX:
            yield Finding(
                source.path, lines, f"{lines} lines, at most {FILE_LINES_MAX}; split it by what changes together"
            )


def vague_names(tree: Sequence[Source]) -> Iterator[Finding]:
    """A name says what a thing is, not that it is a thing."""
    remedy = "name what it is or does"
    for source in tree:
        if _VAGUE_MODULE.search(source.stem):
            yield Finding(source.path, 1, f"module {source.stem} says nothing; {remedy}")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ClassDef) and _VAGUE_CLASS.search(node.name):
                yield Finding(source.path, node.lineno, f"class {node.name} says nothing; {remedy}")


def sentences_of_tests(tree: Sequence[Source]) -> Iterator[Finding]:
    """Every test says the behaviour it keeps in one sentence."""
    for source in tree:
        if source.package != "tests" or not source.stem.startswith("test_"):
            continue
        for function in functions(source):
            sentence = ast.get_docstring(function) or ""
            if function.name.startswith("test") and (not sentence.endswith(".") or _SECOND_SENTENCE.search(sentence)):
                message = f"{function.name} needs a docstring of one sentence that says the behaviour"
                yield Finding(source.path, function.lineno, message)


def event_literals(tree: Sequence[Source]) -> Iterator[Finding]:
    """Shipped code names an event type by its registry, where a wrong name is a type error; SQL by its text alone."""
    types = {
        text for source in tree if source.path == EVENT_TYPES for _, text in strings(source) if _TYPE.fullmatch(text)
    }
    nouns = {text.partition(".")[0] for text in types}
    for source in tree:
        if source.package not in house_imports.SHIPPED or source.path in EVENT_LITERAL_HOMES:
            continue
        for line, text in strings(source):
            if (found := _TYPE.fullmatch(text)) and found[1] in nouns:
                yield Finding(source.path, line, f"{text} as a literal; name it by {EVENT_TYPES}")
            for noun, verb in _TYPE_IN_SQL.findall(text):
                if noun in nouns and f"{noun}.{verb}" not in types:
                    yield Finding(source.path, line, f"no event is called {noun}.{verb}; {EVENT_TYPES} has all")


def blanket_ignores(tree: Sequence[Source]) -> Iterator[Finding]:
    """Whoever silences mypy says which complaint."""
    for source in tree:
        for line, comment in comments(source):
            if _BLANKET_IGNORE.search(comment):
                yield Finding(source.path, line, "name the complaint: type: ignore[code]")


def silent_excepts(tree: Sequence[Source]) -> Iterator[Finding]:
    """Nothing catches everything and goes on as if nothing had happened."""
    remedy = "catch what can be expected, translate or retry it"
    for source in tree:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield Finding(source.path, node.lineno, f"bare except; {remedy}")
            elif isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and all(map(_is_idle, node.body)):
                yield Finding(source.path, node.lineno, f"an exception vanishes here; {remedy}")
            elif isinstance(node, ast.Call) and _is_suppress(node.func) and any(map(_is_broad, node.args)):
                yield Finding(source.path, node.lineno, f"exceptions vanish here; {remedy}")


def _is_suppress(called: ast.expr) -> bool:
    return ast.unparse(called) in {"suppress", "contextlib.suppress"}


def _is_broad(caught: ast.expr | None) -> bool:
    return caught is not None and any(
        isinstance(node, ast.Name) and node.id in {"Exception", "BaseException"} for node in ast.walk(caught)
    )


def _is_idle(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr | ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue)


Rule = Callable[[Sequence[Source]], Iterator[Finding]]
RULES: Final[Mapping[str, Rule]] = {
    rule.__name__: rule
    for rule in (
        house_imports.layers,
        house_imports.shard_rooms,
        house_imports.cycles,
        house_imports.lazy_imports,
        house_imports.optional_weight,
        house_imports.library_homes,
        house_imports.dead_files,
        one_sqlite,
        sql_homes,
        long_functions,
        long_files,
        vague_names,
        house_words.participles,
        house_words.first_words,
        sentences_of_tests,
        event_literals,
        blanket_ignores,
        silent_excepts,
    )
}


def broken(tree: Sequence[Source]) -> dict[str, list[str]]:
    """Return the findings of every rule that a tree breaks."""
    found = {name: [f"{finding} [{name}]" for finding in rule(tree)] for name, rule in RULES.items()}
    return {name: findings for name, findings in found.items() if findings}
