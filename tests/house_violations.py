"""A small house in order, violations planted in it for each rule, and changes that only resemble one."""

from typing import Final

HOUSE: Final = {
    "ids.py": "",
    "sqlite.py": "import apsw\n\n\ndef connect():\n    return apsw.Connection('x')\n",
    "config/settings.py": "",
    "database/database.py": "import aiosqlite\nfrom migrations import engine\n\nQUERY = 'PRAGMA data_version'\n",
    "feeds/timelines.py": "import sqlite\n\nQUERY = 'INSERT INTO timelines VALUES (1)'\n",
    "graph/follows.py": "from migrations import engine\nfrom seal import keys\n\nQUERY = 'SELECT id FROM follows'\n",
    "imports/archives.py": "",
    "mail/letters.py": "import smtplib\n",
    "media/images.py": "import PIL\nimport ids\n",
    "directory/users.py": "from migrations import engine\n\nQUERY = 'SELECT id FROM users'\n",
    "migrations/engine.py": "import apsw\nimport sqlite\n\nPRAGMA = 'PRAGMA user_version'\n",
    "monitor/fleet.py": (
        "from config import settings\nfrom migrations import engine\nfrom shard.tables import messages\n"
    ),
    "objects/s3.py": "import boto3\nfrom objects import store\n",
    "objects/store.py": "",
    "router/app.py": (
        "import starlette\nimport websockets\nfrom directory import users\nfrom graph import follows\n"
        "from shard.history import history\nfrom shard.tables import messages\n"
    ),
    "rookery/__init__.py": "from shard import event_types\n",
    "rookery/__main__.py": "from database import database\n",
    "rookery/cli.py": (
        "import ids\nimport uvicorn\nfrom feeds import timelines\nfrom imports import archives\n"
        "from mail import letters\nfrom monitor import fleet\nfrom rookery import optional\nfrom router import app\n"
    ),
    "rookery/optional.py": (
        "from config import settings\n\n\ndef open_s3():\n    from objects import s3\n\n\n"
        "def measure():\n    from media import images\n"
    ),
    "seal/keys.py": "import cryptography\n",
    "shard/tables/messages.py": (
        "import apsw\nfrom objects import store\n\nQUERY = 'DELETE FROM messages WHERE id = ?'\n"
    ),
    "shard/access.py": "import shard.rows\nfrom shard.engine import files\n",
    "shard/actions/pages.py": "from shard import access\nfrom shard.tables import messages\n",
    "shard/engine/files.py": "import apsw\nfrom shard import rows\n",
    "shard/history/history.py": "from shard.actions import pages\n",
    "shard/event_types.py": "CREATED = 'message.created'\nNOTED = 'invite.noted'\n",
    "shard/rows.py": "",
    "bench/__main__.py": "import apsw\nfrom rookery import cli\n",
    "tests/conftest.py": "import boto3\n",
    "tests/test_app.py": "from rookery import cli\n\n\ndef test_app():\n    '''The app answers.'''\n",
}
"""A small house in order: every import, library and statement here is at home."""

