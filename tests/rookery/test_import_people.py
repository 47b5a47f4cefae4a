"""Whom an import makes whom: owners and authors whom nobody can become by a name, and how people get their accounts."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from directory import audit, members, placeholders, users
from ids import UserId
from rookery import composition
from rookery.composition import now_ms
from shard.actions import members as member_actions
from shard.actions import moderation
from shard.tables.bans import Ban
from tests.rookery.histories import BEGAN, encoded, find, read_back, settings
from tests.rookery.terminal import Ended, invoke

PASSWORD = b"correct horse\n"
LINES: list[dict[str, Any]] = [
    {"channel": "general", "topic": "", "user": user, "timestamp": BEGAN + number, "content": f"{number} by {user}"}
    for number, user in enumerate(("grace", "Alan T.", "grace", "mallory"))
]


def rookery(folder: Path, *words: object, stdin: bytes = b"") -> Ended:
    """Run a command over a data folder of its own."""
    return invoke("--data", folder / "data", *words, "--json", stdin=stdin.decode())


def load(folder: Path, *more: object, lines: list[dict[str, Any]] = LINES) -> Ended:
    """Import lines into the room lean."""
    (folder / "history.jsonl").write_bytes(encoded(lines))
    return rookery(folder, "import", folder / "history.jsonl", "--room", "lean", *more)


def register(folder: Path, *names: str) -> dict[str, UserId]:
    """Make accounts with passwords, and return their ids."""
    made = [rookery(folder, "user", "create", name, "--password-stdin", stdin=PASSWORD).json for name in names]
    return {account["username"]: UserId(int(account["id"])) for account in made}


async def authors(folder: Path) -> dict[str, UserId]:
    """Return who wrote what is in the room, by the name in the history."""
    async with composition.open_stores(settings(folder / "data")) as stores:
        room = await find(stores, "lean")
        async with stores.directory.database.read() as reader:
            return {person.name: person.user_id for person in await placeholders.of_room(reader, room.id)}


async def present(folder: Path) -> set[UserId]:
    """Return who is in the room, by the shard, which the directory must agree with."""
    async with composition.open_stores(settings(folder / "data")) as stores:
        room = await find(stores, "lean")
        inside = set(await stores.pool.read(room.id, member_actions.present_members))
        async with stores.directory.database.read() as reader:
            rows = await reader.fetch_all("SELECT user_id FROM room_members WHERE room_id = ?", (room.id,))
        assert {row[0] for row in rows} == inside
        return inside


@pytest.mark.security
async def test_nobody_becomes_the_owner_by_a_name(tmp_path: Path) -> None:
    """Whoever registers whatever name before or after an import without --owner does not own its room."""
    before = register(tmp_path, "importer", "Import")
    assert load(tmp_path).code == 0
    after = register(tmp_path, "imports")
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        assert room.owner_id not in {*before.values(), *after.values()}
        async with stores.directory.database.read() as reader:
            assert room.owner_id is not None
            assert await placeholders.is_ownerless(reader, room.owner_id)
            owner = await users.find(reader, room.owner_id)
    assert owner.username.startswith("imported_")
    shown = rookery(tmp_path, "user", "show", owner.username).json
    assert (shown["has_password"], shown["rooms"]) == (False, ["lean"])


async def test_a_room_of_nobody_is_taken_over(tmp_path: Path) -> None:
    """A later import with --owner gives the room to that account, and one that is somebody's to nobody else."""
    people = register(tmp_path, "alice", "carol")
    assert load(tmp_path).code == 0
    taken = load(tmp_path, "--owner", "alice")
    assert (taken.code, taken.json["messages_known"]) == (0, 4)
    assert rookery(tmp_path, "room", "show", "lean").json["owner"] == "alice"
    assert people["alice"] in await present(tmp_path)
    assert "belongs to someone else" in load(tmp_path, "--owner", "carol").json["error"]
    assert load(tmp_path, "--owner", str(people["alice"])).code == 0


@pytest.mark.security
async def test_an_account_is_no_author_by_its_name(tmp_path: Path) -> None:
    """Accounts that bear a name of the history, made before or after it, get neither its messages nor into the room."""
    accounts = register(tmp_path, "grace", "ada")
    loaded = load(tmp_path, "--owner", "ada")
    assert (loaded.json["users"], loaded.json["matched"]) == (3, [])
    later = register(tmp_path, "mallory")
    found = await authors(tmp_path)
    assert set(found) == {"grace", "Alan T.", "mallory"}
    assert not set(found.values()) & {*accounts.values(), *later.values()}
    assert await present(tmp_path) == {accounts["ada"]}
    again = load(tmp_path)
    assert (again.json["messages_new"], again.json["messages_known"], await authors(tmp_path)) == (0, 4, found)


