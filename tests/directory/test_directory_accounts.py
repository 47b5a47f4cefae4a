"""Signing up and in, and what operators do to accounts; every act leaves its line and no secret in it."""

import asyncio
from typing import Any

import pytest

from directory import accounts, audit, credentials, errors, global_bans, sessions, users
from directory.capabilities import Capability
from directory.client_info import ClientInfo
from directory.credentials import Passwords
from directory.directory import Directory
from ids import UserId

NOW_MS = 1_760_000_000_000
PASSWORD = "correct horse battery"
CLIENT = ClientInfo("127.0.0.1", "a browser" * 100)


@pytest.fixture
async def carol(directory: Directory) -> accounts.SignedIn:
    return await accounts.sign_up(
        directory, username="carol", password=PASSWORD, email="carol@example.org", client=CLIENT, now_ms=NOW_MS
    )


async def log_in(directory: Directory, name: str = "carol", password: str = PASSWORD) -> accounts.SignedIn:
    return await accounts.log_in(directory, name=name, password=password, client=CLIENT, now_ms=NOW_MS + 1)


async def actions(directory: Directory) -> list[str]:
    async with directory.database.read() as reader:
        return [entry.action for entry in reversed(await audit.list_page(reader))]


async def is_alive(directory: Directory, signed_in: accounts.SignedIn) -> bool:
    viewer = await directory.sessions.load(sessions.hash_token(signed_in.token), now_ms=NOW_MS + 2)
    return viewer is not None and viewer.user_id == signed_in.user.id


async def test_sign_up_then_in(directory: Directory, carol: accounts.SignedIn) -> None:
    """A new user is signed in at once, and later by name in any case or by address."""
    assert await is_alive(directory, carol)
    for name in ("carol", "CAROL", "Carol@Example.org"):
        signed_in = await log_in(directory, name)
        assert await is_alive(directory, signed_in)
        assert signed_in.user.last_login_at == NOW_MS + 1
    assert await actions(directory) == ["user.registered"] + ["user.logged_in"] * 3


async def test_no_secret_is_kept(directory: Directory, carol: accounts.SignedIn) -> None:
    """Neither password nor token is in any table."""
    await log_in(directory)
    async with directory.database.read() as reader:
        tables = await reader.fetch_all("SELECT name FROM sqlite_schema WHERE type = 'table'")
        kept = [str(await reader.fetch_all(f"SELECT * FROM {name}")) for (name,) in tables]
    assert any("$argon2id$" in text for text in kept)
    assert not any(PASSWORD in text or carol.token in text for text in kept)


@pytest.mark.parametrize("password", [PASSWORD, "wrong horse battery"])
@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("fine", None),
        ("suspended", errors.AccountSuspendedError),
        ("banned", errors.AccountBannedError),
        ("unbanned", None),
        ("deleted", errors.BadCredentialsError),
    ],
)
async def test_who_can_log_in(
    directory: Directory, carol: accounts.SignedIn, password: str, state: str, error: type[Exception] | None
) -> None:
    """Only whom knows the password hears of a suspension or a ban; deleted users are unknown."""
    async with directory.database.write() as writer:
        if state in ("suspended", "deleted"):
            await users.set_status(writer, carol.user.id, state, now_ms=NOW_MS)  # type: ignore[arg-type]
        if state in ("banned", "unbanned"):
            ends = NOW_MS + (100 if state == "banned" else 1)
            await global_bans.add(writer, carol.user.id, reason="spam", by=None, expires_at=ends, now_ms=NOW_MS)
    if error is None and password == PASSWORD:
        await log_in(directory, password=password)
        return
    with pytest.raises(errors.RefusedError) as caught:
        await log_in(directory, password=password)
    assert caught.type is (error if password == PASSWORD else errors.BadCredentialsError)


