"""Sessions and their cache: what lives, what slides, and what stays dead."""

import asyncio
from typing import Any

import pytest

from directory import accounts, capabilities, errors, global_bans, rooms, sessions, users
from directory.capabilities import Capability
from directory.directory import Directory
from directory.sessions import SLIDE_EVERY_MS, Session
from ids import UserId

NOW_MS = 1_760_000_000_000
MINUTE_MS = 60_000
SESSION_MS = 7 * 24 * 3_600_000


async def start(directory: Directory, user_id: UserId, now_ms: int = NOW_MS) -> Session:
    async with directory.database.write() as writer:
        token, session = await sessions.start(writer, user_id, session_ms=SESSION_MS, now_ms=now_ms)
    assert sessions.hash_token(token) == session.token_hash
    return session


@pytest.fixture
async def alice(directory: Directory, world: Any) -> UserId:
    user_id: UserId = world.alice.id
    return user_id


async def test_only_the_hash_is_kept(directory: Directory, alice: UserId) -> None:
    """Tokens are 256 random bits, and no column holds one."""
    async with directory.database.write() as writer:
        tokens = [(await sessions.start(writer, alice, session_ms=1, now_ms=NOW_MS))[0] for _ in range(3)]
        rows = await writer.fetch_all("SELECT * FROM sessions")
    assert len({*tokens}) == 3
    assert all(len(token) == 43 for token in tokens)
    assert not any(token in str(rows) for token in tokens)


async def test_load_then_peek(directory: Directory, alice: UserId) -> None:
    """Nothing is known before the first load; afterwards peek answers with the same viewer."""
    session = await start(directory, alice)
    assert directory.sessions.peek(session.token_hash, now_ms=NOW_MS) is None
    viewer = await directory.sessions.load(session.token_hash, now_ms=NOW_MS)
    assert viewer is not None
    assert (viewer.user_id, viewer.username, viewer.capabilities) == (alice, "Alice", frozenset())
    assert directory.sessions.peek(session.token_hash, now_ms=NOW_MS) is viewer
    assert await directory.sessions.load(bytes(32), now_ms=NOW_MS) is None


async def test_expiry_is_exact(directory: Directory, alice: UserId) -> None:
    """A session lives to its last millisecond, by peek and by load, and not a moment longer."""
    cached, fresh = await start(directory, alice), await start(directory, alice)
    end = cached.expires_at
    assert await directory.sessions.load(cached.token_hash, now_ms=end - 1) is not None
    assert directory.sessions.peek(cached.token_hash, now_ms=end - 1) is not None
    assert directory.sessions.peek(cached.token_hash, now_ms=end) is None
    assert await directory.sessions.load(fresh.token_hash, now_ms=end) is None


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_clock_that_steps_back_wakes_nobody(directory: Directory, alice: UserId, flushed: bool) -> None:
    """Once seen expired a session stays so, whatever the clock says later, in memory and on disk."""
    session = await start(directory, alice)
    await directory.sessions.load(session.token_hash, now_ms=NOW_MS)
    assert directory.sessions.peek(session.token_hash, now_ms=session.expires_at) is None
    if flushed:
        await directory.sessions.flush(now_ms=NOW_MS)
    assert directory.sessions.peek(session.token_hash, now_ms=NOW_MS) is None
    assert await directory.sessions.load(session.token_hash, now_ms=NOW_MS) is None
    async with directory.database.read() as reader:
        assert (await sessions.find_viewer(reader, session.token_hash, now_ms=NOW_MS) is None) is flushed


async def test_sliding(directory: Directory, alice: UserId) -> None:
    """A use more than an hour after the last slide lets the session live seven days from then; an earlier one not."""
    session = await start(directory, alice)
    for later, slides in ((SLIDE_EVERY_MS - 1, False), (SLIDE_EVERY_MS, True)):
        now_ms = NOW_MS + later
        await directory.sessions.load(session.token_hash, now_ms=now_ms)
        directory.sessions.peek(session.token_hash, now_ms=now_ms)
        await directory.sessions.flush(now_ms=now_ms + MINUTE_MS)
        async with directory.database.read() as reader:
            found = await sessions.find_viewer(reader, session.token_hash, now_ms=NOW_MS)
        assert found is not None
        assert found.expires_at == (now_ms + SESSION_MS if slides else session.expires_at)
    viewer = await directory.sessions.load(session.token_hash, now_ms=session.expires_at + 1)
    assert viewer is not None


async def test_a_late_slide_wakes_nobody(directory: Directory, alice: UserId) -> None:
    """A use just before the end that is written down after it comes too late; one for an ended session too."""
    late, ended = await start(directory, alice), await start(directory, alice)
    seen = late.expires_at - 1
    for session in (late, ended):
        assert await directory.sessions.load(session.token_hash, now_ms=seen) is not None
    await accounts.log_out(directory.database, ended.token_hash)
    await directory.sessions.flush(now_ms=late.expires_at)
    async with directory.database.read() as reader:
        assert await sessions.find_viewer(reader, late.token_hash, now_ms=NOW_MS) is None
        assert await sessions.find_viewer(reader, ended.token_hash, now_ms=NOW_MS) is None


async def test_a_slide_never_shortens(directory: Directory, alice: UserId) -> None:
    """A clock that went back a day does not take a day from the session."""
    session = await start(directory, alice)
    async with directory.database.write() as writer:
        seen = {session.token_hash: NOW_MS - 24 * SLIDE_EVERY_MS}
        await sessions.slide(writer, seen, session_ms=SESSION_MS, now_ms=NOW_MS)
        assert await sessions.of_user(writer, alice, now_ms=NOW_MS) == [session]