PLANTED: Final = {
    "shard knows the directory": (
        "layers",
        {"shard/tables/messages.py": "from directory import users\nfrom objects import store\n"},
    ),
    "directory knows shards": (
        "layers",
        {"directory/users.py": "import shard.tables.messages\nfrom migrations import engine\n"},
    ),
    "a type-only import counts": (
        "layers",
        {"router/app.py": HOUSE["router/app.py"] + "if TYPE_CHECKING:\n    from monitor import fleet\n"},
    ),
    "a store takes settings": (
        "layers",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "from config import settings\n"},
    ),
    "a store takes settings, relatively": (
        "layers",
        {"objects/store.py": "from ..config.settings import Settings\n"},
    ),
    "a store knows another": (
        "layers",
        {"graph/follows.py": HOUSE["graph/follows.py"] + "from feeds import timelines\n"},
    ),
    "a store knows the directory": (
        "layers",
        {"feeds/timelines.py": HOUSE["feeds/timelines.py"] + "from directory import users\n"},
    ),
    "a shard knows a store": (
        "layers",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "from graph import follows\n"},
    ),
    "a store to come takes settings": ("layers", {"graph/follows.py": HOUSE["graph/follows.py"] + "import config\n"}),
    "mail takes settings": ("layers", {"mail/letters.py": "from config import settings\n"}),
    "pictures know object storage": ("layers", {"media/images.py": "import PIL\nfrom objects import store\n"}),
    "an importer knows a store": ("layers", {"imports/archives.py": "from shard import messages\n"}),
    "sealed columns know database files": ("layers", {"seal/keys.py": "import sqlite\n"}),
    "the client's pages know the router": ("layers", {"web/__init__.py": "from router import app\n"}),
    "the router knows pictures": ("layers", {"router/app.py": HOUSE["router/app.py"] + "import media\n"}),
    "the router knows the monitor": (
        "layers",
        {"router/app.py": HOUSE["router/app.py"] + "from monitor import fleet\n"},
    ),
    "the monitor knows mail": (
        "layers",
        {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "from mail import letters\n"},
    ),
    "code knows its tests": ("layers", {"rookery/cli.py": HOUSE["rookery/cli.py"] + "from tests import conftest\n"}),
    "a leaf knows a package": ("layers", {"sqlite.py": HOUSE["sqlite.py"] + "import config\n"}),
    "a package nobody knows": ("layers", {"extras/__init__.py": ""}),
    "the engine knows a table": (
        "shard_rooms",
        {"shard/engine/files.py": HOUSE["shard/engine/files.py"] + "from shard.tables import messages\n"},
    ),
    "the engine knows the search": (
        "shard_rooms",
        {
            "shard/engine/files.py": HOUSE["shard/engine/files.py"] + "import shard.search.tokens\n",
            "shard/search/tokens.py": "",
        },
    ),
    "a plain module knows the engine": (
        "shard_rooms",
        {
            "shard/permissions.py": "from .engine import files\n",
            "shard/access.py": HOUSE["shard/access.py"] + "from shard import permissions\n",
        },
    ),
    "access knows a table": (
        "shard_rooms",
        {"shard/access.py": HOUSE["shard/access.py"] + "from shard.tables.messages import QUERY\n"},
    ),
    "the search knows a table": (
        "shard_rooms",
        {
            "shard/search/match.py": "if TYPE_CHECKING:\n    from shard.tables import messages\n",
            "shard/actions/pages.py": HOUSE["shard/actions/pages.py"] + "from shard.search import match\n",
        },
    ),
    "the archive knows the search": (
        "shard_rooms",
        {
            "shard/archive/manifest.py": "from shard.search import tokens\n",
            "shard/search/tokens.py": "",
            "shard/actions/pages.py": HOUSE["shard/actions/pages.py"] + "from shard.archive import manifest\n",
        },
    ),
    "a table knows an action": (
        "shard_rooms",
        {
            "shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "from shard.actions import threads\n",
            "shard/actions/threads.py": "",
        },
    ),
    "an action reads history": (
        "shard_rooms",
        {
            "shard/actions/pages.py": HOUSE["shard/actions/pages.py"] + "from shard.history import merge\n",
            "shard/history/merge.py": "",
        },
    ),
    "an inspection knows an action": (
        "shard_rooms",
        {
            "shard/inspections.py": "from shard.actions import pages\n",
            "rookery/cli.py": HOUSE["rookery/cli.py"] + "import shard.inspections\n",
        },
    ),
    "the monitor reads history": (
        "shard_rooms",
        {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "from shard.history import history\n"},
    ),
    "a module of the shard in no room": (
        "shard_rooms",
        {"shard/attic.py": "", "router/app.py": HOUSE["router/app.py"] + "from shard import attic\n"},
    ),
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
    "an import in a function of another optional.py": (
        "lazy_imports",
        {
            "router/app.py": HOUSE["router/app.py"] + "from router import optional\n",
            "router/optional.py": "def at():\n    import math\n",
        },
    ),
    "an import by name in optional.py": (
        "lazy_imports",
        {"rookery/optional.py": HOUSE["rookery/optional.py"] + "    import_module('math')\n"},
    ),
    "optional weight at the top of another file": (
        "optional_weight",
        {"rookery/cli.py": HOUSE["rookery/cli.py"] + "from objects import s3\n"},
    ),
    "optional weight at the top of optional.py": (
        "optional_weight",
        {"rookery/optional.py": "import objects.s3\n" + HOUSE["rookery/optional.py"]},
    ),
    "optional weight for a type": (
        "optional_weight",
        {
            "shard/tables/messages.py": HOUSE["shard/tables/messages.py"]
            + "if TYPE_CHECKING:\n    from objects.s3 import Store\n"
        },
    ),
    "an import by name": ("lazy_imports", {"ids.py": "import importlib\nimportlib.import_module('math')\n"}),
    "starlette in a store": ("library_homes", {"config/settings.py": "from starlette.requests import Request\n"}),
    "uvicorn in the monitor": ("library_homes", {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "import uvicorn\n"}),
    "websockets in a leaf": ("library_homes", {"ids.py": "import websockets.sync.client\n"}),
    "boto3 beside s3.py": (
        "library_homes",
        {"objects/store.py": "import boto3\n"},
    ),
    "Pillow beside media": (
        "library_homes",
        {"router/app.py": HOUSE["router/app.py"] + "from PIL import Image\n"},
    ),
    "mail sent by the monitor": ("library_homes", {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "import smtplib\n"}),
    "keys in a store": (
        "library_homes",
        {"graph/follows.py": HOUSE["graph/follows.py"] + "from cryptography import fernet\n"},
    ),
    "cronsim in the monitor": ("library_homes", {"monitor/fleet.py": HOUSE["monitor/fleet.py"] + "import cronsim\n"}),
    "aiosqlite in shard": (
        "library_homes",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "import aiosqlite\n"},
    ),
    "apsw in an action": (
        "library_homes",
        {"shard/actions/pages.py": HOUSE["shard/actions/pages.py"] + "import apsw\n"},
    ),
    "aiosqlite in a central store": (
        "library_homes",
        {"directory/users.py": HOUSE["directory/users.py"] + "import aiosqlite\n"},
    ),
    "the engine of central stores knows one of them": (
        "layers",
        {"database/database.py": HOUSE["database/database.py"] + "from directory import users\n"},
    ),
    "apsw in the router": ("library_homes", {"router/app.py": HOUSE["router/app.py"] + "import apsw\n"}),
    "a file nobody imports": ("dead_files", {"shard/tables/attic.py": ""}),
    "a file only tests import": (
        "dead_files",
        {"shard/tables/attic.py": "", "tests/conftest.py": "from shard.tables import attic\n"},
    ),
    "a test tool nobody uses": ("dead_files", {"tests/tools.py": ""}),
    "the standard library's SQLite": ("one_sqlite", {"tests/conftest.py": "import sqlite3\n"}),
    "its alias": ("one_sqlite", {"bench/__main__.py": "from sqlite3 import dbapi2\n"}),
    "its use through aiosqlite": (
        "one_sqlite",
        {"database/database.py": HOUSE["database/database.py"] + "db = aiosqlite.connect('x')\n"},
    ),
    "a connection without pragmas": (
        "one_sqlite",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "apsw.Connection('x')\n"},
    ),
    "a connection under another name": (
        "one_sqlite",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "from apsw import Connection\n"},
    ),
    "SQL in an endpoint": (
        "sql_homes",
        {"router/app.py": HOUSE["router/app.py"] + "run('SELECT id\\n  FROM users')\n"},
    ),
    "SQL in an action": (
        "sql_homes",
        {"shard/actions/pages.py": HOUSE["shard/actions/pages.py"] + "run('SELECT 1 FROM channels')\n"},
    ),
    "SQL in the history": (
        "sql_homes",
        {"shard/history/history.py": HOUSE["shard/history/history.py"] + "run('PRAGMA page_count')\n"},
    ),
    "SQL in a plain module of the shard": ("sql_homes", {"shard/rows.py": "run('DELETE FROM messages')\n"}),
    "SQL in a leaf": ("sql_homes", {"mail/letters.py": HOUSE["mail/letters.py"] + "run('DELETE FROM letters')\n"}),
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
        {
            "shard/tables/messages.py": "from shard.tables import helpers\nfrom objects import store\n",
            "shard/tables/helpers.py": "",
        },
    ),
    "a module named by a participle": (
        "participles",
        {
            "shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "from shard.tables import talking\n",
            "shard/tables/talking.py": "",
        },
    ),
    "a package named by a participle": ("participles", {"router/routing/__init__.py": ""}),
    "a module that asks": ("first_words", {"ids.py": "'''What the ids are.'''\n"}),
    "a class that asks": ("first_words", {"ids.py": "class Id:\n    '''Whatever has one.'''\n"}),
    "a method that asks": (
        "first_words",
        {"ids.py": "class Id:\n    async def owner(self):\n        '''Who, if anybody, owns it.'''\n"},
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
    "an event by its literal": (
        "event_literals",
        {"shard/tables/messages.py": HOUSE["shard/tables/messages.py"] + "append('message.created')\n"},
    ),
    "an event that is in no registry": (
        "event_literals",
        {"router/app.py": HOUSE["router/app.py"] + "TOLD = {'message.creatd'}\n"},
    ),
    "an act by its literal": ("event_literals", {"rookery/cli.py": HOUSE["rookery/cli.py"] + "note('invite.made')\n"}),
    "a wrong event in SQL": (
        "event_literals",
        {
            "shard/tables/messages.py": HOUSE["shard/tables/messages.py"]
            + "run(\"DELETE FROM events WHERE type = 'message.gone'\")\n"
        },
    ),
    "a blanket ignore": ("blanket_ignores", {"ids.py": "at = 1  # type: ignore\n"}),
    "a bare except": ("silent_excepts", {"ids.py": "try:\n    at = 1\nexcept:\n    raise\n"}),
    "a vanished exception": (
        "silent_excepts",
        {"ids.py": "try:\n    at = 1\nexcept (OSError, Exception):\n    pass\n"},
    ),
    "a suppressed exception": ("silent_excepts", {"ids.py": "with contextlib.suppress(BaseException):\n    at = 1\n"}),
}

