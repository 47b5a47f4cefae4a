"""Accounts: their names, what others see of them, and the placeholders of imported histories."""

import asyncio
from pathlib import Path
from typing import Any

import apsw
import pytest

from directory import errors, user_settings, users
from directory.database import Database
from directory.skeletons import skeleton
from ids import UserId

NOW_MS = 1_760_000_000_000


async def create(database: Database, username: str, email: str | None = None) -> users.User:
    async with database.write() as writer:
        return await users.create(writer, username=username, email=email, now_ms=NOW_MS)


async def test_create_and_find(database: Database) -> None:
    """A user is found by id and by name in any case, with the spelling of creation."""
    alice = await create(database, "Alice_7", "a@example.org")
    async with database.read() as reader:
        assert await users.find(reader, alice.id) == alice
        assert await users.find_by_username(reader, "ALICE_7") == alice
        with pytest.raises(errors.UserNotFoundError):
            await users.find_by_username(reader, "alice")
    assert (alice.username, alice.status, alice.is_bot, alice.created_at) == ("Alice_7", "active", False, NOW_MS)


@pytest.mark.parametrize("username", ["ab", "a" * 31, "with space", "ünïcode", "dash-ed", "", "nul\0l", "line\n"])
async def test_bad_usernames(database: Database, username: str) -> None:
    """Names of another shape are refused, and the longest good one is not."""
    await create(database, "a1" * 15)
    with pytest.raises(errors.BadUsernameError):
        await create(database, username)


@pytest.mark.parametrize(
    ("username", "email", "error"),
    [
        ("aLICE_lee", None, errors.UsernameTakenError),
        ("A1ice_Lee", None, errors.ConfusableUsernameError),
        ("alice__lee", None, errors.ConfusableUsernameError),
        ("AliceLeeeee", None, errors.ConfusableUsernameError),
        ("AliceeLee", None, None),
        ("other", "ALICE@example.org", errors.EmailTakenError),
        ("other", "alice@example.com", None),
    ],
)
async def test_taken(database: Database, username: str, email: str | None, error: type[Exception] | None) -> None:
    """Names are compared by case and by look, addresses by case; what differs to the eye is free."""
    await create(database, "Alice_Lee", "alice@example.org")
    if error is None:
        await create(database, username, email)
    else:
        with pytest.raises(error) as caught:
            await create(database, username, email)
        assert caught.type is error


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("paypal", "PAYPAL", True),
        ("paypal", "paypa1", True),
        ("bill", "b1l_l", True),
        ("s0rnia", "5omia", True),
        ("vvendy", "wendy", True),
        ("goooogle", "google", True),
        ("___", "_____", True),
        ("bob", "bobb", False),
        ("user2", "user3", False),
    ],
)
def test_skeletons(name: str, other: str, same: bool) -> None:
    """Look-alikes have one skeleton, other names their own."""
    assert (skeleton(name) == skeleton(other)) is same


async def test_two_creations_of_one_name(database: Database, path: Path) -> None:
    """Of many who want one name at once, here and in another process, one gets it."""
    beside = await Database.open(path, now_ms=NOW_MS)
    wanted = [create(place, name) for name in ("carol", "CAROL", "car0l") for place in (database, beside)]
    done = await asyncio.gather(*wanted, return_exceptions=True)
    await beside.close()
    assert sum(isinstance(result, users.User) for result in done) == 1
    assert sum(isinstance(result, errors.UsernameTakenError) for result in done) == 5


async def test_profiles(database: Database) -> None:
    """A profile shows a name in any case, and nothing of a deleted user."""
    alice, bob = await create(database, "alice"), await create(database, "bobby")
    async with database.write() as writer:
        await users.update_profile(writer, alice.id, {"display_name": "Alice L.", "avatar_url": "/a"}, now_ms=NOW_MS)
        await users.update_profile(writer, bob.id, {"display_name": "Bob", "avatar_url": "/b"}, now_ms=NOW_MS)
        await users.set_status(writer, bob.id, "deleted", now_ms=NOW_MS)
        found = await users.profiles(writer, [alice.id, bob.id, UserId(5)])
    assert found == {
        alice.id: users.Profile(alice.id, "alice", "Alice L.", "/a", is_bot=False, is_deleted=False),
        bob.id: users.Profile(bob.id, f"deleted_{bob.id}", "Deleted user", None, is_bot=False, is_deleted=True),
    }