async def test_a_failed_flush_is_made_up_for(directory: Directory, alice: UserId) -> None:
    """Slides that could not be written are written by the next flush."""
    session = await start(directory, alice)
    used = NOW_MS + SLIDE_EVERY_MS
    await directory.sessions.load(session.token_hash, now_ms=used)
    await directory.database._writer.fetch_all("PRAGMA query_only = ON")
    with pytest.raises(Exception, match="readonly"):
        await directory.sessions.flush(now_ms=used)
    await directory.database._writer.fetch_all("PRAGMA query_only = OFF")
    await directory.sessions.flush(now_ms=used)
    async with directory.database.read() as reader:
        found = await sessions.find_viewer(reader, session.token_hash, now_ms=NOW_MS)
    assert found is not None
    assert found.expires_at == used + SESSION_MS


async def test_invalidation_is_exact(directory: Directory, alice: UserId, world: Any) -> None:
    """A change makes the cache forget what it touches, and nothing else."""
    hers, hers_too = await start(directory, alice), await start(directory, alice)
    his = await start(directory, world.bob.id)
    hashes = [session.token_hash for session in (hers, hers_too, his)]

    async def known_after(change: Any) -> list[bool]:
        for token_hash in hashes:
            await directory.sessions.load(token_hash, now_ms=NOW_MS)
        async with directory.database.write() as writer:
            await change(writer)
        return [directory.sessions.peek(token_hash, now_ms=NOW_MS) is not None for token_hash in hashes]

    async def nothing(_writer: Any) -> None: ...

    assert await known_after(nothing) == [True, True, True]
    assert await known_after(lambda w: users.set_last_login(w, alice, now_ms=NOW_MS)) == [True, True, True]
    assert await known_after(lambda w: rooms.set_full(w, world.lean.id, is_full=True, now_ms=1)) == [True, True, True]
    assert await known_after(lambda w: users.update_profile(w, alice, {}, now_ms=1)) == [False, False, True]
    grant = capabilities.grant
    assert await known_after(lambda w: grant(w, alice, Capability.ADMIN, by=None, now_ms=1)) == [False, False, True]
    assert await known_after(lambda w: sessions.end_one(w, alice, hers.id)) == [False, True, True]
    assert await known_after(lambda w: sessions.end_all(w, alice)) == [False, False, True]
    assert await known_after(lambda w: users.set_status(w, world.bob.id, "suspended", now_ms=1)) == [False] * 3


async def test_who_may_not_act_has_no_session(directory: Directory, alice: UserId) -> None:
    """Suspended and banned users are nobody; capabilities come with the viewer; an expired ban is over."""
    session = await start(directory, alice)

    async def load(now_ms: int = NOW_MS) -> sessions.Viewer | None:
        return await directory.sessions.load(session.token_hash, now_ms=now_ms)

    async with directory.database.write() as writer:
        await capabilities.grant(writer, alice, Capability.ADMIN, by=None, now_ms=NOW_MS)
        await capabilities.grant(writer, alice, Capability.MODERATOR, by=None, now_ms=NOW_MS)
    viewer = await load()
    assert viewer is not None
    assert viewer.capabilities == {Capability.ADMIN, Capability.MODERATOR}
    async with directory.database.write() as writer:
        await global_bans.add(writer, alice, reason="spam", by=None, expires_at=NOW_MS + 10, now_ms=NOW_MS)
    assert await load() is None
    assert await load(NOW_MS + 10) is not None
    async with directory.database.write() as writer:
        await users.set_status(writer, alice, "suspended", now_ms=NOW_MS)
    assert await load(NOW_MS + 10) is None


async def test_own_sessions(directory: Directory, alice: UserId, world: Any) -> None:
    """People see their live sessions, newest first, and can end their own but not another's."""
    first, second = await start(directory, alice), await start(directory, alice, NOW_MS + 1)
    async with directory.database.write() as writer:
        assert await sessions.of_user(writer, alice, now_ms=NOW_MS) == [second, first]
        assert await sessions.of_user(writer, alice, now_ms=first.expires_at) == [second]
        with pytest.raises(errors.SessionNotFoundError):
            await sessions.end_one(writer, world.bob.id, first.id)
        await sessions.end_one(writer, alice, first.id)
        assert await sessions.of_user(writer, alice, now_ms=NOW_MS) == [second]


async def test_sessions_of_a_user_are_bounded(directory: Directory, alice: UserId) -> None:
    """One session more than the limit ends the oldest."""
    made = [await start(directory, alice, NOW_MS + number) for number in range(sessions.PER_USER_MAX + 1)]
    async with directory.database.read() as reader:
        left = await reader.fetch_all("SELECT id FROM sessions WHERE user_id = ? ORDER BY id", (alice,))
    assert [row[0] for row in left] == [session.id for session in made[1:]]


async def test_loads_beside_flushes(directory: Directory, alice: UserId) -> None:
    """Whatever runs at the same time, an ended session is not answered once its end was acknowledged."""
    for _ in range(20):
        session = await start(directory, alice)
        loads = [directory.sessions.load(session.token_hash, now_ms=NOW_MS) for _ in range(4)]
        await asyncio.gather(*loads, accounts.log_out(directory.database, session.token_hash))
        assert directory.sessions.peek(session.token_hash, now_ms=NOW_MS) is None
        assert await directory.sessions.load(session.token_hash, now_ms=NOW_MS) is None
