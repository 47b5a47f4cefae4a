"""This project keeps the rules of the house, and each rule finds the violation planted for it and nothing else."""

import subprocess
from pathlib import Path

import pytest

from tests import house_sources
from tests.house_rules import RULES, broken

PROJECT = Path(__file__).parent.parent

HOUSE = {
    "ids.py": "",
    "sqlite.py": "import apsw\n\n\ndef connect():\n    return apsw.Connection('x')\n",
    "config/settings.py": "",
    "directory/users.py": "import aiosqlite\nfrom migrations import engine\n\nQUERY = 'SELECT id FROM users'\n",
    "migrations/engine.py": "import apsw\nimport sqlite\n\nPRAGMA = 'PRAGMA user_version'\n",
    "monitor/fleet.py": "from config import settings\nfrom migrations import engine\nfrom shard import messages\n",
    "objects/s3.py": "import boto3\n",
    "router/app.py": "import starlette\nimport websockets\nfrom directory import users\nfrom shard import messages\n",
    "rookery/__init__.py": "",
    "rookery/cli.py": "import ids\nimport uvicorn\nfrom monitor import fleet\nfrom router import app\n",
    "shard/messages.py": "import apsw\nfrom objects import s3\n\nQUERY = 'DELETE FROM messages WHERE id = ?'\n",
    "bench/__main__.py": "import apsw\nfrom rookery import cli\n",
    "tests/conftest.py": "import boto3\n",
    "tests/test_app.py": "from rookery import cli\n\n\ndef test_app():\n    '''The app answers.'''\n",
}
"""A small house in order: every import, library and statement here is at home."""

PLANTED = {
    "shard knows the directory": (
        "layers",
        {"shard/messages.py": "from directory import users\nfrom objects import s3\n"},
    ),
    "directory knows shards": (
        "layers",
        {"directory/users.py": "import shard.messages\nfrom migrations import engine\n"},
    ),
    "a type-only import counts": (
        "layers",
        {"router/app.py": HOUSE["router/app.py"] + "if TYPE_CHECKING:\n    from monitor import fleet\n"},
    ),
    "a store takes settings": (
        "layers",
        {"shard/messages.py": HOUSE["shard/messages.py"] + "from config import settings\n"},
    ),
    "a store takes settings, relatively": (
        "layers",
        {"objects/s3.py": "import boto3\nfrom ..config.settings import Settings\n"},
    ),
    "code knows its tests": ("layers", {"rookery/cli.py": HOUSE["rookery/cli.py"] + "from tests import conftest\n"}),
    "a leaf knows a package": ("layers", {"sqlite.py": HOUSE["sqlite.py"] + "import config\n"}),
    "a package nobody knows": ("layers", {"extras/__init__.py": ""}),
    "two modules import each other": (
        "cycles",
        {
            "directory/users.py": HOUSE["directory/users.py"] + "import directory.rooms\n",
            "directory/rooms.py": "import directory.users\n",
        },
    ),
    "a cycle of types": (
        "cycles",
        {
            "directory/users.py": HOUSE["directory/users.py"] + "from directory import rooms\n",
            "directory/rooms.py": "from directory import owners\n",
            "directory/owners.py": "if TYPE_CHECKING:\n    from directory.users import User\n",
        },
    ),
    "an import in a function": ("lazy_imports", {"ids.py": "def at():\n    import math\n"}),
    "an import in a method": (
        "lazy_imports",
        {"ids.py": "class Id:\n    async def at(self):\n        if self:\n            import math\n"},
    ),
    "an import by name": ("lazy_imports", {"ids.py": "import importlib\nimportlib.import_module('math')\n"}),
    "starlette in a store": ("library_homes", {"config/settings.py": "from starlette.requests import Request\n"}),
    "uvicorn in the monitor": ("library_homes", {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "import uvicorn\n"}),
    "websockets in a leaf": ("library_homes", {"ids.py": "import websockets.sync.client\n"}),
    "boto3 beside s3.py": (
        "library_homes",
        {"objects/s3.py": "import boto3\nfrom objects import disk\n", "objects/disk.py": "import boto3\n"},
    ),
    "aiosqlite in shard": ("library_homes", {"shard/messages.py": HOUSE["shard/messages.py"] + "import aiosqlite\n"}),
    "apsw in the router": ("library_homes", {"router/app.py": HOUSE["router/app.py"] + "import apsw\n"}),
    "a file nobody imports": ("dead_files", {"shard/attic.py": ""}),
    "a file only tests import": (
        "dead_files",
        {"shard/attic.py": "", "tests/conftest.py": "from shard import attic\n"},
    ),
    "a test tool nobody uses": ("dead_files", {"tests/tools.py": ""}),
    "the standard library's SQLite": ("one_sqlite", {"tests/conftest.py": "import sqlite3\n"}),
    "its alias": ("one_sqlite", {"bench/__main__.py": "from sqlite3 import dbapi2\n"}),
    "its use through aiosqlite": (
        "one_sqlite",
        {"directory/users.py": HOUSE["directory/users.py"] + "db = aiosqlite.connect('x')\n"},
    ),
    "a connection without pragmas": (
        "one_sqlite",
        {"shard/messages.py": HOUSE["shard/messages.py"] + "apsw.Connection('x')\n"},
    ),
    "a connection under another name": (
        "one_sqlite",
        {"shard/messages.py": HOUSE["shard/messages.py"] + "from apsw import Connection\n"},
    ),
    "SQL in an endpoint": (
        "sql_homes",
        {"router/app.py": HOUSE["router/app.py"] + "run('SELECT id\\n  FROM users')\n"},
    ),
    "SQL in small letters": ("sql_homes", {"config/settings.py": "run('update users set name = ?')\n"}),
    "SQL in an f-string": (
        "sql_homes",
        {"rookery/cli.py": HOUSE["rookery/cli.py"] + "run(f'INSERT INTO {table} VALUES (1)')\n"},
    ),
    "a pragma in the monitor": (
        "sql_homes",
        {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "run('PRAGMA page_count')\n"},
    ),
    "a function of 71 lines": ("long_functions", {"ids.py": "def at():\n" + "    print()\n" * 70}),
    "a test of 71 lines": ("long_functions", {"tests/conftest.py": "async def at():\n" + "    print()\n" * 70}),
    "a file of 401 lines": ("long_files", {"bench/__main__.py": "print()\n" * 401}),
    "a Manager": ("vague_names", {"ids.py": "class ShardManager:\n    pass\n"}),
    "a Base": ("vague_names", {"tests/conftest.py": "class TestBase:\n    pass\n"}),
    "a module of helpers": (
        "vague_names",
        {"shard/messages.py": "from shard import helpers\nfrom objects import s3\n", "shard/helpers.py": ""},
    ),
    "a test without a sentence": ("sentences_of_tests", {"tests/test_app.py": "def test_app():\n    pass\n"}),
    "a test with a heading": (
        "sentences_of_tests",
        {"tests/test_app.py": "class TestApp:\n    def test_app(self):\n        '''App'''\n"},
    ),
    "a test with a story": (
        "sentences_of_tests",
        {"tests/test_app.py": "async def test_app():\n    '''It runs. It stops.'''\n"},
    ),
    "a blanket ignore": ("blanket_ignores", {"ids.py": "at = 1  # type: ignore\n"}),
    "a bare except": ("silent_excepts", {"ids.py": "try:\n    at = 1\nexcept:\n    raise\n"}),
    "a vanished exception": (
        "silent_excepts",
        {"ids.py": "try:\n    at = 1\nexcept (OSError, Exception):\n    pass\n"},
    ),
    "a suppressed exception": ("silent_excepts", {"ids.py": "with contextlib.suppress(BaseException):\n    at = 1\n"}),
}