@pytest.mark.security
async def test_who_was_kicked_or_banned_stays_out(tmp_path: Path) -> None:
    """A history that the operator maps to accounts brings back neither the kicked nor the banned, but all messages."""
    accounts = register(tmp_path, "ada", "grace", "mallory")
    assert load(tmp_path, "--owner", "ada", lines=LINES[1:2]).code == 0
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        ada, ban = accounts["ada"], Ban(accounts["mallory"], None, accounts["ada"], now_ms(), None)
        for name in ("grace", "mallory"):
            user_id = accounts[name]
            await stores.pool.write(room.id, member_actions.join, user_id, now_ms=now_ms())
            if name == "grace":
                await stores.pool.write(room.id, moderation.kick, ada, user_id, reason=None, now_ms=now_ms())
            else:
                await stores.pool.write(room.id, moderation.ban, ada, ban, now_ms=now_ms())
            async with stores.directory.database.write() as writer:
                await members.remove(writer, room.id, user_id)
    loaded = load(tmp_path, "--match-usernames")
    assert (loaded.code, loaded.json["messages_new"]) == (0, 3)
    assert await present(tmp_path) == {accounts["ada"]}
    found = await authors(tmp_path)
    assert (found["grace"], found["mallory"]) == (accounts["grace"], accounts["mallory"])


async def test_the_operator_names_accounts(tmp_path: Path) -> None:
    """--map makes accounts the authors for good; a contradiction, and a map that cannot be right, is refused."""
    accounts = register(tmp_path, "grace", "turing")
    map_ = tmp_path / "map.json"
    for content, error in (
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"grace": 1}', "is not a JSON object"),
        (b'{"grace": "nobody"}', "there is no user nobody"),
    ):
        map_.write_bytes(content)
        assert error in load(tmp_path, "--map", map_).json["error"]
    assert rookery(tmp_path, "room", "list").json == []
    map_.write_bytes(b"\xef\xbb\xbf" + orjson.dumps({"Alan T.": "TURING", "nobody here": "grace"}))
    assert load(tmp_path, "--map", map_).code == 0
    found = await authors(tmp_path)
    assert found["Alan T."] == accounts["turing"]
    assert found["grace"] != accounts["grace"]
    for more in ((), ("--map", map_), ("--match-usernames",)):
        assert load(tmp_path, *more).json["messages_known"] == 4
    map_.write_bytes(orjson.dumps({"Alan T.": "grace"}))
    refused = load(tmp_path, "--map", map_)
    assert (refused.code, "was imported into this room as another account" in refused.json["error"]) == (1, True)
    async with (
        composition.open_directory(settings(tmp_path / "data")) as directory,
        directory.database.read() as reader,
    ):
        acts = await audit.list_page(reader, audit.Filter(None, "room.imported"))
    assert [act.metadata["accounts"] for act in acts] == [[str(accounts["turing"])]]


def test_matching_by_name_is_said(tmp_path: Path) -> None:
    """--match-usernames takes accounts by their usernames, names those, and warns."""
    register(tmp_path, "GRACE")
    (tmp_path / "history.jsonl").write_bytes(encoded(LINES))
    words = ("import", tmp_path / "history.jsonl", "--room", "lean", "--match-usernames")
    told = invoke("--data", tmp_path / "data", *words)
    assert "Warning: 1 account taken for authors by name alone: grace" in told.err
    assert load(tmp_path, "--match-usernames").json["matched"] == []


async def test_a_person_claims_their_messages(tmp_path: Path) -> None:
    """Who was imported gets their account with a username and a password, and their messages are theirs, also later."""
    assert load(tmp_path, "--public").code == 0
    before = await authors(tmp_path)
    claim = ("user", "claim", "grace", "grace_h", "--room", "lean", "--password-stdin")
    claimed = rookery(tmp_path, *claim, stdin=PASSWORD)
    assert claimed.json == {"id": str(before["grace"]), "username": "grace_h", "display_name": "grace"}
    assert rookery(tmp_path, *claim, stdin=PASSWORD).code == 1
    listed = {each["name"]: each for each in rookery(tmp_path, "user", "imported", "lean").json}
    assert {name: each["is_claimed"] for name, each in listed.items()} == {
        "Alan T.": False, "grace": True, "mallory": False,
    }  # fmt: skip
    assert listed["grace"]["username"] == "grace_h"
    more = [*LINES, {**LINES[0], "content": "one more"}]
    assert load(tmp_path, lines=more).json["messages_new"] == 1
    assert await authors(tmp_path) == before
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        said = await read_back(stores, await find(stores, "lean"))
    assert [text for _, name, _, text in said["general"] if name == "grace"] == ["0 by grace", "one more", "2 by grace"]
    assert before["grace"] not in await present(tmp_path)


async def test_earlier_imports_keep_their_people(tmp_path: Path) -> None:
    """Placeholders that were known by their usernames before are bound by the migration, and accounts are not."""
    assert load(tmp_path).code == 0
    found = await authors(tmp_path)
    migration = Path("migrations/central/0010_imported_people.sql").read_text()
    bind = migration[migration.index("INSERT OR IGNORE") :]
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        account = register(tmp_path, "mallory")["mallory"]
        async with stores.directory.database.write() as writer:
            await writer.execute("DELETE FROM imported_people")
            for user_id in (found["grace"], found["Alan T."], account):
                await members.add(writer, room.id, user_id, joined_at=now_ms())
            await writer.execute(bind)
    assert await authors(tmp_path) == {"grace": found["grace"], "Alan T.": found["Alan T."]}
    assert load(tmp_path).json["messages_known"] == 3