IN_ORDER: Final = {
    "optional weight in tests": {"tests/conftest.py": "from objects import s3\n"},
    "a class of types only": {"ids.py": "class DataBaseline:\n    pass\n\n\nclass Basement:\n    pass\n"},
    "a sentence, not SQL": {"rookery/cli.py": HOUSE["rookery/cli.py"] + "HELP = 'Select a room from the list.'\n"},
    "a question in private": {"ids.py": "def _at():\n    '''When it was.'''\n"},
    "a noun that ends so": {
        "meeting/calls.py": "import ids\n",
        "meeting/__init__.py": "",
        "rookery/__main__.py": HOUSE["rookery/__main__.py"] + "from meeting import calls\n",
    },
    "SQL in a docstring": {"router/app.py": "'''SELECT id FROM users happens elsewhere.'''\n" + HOUSE["router/app.py"]},
    "an ignore with its code": {"ids.py": "at = 1  # type: ignore[assignment]\nwords = '# type: ignore'\n"},
    "an expected exception": {"ids.py": "try:\n    at = 1\nexcept KeyError:\n    pass\nexcept Exception:\n    raise\n"},
    "an event in SQL": {
        "shard/tables/messages.py": HOUSE["shard/tables/messages.py"]
        + "run(\"DELETE FROM events WHERE type = 'message.created'\")\n"
    },
    "an event in a test": {"tests/conftest.py": "import boto3\n\nTOLD = 'message.created'\n"},
    "an event in a sentence": {"router/app.py": "'''Tell of 'message.creatd'.'''\n" + HOUSE["router/app.py"]},
    "a noun of no event": {"rookery/cli.py": HOUSE["rookery/cli.py"] + "FILE = 'rookery.toml'\n"},
    "an act of the directory": {
        "directory/users.py": HOUSE["directory/users.py"] + "from directory import audit\n",
        "directory/audit.py": "CREATED = 'message.created'\n",
    },
    "a function of 70 lines": {"ids.py": "def at():\n" + "    print()\n" * 69},
    "a file of 400 lines": {"ids.py": "at = 1\n" * 400},
    "a package's front": {"directory/__init__.py": "from directory import users\n"},
    "a program of its own": {"bench/plot.py": "if __name__ == '__main__':\n    print()\n"},
}