IN_ORDER = {
    "a class of types only": {"ids.py": "class DataBaseline:\n    pass\n\n\nclass Basement:\n    pass\n"},
    "a sentence, not SQL": {"rookery/cli.py": HOUSE["rookery/cli.py"] + "HELP = 'Select a room from the list.'\n"},
    "SQL in a docstring": {"router/app.py": "'''SELECT id FROM users happens elsewhere.'''\n" + HOUSE["router/app.py"]},
    "an ignore with its code": {"ids.py": "at = 1  # type: ignore[assignment]\nwords = '# type: ignore'\n"},
    "an expected exception": {"ids.py": "try:\n    at = 1\nexcept KeyError:\n    pass\nexcept Exception:\n    raise\n"},
    "a function of 70 lines": {"ids.py": "def at():\n" + "    print()\n" * 69},
    "a file of 400 lines": {"ids.py": "at = 1\n" * 400},
    "a package's front": {"directory/__init__.py": "from directory import users\n"},
    "a program of its own": {"bench/plot.py": "if __name__ == '__main__':\n    print()\n"},
}


def build(root: Path, files: dict[str, str]) -> tuple[house_sources.Source, ...]:
    """Write files below a root and read them back as the rules see them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return house_sources.read(root)


@pytest.fixture(scope="module")
def project() -> tuple[house_sources.Source, ...]:
    """Read this project once for all rules."""
    return house_sources.read(PROJECT)


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(project: tuple[house_sources.Source, ...], rule: str) -> None:
    """Nothing in this project breaks a rule of the house."""
    findings = [str(finding) for finding in RULES[rule](project)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(("rule", "violation"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, rule: str, violation: dict[str, str]) -> None:
    """A violation in a house in order is found by its own rule, named with file and line, and by no other rule."""
    assert broken(build(tmp_path, HOUSE)) == {}
    findings = broken(build(tmp_path, violation))
    assert list(findings) == [rule]
    assert findings[rule][0].startswith(tuple(f"{name}:" for name in violation))


@pytest.mark.parametrize("change", IN_ORDER.values(), ids=IN_ORDER)
def test_what_is_allowed_is_not_found(tmp_path: Path, change: dict[str, str]) -> None:
    """Code that only resembles a violation breaks no rule."""
    assert broken(build(tmp_path, HOUSE | change)) == {}


def test_every_rule_has_a_planted_violation() -> None:
    """No rule stands without a proof that it can fail."""
    assert {rule for rule, _ in PLANTED.values()} == set(RULES)


def test_ignored_files_are_not_judged_and_new_files_are(tmp_path: Path) -> None:
    """With git, a file that is not yet tracked is judged and an ignored one is not; without git, both are."""
    files = HOUSE | {
        ".gitignore": "shard/scratch.py\n",
        "shard/scratch.py": "",
        ".venv/lib/thing.py": "import sqlite3\n",
    }
    assert list(broken(build(tmp_path, files))) == ["dead_files"]
    subprocess.run(["git", "-c", "init.defaultBranch=main", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("shard/scratch.py\n.venv/\n", encoding="utf-8")
    assert broken(house_sources.read(tmp_path)) == {}
    (tmp_path / "shard" / "attic.py").write_text("", encoding="utf-8")
    assert list(broken(house_sources.read(tmp_path))) == ["dead_files"]