async def test_update_profile_changes_what_is_named(database: Database) -> None:
    """Fields that are not named stay; None clears one."""
    alice = await create(database, "alice")
    async with database.write() as writer:
        await users.update_profile(writer, alice.id, {"bio": "Hello", "display_name": "A"}, now_ms=NOW_MS)
        changed = await users.update_profile(writer, alice.id, {"display_name": None}, now_ms=NOW_MS + 1)
    assert (changed.bio, changed.display_name, changed.updated_at) == ("Hello", None, NOW_MS + 1)


async def test_pages(database: Database) -> None:
    """Pages follow each other by id without gap or double."""
    made = [(await create(database, f"person{number}")).id for number in (2, 3, 4, 6, 7)]
    seen: list[int] = []
    async with database.read() as reader:
        while page := await users.list_page(reader, after=seen[-1] if seen else 0, limit=2):
            seen += [user.id for user in page]
    assert seen == made


async def test_placeholders_are_the_same_again(database: Database) -> None:
    """Every name gets one user of its own; asking again, in any order or part, gives the same users."""
    bob = await create(database, "Bob")
    names = ["user00011", "user00111", "Mario Rossi", "mario rossi", "Bob", "bob", "李雷", "", "x" * 200]
    async with database.write() as writer:
        made = await users.ensure_placeholders(writer, names, now_ms=NOW_MS)
    async with database.write() as writer:
        again = await users.ensure_placeholders(writer, [*reversed(names), "Bob"], now_ms=NOW_MS + 1)
        part = await users.ensure_placeholders(writer, ["bob"], now_ms=NOW_MS + 1)
        mario = await users.find(writer, made["Mario Rossi"])
        await writer.execute("UPDATE users SET username = 'Robert', skeleton = 'robert' WHERE id = ?", (bob.id,))
        other = await users.create(writer, username="bob", now_ms=NOW_MS)
        later = await users.ensure_placeholders(writer, ["bob"], now_ms=NOW_MS + 1)
    assert later["bob"] == made["bob"] != other.id
    assert list(made) == names
    assert len(set(made.values())) == len(names)
    assert made["Bob"] == bob.id
    assert again == made
    assert part["bob"] == made["bob"]
    assert mario.display_name == "Mario Rossi"
    assert mario.username.startswith("Mario_Rossi_")


async def test_nobody_may_look_like_a_placeholder(database: Database) -> None:
    """Imported people may look alike among themselves, later accounts may not look like them."""
    async with database.write() as writer:
        await users.ensure_placeholders(writer, ["user00011", "user00111"], now_ms=NOW_MS)
    with pytest.raises(errors.ConfusableUsernameError):
        await create(database, "user_00011_")


async def test_thousands_of_placeholders(database: Database) -> None:
    """An import of thousands of people takes a few statements, not one hop for each."""
    statements: list[str] = []
    real: Any = database._writer._proxy._conn
    real.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: statements.append(event["sql"]))
    async with database.write() as writer:
        few = await users.ensure_placeholders(writer, ["person_0"], now_ms=NOW_MS)
        made = await users.ensure_placeholders(writer, [f"person_{n}" for n in range(5_000)], now_ms=NOW_MS)
    real.trace_v2(0, None)
    assert len(set(made.values())) == 5_000
    assert made["person_0"] == few["person_0"]
    assert len([sql for sql in statements if sql.startswith("SELECT")]) <= 4


async def test_settings(database: Database) -> None:
    """Settings start as the defaults, and a change leaves the others."""
    alice = await create(database, "alice")
    async with database.write() as writer:
        assert await user_settings.find(writer, alice.id) == user_settings.UserSettings()
        await user_settings.update(writer, alice.id, {"theme": "dark", "settings": {"ünï": [1]}}, now_ms=NOW_MS)
        await user_settings.update(writer, alice.id, {"compact_mode": True}, now_ms=NOW_MS)
        found = await user_settings.find(writer, alice.id)
        with pytest.raises(errors.RefusedValueError):
            await user_settings.update(writer, alice.id, {"settings": {"big": "x" * 70_000}}, now_ms=NOW_MS)
    assert found == user_settings.UserSettings(theme="dark", compact_mode=True, settings={"ünï": [1]})
