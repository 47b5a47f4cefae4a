"""The documents against the code: what they name is there, and what is there they name."""

import ast
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import typer
from pydantic import BaseModel

from config import settings
from config.settings import Settings, TokenBucket
from config.variables import ARCHIVE_KEYS
from directory import audit
from migrations import engine
from rookery import cli
from rookery.server.application import Application
from shard.event_types import FOR_MODERATORS, AuditAction, EventType
from tests import house_sources
from tests.docs import bounds
from tests.house_imports import SHIPPED

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ROUTE = re.compile(r"`(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^`\s]*)`")
_HEADED_ROUTE = re.compile(r"^(?:###|\|) `(GET|HEAD|POST|PUT|PATCH|DELETE) (/[^`\s]*)`", re.MULTILINE)
_KEY = re.compile(r"`([a-z0-9_]+(?:\.[a-z0-9_]+)*)`")
_COMMAND = re.compile(r"(?:^|`|bin/)rookery (?=[a-z-]{2})([^`#\n|]+)", re.MULTILINE)
_MEMBER = re.compile(r"`([A-Z][A-Za-z]+)\.([a-z_]+)`(?<!\.md`)")
_TEST_FILE = re.compile(r"\btests/[a-z_/]+\.py")


def read(name: str) -> str:
    """Return a page's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"there is no heading {heading!r}"
    level = len(heading.split(" ", maxsplit=1)[0])
    return re.split(rf"^#{{1,{level}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link of a page leads to a file that is there, and to a heading that it has."""
    for link in _LINK.findall(_FENCE.sub("", read(name))):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if "://" not in link:
            assert target.exists(), f"{name} links to {link}, which is not there"
            assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: no heading for {link}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Lend a client of a server with the default settings."""
    application = Application(settings.load(None, environ={"ROOKERY_SERVER_DATA_DIR": str(tmp_path / "data")}))
    async with application._open({}):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://rookery") as client:
            yield client


async def test_the_api_page_has_every_route(server: httpx.AsyncClient) -> None:
    """Each route of the server is in the pages of docs/api/, once, and each route there is one of the server."""
    paths: dict[str, dict[str, Any]] = (await server.get("/openapi.json")).json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    told = [route for page in PAGES if page.startswith("docs/api/") for route in _HEADED_ROUTE.findall(read(page))]
    assert sorted(told) == sorted(served)
    assert {route for page in PAGES for route in _ROUTE.findall(read(page))} <= served


async def test_the_api_page_has_every_problem_type(server: httpx.AsyncClient) -> None:
    """The table of errors has each problem type once, with its status."""
    known = (await server.get("/openapi.json")).json()["x-problems"]
    told = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", section(read("docs/api.md"), "### Errors"), re.MULTILINE)
    assert sorted(told) == sorted((row["slug"], str(row["status"])) for row in known)


async def test_the_operations_page_has_every_metric(server: httpx.AsyncClient) -> None:
    """The table of metrics has each family that a server shows, with its kind."""
    shown = re.findall(r"^# TYPE (\w+) (\w+)$", (await server.get("/metrics")).text, re.MULTILINE)
    told = re.findall(r"^\| `(\w+)` \| (\w+)", section(read("docs/operations.md"), "### Metrics"), re.MULTILINE)
    assert sorted(told) == sorted(family for family in shown if not family[0].endswith("_created"))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings that a file may have; a token bucket is one."""
    for name, field in model.model_fields.items():
        table = next(filter(_is_table, (field.annotation, *get_args(field.annotation))), None)
        if table is not None:
            yield from keys(table, f"{prefix}{name}.")
        elif name not in ARCHIVE_KEYS:
            yield f"{prefix}{name}"


def _is_table(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel) and part is not TokenBucket


def test_the_operations_page_has_every_setting() -> None:
    """The table of settings has each key once, and no other."""
    rows = re.findall(r"^\| (`.+?) \|", section(read("docs/operations.md"), "## Settings"), re.MULTILINE)
    assert sorted(key for row in rows for key in _KEY.findall(row)) == sorted(keys(Settings))


def test_the_data_model_has_every_event_type() -> None:
    """The table of the log has each type of the registry once, and no other, and says which moderators alone see."""
    rows = re.findall(r"^\| (`.+?) \|(.*)$", section(read("docs/data-model.md"), "### The log"), re.MULTILINE)
    told = {type_: facts for types, facts in rows for type_ in _KEY.findall(types)}
    assert sorted(type_ for types, _ in rows for type_ in _KEY.findall(types)) == sorted(EventType)
    assert {type_ for type_, facts in told.items() if "those who may ban" in facts} == FOR_MODERATORS


