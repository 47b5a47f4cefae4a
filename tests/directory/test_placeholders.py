"""Accounts of people who are known from imported histories: bound by id, and nobody's until they are claimed."""

import re
from typing import Any, cast

import apsw
import pytest

from database.errors import ConstraintError
from directory import accounts, audit, credentials, errors, placeholders, users
from directory.database import Database
from directory.directory import Directory
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000
PASSWORD = "correct horse battery"


async def bind(database: Database, room_id: RoomId, *names: str) -> dict[str, UserId]:
    """Make placeholders and bind them."""
    async with database.write() as writer:
        made = await placeholders.create(writer, names, now_ms=NOW_MS)
        await placeholders.bind(writer, room_id, made, are_placeholders=True)
    return made


@pytest.mark.security
async def test_a_placeholder_is_made_of_nothing_that_can_be_foreseen(world: Any) -> None:
    """Every name gets an account of its own with a random username, which does not keep others from theirs."""
    names = ["alice", "Alice", "Mario Rossi", "李雷", "x" * 200, "carol"]
    first, second = await bind(world.database, world.lean.id, *names), {}
    async with world.database.write() as writer:
        second = await placeholders.create(writer, names, now_ms=NOW_MS)
        made = [await users.find(writer, user_id) for user_id in (*first.values(), *second.values())]
        assert len({user.id for user in made}) == len({user.username for user in made}) == 2 * len(names)
        assert all(re.fullmatch(r"imported_[0-9a-f]{20}", user.username) for user in made)
        assert [user.display_name for user in made[:6]] == [name[:100] for name in names]
        assert world.alice.id not in first.values()
        assert (await users.create(writer, username="carol", now_ms=NOW_MS)).id not in first.values()


async def test_a_name_means_the_same_in_its_room_alone(world: Any, database: Database) -> None:
    """What was bound is found again by room and exact name, and never bound to another."""
    made = await bind(database, world.lean.id, "Ada", "ada")
    async with database.read() as reader:
        assert await placeholders.bound(reader, world.lean.id, ["Ada", "ada", "bob"]) == made
        assert await placeholders.bound(reader, RoomId(1), ["Ada", "ada"]) == {}
        assert [person.name for person in await placeholders.of_room(reader, world.lean.id)] == ["Ada", "ada"]
        assert [person.name for person in await placeholders.of_room(reader, world.lean.id, after="Ada")] == ["ada"]
    with pytest.raises(ConstraintError):
        await bind(database, world.lean.id, "Ada")


async def test_a_placeholder_is_claimed_once(world: Any, directory: Directory) -> None:
    """Who claims a name gets its account by a username and password of theirs, once; the log says so."""
    database = directory.database
    made = await bind(database, world.lean.id, "Ada L.")

    async def claim(username: str, name: str = "Ada L.") -> Any:
        return await placeholders.claim(
            database, directory.passwords, world.lean.id, name, username=username, password=PASSWORD, now_ms=NOW_MS
        )

    for username, error in (("ALICE", errors.UsernameTakenError), ("imported_ada", errors.ReservedUsernameError)):
        with pytest.raises(error):
            await claim(username)
    with pytest.raises(errors.UserNotFoundError):
        await claim("ada", "Ada")
    user = await claim("ada")
    assert (user.id, user.username, user.display_name) == (made["Ada L."], "ada", "Ada L.")
    signed_in = await accounts.log_in(directory, name="ada", password=PASSWORD, now_ms=NOW_MS)
    assert signed_in.user.id == user.id
    with pytest.raises(errors.AlreadyClaimedError):
        await claim("other")
    async with database.read() as reader:
        assert await placeholders.bound(reader, world.lean.id, ["Ada L."]) == made
        person = await placeholders.find(reader, world.lean.id, "Ada L.")
        assert (person.username, person.is_placeholder) == ("ada", False)
        acts = {entry.action: entry for entry in await audit.list_page(reader)}
    assert acts["user.claimed"].metadata == {"room_id": str(world.lean.id), "username": "ada"}


@pytest.mark.security
async def test_an_account_that_was_named_is_never_claimed(world: Any, directory: Directory) -> None:
    """Somebody's account under a name of a history, and a placeholder with a password, are given to nobody else."""
    database = directory.database
    made = await bind(database, world.lean.id, "Bea")
    async with database.write() as writer:
        await placeholders.bind(writer, world.lean.id, {"Alice": world.alice.id}, are_placeholders=False)
        await credentials.store(writer, made["Bea"], await directory.passwords.hash(PASSWORD), now_ms=NOW_MS)
    for name in ("Alice", "Bea"):
        with pytest.raises(errors.AlreadyClaimedError):
            await placeholders.claim(
                database, directory.passwords, world.lean.id, name, username="eve", password=PASSWORD, now_ms=NOW_MS
            )


async def test_thousands_of_placeholders(database: Database, world: Any) -> None:
    """An import of thousands of people takes a few statements, not one hop for each."""
    statements: list[str] = []
    real = cast(Any, database._writer._proxy._conn).connection
    real.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: statements.append(event["sql"]))
    names = [f"person_{number}" for number in range(5_000)]
    made = await bind(database, world.lean.id, *names)
    async with database.read() as reader:
        assert await placeholders.bound(reader, world.lean.id, names) == made
    real.trace_v2(0, None)
    assert len(set(made.values())) == 5_000
    assert len([sql for sql in statements if sql.startswith("SELECT")]) <= 4
