"""Accounts: their names, and what others see of them."""

import asyncio
from pathlib import Path

import pytest

from database.errors import ConstraintError
from directory import errors, user_settings, users
from directory.database import SCHEMA, Database
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


@pytest.mark.security
@pytest.mark.parametrize(
    "username",
    [
        "123", "1573346223362932736", "0" * 30, "guest_anna", "GUEST_x", "gue5t_1", "__guest_", "hook_keeper", "h00k_9",
        "deleted_42", "De1eted_42", "imported_ada", "Everyone", "every_one", "here", "_Here_",
    ],
)  # fmt: skip
async def test_reserved_usernames(database: Database, username: str) -> None:
    """Names like an id, like those of the system, or like a call to everyone are refused to all but the system."""
    with pytest.raises(errors.ReservedUsernameError, match="is reserved"):
        await create(database, username)
    async with database.write() as writer:
        user = await users.create(writer, username=username, is_named_by_system=True, now_ms=NOW_MS)
    assert user.username == username


@pytest.mark.parametrize(
    "username", ["guesting", "guests_of_ada", "hooked_on_it", "4ever", "12_34", "heredity", "undeleted_1"]
)
async def test_names_near_reserved_ones_are_free(database: Database, username: str) -> None:
    """A name that only begins with the letters of a reserved one is given."""
    assert (await create(database, username)).username == username


async def test_a_number_is_first_an_id(database: Database) -> None:
    """A number finds the user of that id, and with an @ the one of that old username; else what there is."""
    alice = await create(database, "alice")
    async with database.write() as writer:
        likeness = await users.create(writer, username=str(alice.id), is_named_by_system=True, now_ms=NOW_MS)
        old = await users.create(writer, username="777", is_named_by_system=True, now_ms=NOW_MS)
        found = [
            (await users.find_named(writer, name)).id
            for name in (str(alice.id), f"@{alice.id}", "777", "@777", f"@{old.id}", "ALICE", "@alice")
        ]
        for name in ("778", "@778", "9" * 19, "@" + "9" * 19, "9" * 25, "nobody", "@"):
            with pytest.raises(errors.UserNotFoundError):
                await users.find_named(writer, name)
    assert found == [alice.id, likeness.id, old.id, old.id, old.id, alice.id, alice.id]


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
    beside = await Database.open(path, SCHEMA, now_ms=NOW_MS)
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


async def test_renaming(database: Database) -> None:
    """A user gets another name by the rules of new ones, and the old name is free again."""
    alice, bob = await create(database, "alice"), await create(database, "bob")
    async with database.write() as writer:
        assert (await users.rename(writer, alice.id, "Alicia", now_ms=NOW_MS + 1)).username == "Alicia"
        assert (await users.find_by_username(writer, "ALICIA")).id == alice.id
        for name, error in (
            ("BOB", errors.UsernameTakenError),
            ("b_ob", errors.ConfusableUsernameError),
            ("a b", errors.BadUsernameError),
            ("123", errors.ReservedUsernameError),
        ):
            with pytest.raises(error):
                await users.rename(writer, alice.id, name, now_ms=NOW_MS)
        assert (await users.rename(writer, bob.id, "alice", now_ms=NOW_MS)).id == bob.id
        with pytest.raises(errors.UserNotFoundError):
            await users.rename(writer, UserId(1), "carol", now_ms=NOW_MS)


async def test_bearers_of_names(database: Database) -> None:
    """Active people are found by their usernames in any case; bots and those who are gone are nobody's match."""
    alice, gone = await create(database, "Alice"), await create(database, "gone")
    async with database.write() as writer:
        await users.create(writer, username="a_bot", is_bot=True, now_ms=NOW_MS)
        await users.set_status(writer, gone.id, "suspended", now_ms=NOW_MS)
        found = await users.find_bearers(writer, ["ALICE", "alice", "gone", "a_bot", "nobody", "with space"])
    assert found == {"ALICE": alice.id, "alice": alice.id}


async def test_settings(database: Database) -> None:
    """Settings start as the defaults, and a change leaves the others."""
    alice = await create(database, "alice")
    async with database.write() as writer:
        assert await user_settings.find(writer, alice.id) == user_settings.UserSettings()
        await user_settings.update(writer, alice.id, {"theme": "dark", "settings": {"ünï": [1]}}, now_ms=NOW_MS)
        await user_settings.update(writer, alice.id, {"compact_mode": True}, now_ms=NOW_MS)
        found = await user_settings.find(writer, alice.id)
        with pytest.raises(ConstraintError):
            await user_settings.update(writer, alice.id, {"settings": {"big": "x" * 70_000}}, now_ms=NOW_MS)
    assert found == user_settings.UserSettings(theme="dark", compact_mode=True, settings={"ünï": [1]})