async def test_nobody_costs_as_much_as_somebody(
    directory: Directory, carol: accounts.SignedIn, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown users, users without password and wrong passwords are verified once each and refused alike."""
    verified: list[bytes] = []
    matches = Passwords._matches

    def count(self: Passwords, password_hash: str, password: bytes) -> bool:
        verified.append(password)
        return matches(self, password_hash, password)

    monkeypatch.setattr(Passwords, "_matches", count)
    async with directory.database.write() as writer:
        await writer.execute("DELETE FROM credentials WHERE user_id = ?", (world.bob.id,))
    messages = set()
    for name in ("nobody", "nobody@example.org", "bob", "carol"):
        with pytest.raises(errors.BadCredentialsError) as caught:
            await log_in(directory, name, "wrong horse battery")
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert verified == [b"wrong horse battery"] * 4
    await log_in(directory)
    assert len(verified) == 5


async def test_weak_hashes_are_replaced_at_login(directory: Directory, carol: accounts.SignedIn) -> None:
    """A hash of weaker parameters becomes one of today's when its password is known."""
    weak = Passwords(1, 1, memory_kib=16, time_cost=1)
    async with directory.database.write() as writer:
        await credentials.store(writer, carol.user.id, await weak.hash(PASSWORD), now_ms=NOW_MS)
    await weak.close()
    for _ in range(2):
        await log_in(directory)
        async with directory.database.read() as reader:
            stored = await credentials.find(reader, carol.user.id)
        assert stored is not None
        assert not directory.passwords.is_outdated(stored)


async def test_a_password_changed_during_login(directory: Directory, carol: accounts.SignedIn) -> None:
    """A login that verified the old password does not get in after it was replaced."""
    verify = directory.passwords.verify

    async def verify_then_change(password_hash: str | None, password: str) -> bool:
        matches = await verify(password_hash, password)
        await accounts.set_password(
            directory.database, directory.passwords, carol.user.id, "another password", now_ms=NOW_MS
        )
        return matches

    directory.passwords.verify = verify_then_change  # type: ignore[method-assign]
    with pytest.raises(errors.BadCredentialsError):
        await log_in(directory)


async def test_change_password(directory: Directory, carol: accounts.SignedIn) -> None:
    """The old password is asked for; the new one holds; every session but this one ends."""
    other, change = await log_in(directory), accounts.change_password
    keep = carol.session.token_hash
    with pytest.raises(errors.BadCredentialsError):
        await change(directory, carol.user.id, old="wrong password", new="a new password", keep=keep, now_ms=NOW_MS)
    with pytest.raises(errors.BadPasswordError):
        await change(directory, carol.user.id, old=PASSWORD, new="short", keep=keep, now_ms=NOW_MS)
    assert await is_alive(directory, other)
    await change(directory, carol.user.id, old=PASSWORD, new="a new password", keep=keep, now_ms=NOW_MS)
    assert (await is_alive(directory, carol), await is_alive(directory, other)) == (True, False)
    with pytest.raises(errors.BadCredentialsError):
        await log_in(directory)
    await log_in(directory, password="a new password")
    assert (await actions(directory))[-2:] == ["user.password_changed", "user.logged_in"]


async def test_log_out(directory: Directory, carol: accounts.SignedIn) -> None:
    """Logging out ends this session; everywhere ends them all."""
    second, third = await log_in(directory), await log_in(directory)
    assert await accounts.log_out(directory.database, second.session.token_hash)
    assert not await accounts.log_out(directory.database, second.session.token_hash)
    assert [await is_alive(directory, one) for one in (carol, second, third)] == [True, False, True]
    assert await accounts.log_out_everywhere(directory.database, carol.user.id) == 2
    assert [await is_alive(directory, one) for one in (carol, third)] == [False, False]


async def test_guests(directory: Directory) -> None:
    """Guests get names of their own and a session, and nobody can log in to them."""
    guests = await asyncio.gather(
        *(accounts.start_anonymous(directory, display_name="Me", client=CLIENT, now_ms=NOW_MS) for _ in range(10))
    )
    assert len({guest.user.username for guest in guests}) == 10
    assert all([guest.user.is_anonymous and await is_alive(directory, guest) for guest in guests])
    with pytest.raises(errors.BadCredentialsError):
        await log_in(directory, guests[0].user.username)


async def test_capabilities(directory: Directory, carol: accounts.SignedIn) -> None:
    """Promotions and demotions are told once each; the last administrator stays."""
    give, take = accounts.promote, accounts.demote
    assert await give(directory.database, carol.user.id, Capability.ADMIN, now_ms=NOW_MS)
    assert not await give(directory.database, carol.user.id, Capability.ADMIN, now_ms=NOW_MS)
    with pytest.raises(errors.LastAdminError):
        await take(directory.database, carol.user.id, Capability.ADMIN, now_ms=NOW_MS)
    assert not await take(directory.database, carol.user.id, Capability.MODERATOR, now_ms=NOW_MS)
    dave = await accounts.register(
        directory.database, directory.passwords, username="dave", password=PASSWORD, now_ms=NOW_MS
    )
    await give(directory.database, dave.id, Capability.ADMIN, by=carol.user.id, now_ms=NOW_MS)
    assert await take(directory.database, carol.user.id, Capability.ADMIN, by=dave.id, now_ms=NOW_MS)
    with pytest.raises(errors.UserNotFoundError):
        await give(directory.database, UserId(1), Capability.ADMIN, now_ms=NOW_MS)
    assert [action for action in await actions(directory) if action.startswith("capability")] == [
        "capability.granted",
        "capability.granted",
        "capability.revoked",
    ]


async def test_suspend_ban_and_reinstate(directory: Directory, carol: accounts.SignedIn) -> None:
    """A suspension or a ban ends the sessions; reinstating lets in again, but not a deleted account."""
    database, user_id = directory.database, carol.user.id
    await accounts.suspend(database, user_id, reason="spam", now_ms=NOW_MS)
    assert not await is_alive(directory, carol)
    await accounts.reinstate(database, user_id, now_ms=NOW_MS)
    assert not await is_alive(directory, carol)
    again = await log_in(directory)
    await accounts.ban(database, user_id, reason="more spam", now_ms=NOW_MS)
    assert not await is_alive(directory, again)
    with pytest.raises(errors.AccountBannedError, match="more spam"):
        await log_in(directory)
    async with database.write() as writer:
        await users.set_status(writer, user_id, "deleted", now_ms=NOW_MS)
    for act in (
        accounts.reinstate(database, user_id, now_ms=NOW_MS),
        accounts.suspend(database, user_id, reason="spam", now_ms=NOW_MS),
    ):
        with pytest.raises(errors.UserNotFoundError):
            await act
    assert (await actions(directory))[1:] == ["user.suspended", "user.reinstated", "user.logged_in", "user.banned"]
