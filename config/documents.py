"""The settings file as written: its tables, its lines, and its environments.

Environments follow wrangler (developers.cloudflare.com/workers/wrangler/configuration, "Inheritable keys"): an
inheritable key is taken whole from the environment or else whole from the top level; a binding is never inherited.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from config.errors import Problem, SettingsError
from config.lines import Location, line_of, locate
from config.problems import path_of, quote, show
from config.values import is_name
from config.variables import ARCHIVE_KEYS, FILES_KEYS, SERVER

FILE_BYTES_MAX = 1_048_576
"""Characters of a settings file. Beyond it the file is refused."""
NESTING_MAX = 8
"""The depth of the deepest known key; deeper ones are unknown keys, whose value is never shown."""

INHERITED = (
    "name", "compatibility_date", "server", "triggers", "limits", "webhooks", "alerts", "history", "hibernation",
)  # fmt: skip
NOT_INHERITED = ("vars", "d1_databases", "r2_buckets")


@dataclass(frozen=True, slots=True)
class Overlay:
    """The tables that one environment sees, and where each was written."""

    values: Mapping[str, Any]
    lines: dict[Location, int]
    prefix: Location = ()
    own: frozenset[str] = frozenset()
    variables: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    def place(self, location: Location) -> tuple[str, int | None]:
        """Return the path and the line of a key in the file, or the variable that set it."""
        if location[0] == "server" and location[1:] and location[1] in self.variables:
            return f"{SERVER}{str(location[1]).upper()}", None
        written = (*self.prefix, *location) if location[0] in self.own else location
        return path_of(written), line_of(written, self.lines)

    def has_endpoint(self, binding: str) -> bool:
        """Return whether a bucket has an endpoint, even where other keys are wrong; one without a known binding counts
        as the archive."""
        buckets = self.values.get("r2_buckets")
        return isinstance(buckets, list) and any(
            isinstance(each, dict)
            and "endpoint" in each
            and ("FILES" if each.get("binding") == "FILES" else "ARCHIVE") == binding
            for each in buckets
        )

    def with_server(self, overrides: dict[str, object]) -> "Overlay":
        """Return the overlay with keys of [server] replaced by variables."""
        server = self.values.get("server", {})
        if not overrides or not isinstance(server, dict):
            return self
        return replace(self, values={**self.values, "server": server | overrides}, variables=frozenset(overrides))


@dataclass(frozen=True, slots=True)
class Document:
    """A settings file: the top level, its environments, the line of each key, and the problems of the whole."""

    top: dict[str, Any] = field(default_factory=dict)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def unknown_environment(self, name: str | None) -> list[Problem]:
        """Return the problem of asking for an environment that the file does not have."""
        if name is None or name in self.environments:
            return []
        known = ", ".join(map(quote, self.environments))
        expected = f"one of the file's environments: {known}" if known else "no environment, for the file has none"
        return [Problem(f"env.{quote(name)}", "no such environment", expected)]

    def overlay(self, name: str | None) -> Overlay:
        """Return the tables that the named environment sees; None is the top level."""
        if name is None:
            return Overlay(self.top, self.lines)
        own = self.environments[name]
        values = {key: self.top[key] for key in INHERITED if key in self.top} | own
        # A missing binding is reported for the environment, even if the top level has it.
        written = {*own, *NOT_INHERITED}
        base = self.top.get("name", "rookery")
        if "name" not in own and is_name(base):
            values["name"] = f"{base}-{name}"
            written.add("name")
        for key in ("d1_databases", "r2_buckets"):
            if key in self.top:
                values.setdefault(key, ())
        return Overlay(values, self.lines, ("env", name), frozenset(written), notices=tuple(self._left_behind(name)))

    def _left_behind(self, name: str) -> Iterator[str]:
        own = self.environments[name]
        for table in ("vars", "server", "triggers", "limits", "alerts"):
            if table == "vars" or table in own:
                kept = set(_leaves(own.get(table), (table,)))
                left = [path_of(leaf) for leaf in _leaves(self.top.get(table), (table,)) if leaf not in kept]
                if left:
                    why = "vars are not inherited" if table == "vars" else f"{table} here replaces the whole [{table}]"
                    yield f"env.{quote(name)}: {why}, so these stay behind at the top level: {', '.join(left)}"


def _leaves(value: object, location: Location) -> Iterator[Location]:
    if isinstance(value, dict) and len(location) < NESTING_MAX:
        for key, inner in value.items():
            yield from _leaves(inner, (*location, key))
    elif value is not None:
        yield location


def read(path: Path) -> Document:
    """Return the document in a TOML file; raises SettingsError when it cannot be read."""
    text, tables = "", {}
    try:
        with path.open("rb") as opened:
            text = opened.read(FILE_BYTES_MAX + 1).decode("utf-8-sig")
        tables = tomllib.loads(text if len(text) <= FILE_BYTES_MAX else "")
        problem = None if len(text) <= FILE_BYTES_MAX else Problem(path.name, "more than a megabyte", "a settings file")
    except OSError as error:
        remedy = "a readable TOML file: check the path, or leave it out to run with the defaults"
        problem = Problem(path.name, (error.strerror or type(error).__name__).lower(), remedy)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = Problem(path.name, "bytes that are not UTF-8", "a text file in UTF-8", line)
    except (ValueError, RecursionError) as error:
        problem = _syntax(path.name, text, str(error))
    if problem is not None:
        # Raised here, not above: the parsers' exceptions carry the text of the file.
        raise SettingsError(str(path), [problem])
    return _document(tables, locate(text))


def _syntax(name: str, text: str, message: str) -> Problem:
    """Return the place of tomllib's error; its message ends in "(at line 3, column 8)" or "(at end of document)"."""
    what, _, where = message.partition(" (at ")
    numbers = re.fullmatch(r"line (\d+), column (\d+)\)", where)
    line = int(numbers[1]) if numbers else text.count("\n") + 1
    column = int(numbers[2]) if numbers else len(text) - text.rfind("\n")
    return Problem(name, f"at column {column}: {what[:1].lower()}{what[1:]}", "valid TOML (toml.io)", line)