def test_the_data_model_has_every_act_of_the_audit_logs() -> None:
    """The lists of acts have those of the directory's log, and those of a room's that have no event."""
    ledgers, shard = section(read("docs/data-model.md"), "### Ledgers"), read("docs/data-model.md")
    for text, beginning, acts in (
        (ledgers, "Actions so far:", audit.Action),
        (shard, "Actions without an event:", AuditAction),
    ):
        listed = text.partition(beginning)[2].partition(". ")[0]
        assert sorted(re.findall(r"`([a-z]+\.[a-z_]+)`", listed)) == sorted(acts)


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_there(name: str) -> None:
    """Every command line of a page has a command and options that the command line knows."""
    for line in _COMMAND.findall(read(name)):
        command: Any = typer.main.get_command(cli.app)
        options: set[str] = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        words = iter(shlex.split(line))
        for word in words:
            if not word.startswith("-") and hasattr(command, "commands"):
                assert word in command.commands, f"{name}: rookery {line}"
                command = command.commands[word]
                options |= {option for parameter in command.params for option in parameter.opts}
            elif word.startswith("--"):
                assert word in options, f"{name}: {word} of rookery {line}"
                if word in ("--config", "--data", "--env"):
                    next(words, None)


def test_the_operations_page_has_every_command() -> None:
    """The table of commands has each command of the command line."""
    text = section(read("docs/operations.md"), "## Installing")
    root: Any = typer.main.get_command(cli.app)
    for name, command in root.commands.items():
        for words in [f"{name} {inner}" for inner in getattr(command, "commands", ())] or [name]:
            assert f"`rookery {words}`" in text


def test_the_table_of_bounds_is_what_make_docs_writes() -> None:
    """The table of bounds in docs/architecture.md is the one that the constants' docstrings make."""
    page = read("docs/architecture.md")
    assert page == bounds.with_table(page, bounds.table(ROOT)), "the table is stale: run `make docs`"


def test_a_changed_bound_changes_the_table(tmp_path: Path) -> None:
    """A bound's new value and new meaning are in the table, and a number without a docstring is not."""
    module = tmp_path / "shard" / "pages.py"
    module.parent.mkdir()
    module.write_text('PAGE_MAX: Final = 50\n"""Entries of a page."""\nANSWER = 42\n', encoding="utf-8")
    assert bounds.table(tmp_path) == bounds.HEAD + "| `PAGE_MAX` | 50 | `shard/pages.py` | Entries of a page |\n"
    module.write_text('PAGE_MAX: Final = 60\n"""Rows of a page."""\nANSWER = 42\n', encoding="utf-8")
    assert bounds.table(tmp_path) == bounds.HEAD + "| `PAGE_MAX` | 60 | `shard/pages.py` | Rows of a page |\n"


def test_every_bound_has_a_docstring() -> None:
    """A public number of a shipped module whose name is that of a bound says in a docstring what it bounds."""
    assert not bounds.untold(ROOT)


def test_a_bound_without_a_docstring_is_found(tmp_path: Path) -> None:
    """A bound without a docstring is named with its file; units, other numbers and private ones are not."""
    module = tmp_path / "shard" / "pages.py"
    module.parent.mkdir()
    numbers = "PAGE_MAX = 50\nRETRY_MS: Final = 9\nDAY_MS = 86_400_000\nANSWER = 42\n_TRIES_MAX = 3\n"
    module.write_text(numbers + 'ROWS_MIN = 1\n"""Rows of a page."""\n', encoding="utf-8")
    assert bounds.untold(tmp_path) == ["shard/pages.py: PAGE_MAX", "shard/pages.py: RETRY_MS"]


def test_the_data_model_page_has_every_table() -> None:
    """Each table of both schemas has its place in docs/data-model.md."""
    text = read("docs/data-model.md")
    for migration in (*engine.load(engine.CENTRAL_FOLDER), *engine.load(engine.SHARD_FOLDER)):
        for table in re.findall(r"^CREATE (?:VIRTUAL )?(?:TABLE|VIEW) (\w+)", migration.sql, re.MULTILINE):
            assert f"**`{table}`**" in text, f"{table} of {migration.name}"


@pytest.mark.parametrize("name", PAGES)
def test_named_tests_are_there(name: str) -> None:
    """Every test file that a page calls upon is there."""
    for path in _TEST_FILE.findall(read(name)):
        assert (ROOT / path).is_file(), f"{name} names {path}"


def members(root: Path) -> dict[str, set[str]]:
    """Return the names that each class of the shipped code defines, by the class's name."""
    found: dict[str, set[str]] = {}
    for source in house_sources.read(root):
        for node in ast.walk(source.tree) if source.package in SHIPPED else ():
            if isinstance(node, ast.ClassDef):
                inner = (getattr(part, "name", getattr(part, "attr", None)) for part in ast.walk(node))
                found.setdefault(node.name, set()).update(name for name in inner if name)
    return found


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/tour.md"])
def test_named_methods_exist(name: str) -> None:
    """Every method that a page about the code names is one of its class: `ShardPool.write`."""
    classes = members(ROOT)
    named = _MEMBER.findall(read(name))
    assert named, "the page names methods"
    assert [f"{owner}.{method}" for owner, method in named if method not in classes.get(owner, ())] == []


def test_a_method_that_does_not_exist_is_found(tmp_path: Path) -> None:
    """A class has the names that it defines, and no others."""
    module = tmp_path / "shard" / "pool.py"
    module.parent.mkdir()
    module.write_text("class Pool:\n    def write(self) -> None: ...\n\ndef read() -> None: ...\n", encoding="utf-8")
    assert members(tmp_path) == {"Pool": {"Pool", "write"}}