def _document(tables: dict[str, Any], lines: dict[Location, int]) -> Document:
    problems: list[Problem] = []
    top = _without_keys(tables, (), lines, problems)
    environments = top.pop("env", {})
    if not isinstance(environments, dict):
        problems.append(Problem("env", show(environments), "tables such as [env.staging]", lines.get(("env",))))
        environments = {}
    for name, table in environments.items():
        if not isinstance(table, dict):
            where = ("env", name)
            problems.append(Problem(path_of(where), show(table), "a table", line_of(where, lines)))
    tables_only = {name: table for name, table in environments.items() if isinstance(table, dict)}
    return Document(top, tables_only, lines, tuple(problems))


def _without_keys(value: Any, location: Location, lines: dict[Location, int], problems: list[Problem]) -> Any:
    """Return the value without any keys of buckets in it; each one becomes a problem."""
    if len(location) > NESTING_MAX or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [_without_keys(item, (*location, index), lines, problems) for index, item in enumerate(value)]
    kept = {}
    variables = FILES_KEYS if value.get("binding") == "FILES" else ARCHIVE_KEYS
    for key, item in value.items():
        at = (*location, key)
        squeezed = re.sub(r"[^a-z0-9]", "", key.lower())
        variable = next((name for field, name in variables.items() if squeezed.endswith(field.replace("_", ""))), "")
        if variable:
            remedy = f"it in the variable {variable}, or in a file that {variable}_FILE names"
            problems.append(Problem(path_of(at), "a secret, which this file must not hold", remedy, line_of(at, lines)))
        else:
            kept[key] = _without_keys(item, at, lines, problems)
    return kept
