"""Bots and their tokens: who has them, what they speak for, and when they say nothing any more."""

import asyncio
import re
from typing import Any

import pytest

from directory import audit, bot_tokens, bots, capabilities, errors, global_bans, sessions, users
from directory.bot_tokens import BotToken
from directory.bots import Bot
from directory.capabilities import Capability
from directory.directory import Directory
from directory.sessions import SLIDE_EVERY_MS, Viewer
from ids import UserId

NOW_MS = 1_760_000_000_000
SCOPES = frozenset({"messages:read", "messages:write"})


@pytest.fixture
async def bot(directory: Directory, world: Any) -> Bot:
    """A bot of Alice's."""
    async with directory.database.write() as writer:
        return await bots.create(writer, world.alice.id, username="helper", display_name="Helper", now_ms=NOW_MS)


async def issue(directory: Directory, bot: Bot, **more: Any) -> tuple[str, BotToken]:
    async with directory.database.write() as writer:
        return await bot_tokens.issue(writer, bot, name="ci", scopes=SCOPES, now_ms=NOW_MS, **more)


async def load(directory: Directory, token: str, now_ms: int = NOW_MS) -> Viewer | None:
    token_hash = sessions.hash_token(token)
    known = directory.sessions.peek(token_hash, now_ms=now_ms)
    return known or await directory.sessions.load(token_hash, of_bot=True, now_ms=now_ms)


async def test_a_bot_is_a_user_with_an_owner(directory: Directory, world: Any, bot: Bot) -> None:
    """A bot shows as one among users, is its owner's alone unless public, and the log has its making."""
    async with directory.database.write() as writer:
        user = await users.find(writer, bot.id)
        assert (user.username, user.is_bot, user.is_anonymous) == ("helper", True, False)
        assert await bots.of_owner(writer, world.alice.id) == [bot]
        assert await bots.of_owner(writer, world.bob.id) == []
        assert await bots.find_for(writer, bot.id, world.alice.id) == bot
        for find in (bots.find_for, bots.find_own):
            with pytest.raises(errors.BotNotFoundError):
                await find(writer, bot.id, world.bob.id)
        changed = await bots.update(writer, bot, {"is_public": True, "bio": "Hi"}, now_ms=NOW_MS)
        assert (changed.is_public, changed.bio, changed.display_name) == (True, "Hi", "Helper")
        assert await bots.find_for(writer, bot.id, world.bob.id) == changed
        with pytest.raises(errors.BotNotFoundError):
            await bots.find_own(writer, bot.id, world.bob.id)
        entries = await audit.list_page(writer, audit.Filter(resource=("user", bot.id)))
    assert [(entry.action, entry.user_id) for entry in entries] == [
        ("bot.updated", world.alice.id), ("bot.created", world.alice.id),
    ]  # fmt: skip


async def test_only_people_with_accounts_have_bots(directory: Directory, bot: Bot) -> None:
    """Guests have no bots, bots have none either, and a person has a bounded number."""
    async with directory.database.write() as writer:
        guest = await users.create(writer, username="guesting", is_anonymous=True, now_ms=NOW_MS)
        for user_id in (guest.id, bot.id):
            with pytest.raises(errors.NoBotsError):
                await bots.create(writer, user_id, username="another", now_ms=NOW_MS)
        for number in range(bots.PER_OWNER_MAX - 1):
            await bots.create(writer, bot.owner_id, username=f"robot_{number}x", now_ms=NOW_MS)
        with pytest.raises(errors.TooManyBotsError):
            await bots.create(writer, bot.owner_id, username="another", now_ms=NOW_MS)
        await bots.delete(writer, bot, now_ms=NOW_MS)
        await bots.create(writer, bot.owner_id, username="another", now_ms=NOW_MS)


async def test_a_token_speaks_for_its_bot(directory: Directory, bot: Bot) -> None:
    """A token is told once, its hash alone is kept, and it speaks for the bot with its scopes and no capability."""
    token, row = await issue(directory, bot)
    assert re.fullmatch(r"rkb_[A-Za-z0-9_-]{43}", token)
    assert bot_tokens.is_one(token)
    async with directory.database.write() as writer:
        await capabilities.grant(writer, bot.id, Capability.ADMIN, by=None, now_ms=NOW_MS)
        (kept,) = await writer.fetch_all("SELECT * FROM bot_tokens")
        assert token not in str(kept)
        assert token[4:] not in str(kept)
        assert await bot_tokens.of_bot(writer, bot.id, now_ms=NOW_MS) == [row]
        entries = await audit.list_page(writer, audit.Filter(resource=("user", bot.id)))
        assert token not in str(entries)
        assert "bot.token_issued" in [entry.action for entry in entries]
    for _ in range(2):
        viewer = await load(directory, token)
        assert viewer is not None
        assert (viewer.user_id, viewer.is_bot, viewer.scopes, viewer.owner_id) == (bot.id, True, SCOPES, bot.owner_id)
        assert viewer.capabilities == frozenset()


async def test_a_session_never_speaks_for_a_bot(directory: Directory, bot: Bot, world: Any) -> None:
    """Sessions are people's: one of a bot, however it came about, is nobody's, and neither kind is taken for the
    other."""
    async with directory.database.write() as writer:
        for user_id, is_known in ((bot.id, False), (world.bob.id, True)):
            token, session = await sessions.start(writer, user_id, session_ms=60_000, now_ms=NOW_MS)
            assert (await sessions.find_viewer(writer, session.token_hash, now_ms=NOW_MS) is not None) is is_known
            assert await bot_tokens.find_viewer(writer, session.token_hash, now_ms=NOW_MS) is None
            assert not bot_tokens.is_one(token)
    assert not bot_tokens.is_one("rkb_" + "x" * 39)


@pytest.mark.parametrize("lives", [True, False])
async def test_a_token_expires_to_the_millisecond(directory: Directory, bot: Bot, lives: bool) -> None:
    """A token with an end speaks up to it, whatever the clock says after; one without goes on."""
    token, _ = await issue(directory, bot, expires_at=None if lives else NOW_MS + 60_000)
    assert await load(directory, token, NOW_MS + 59_999) is not None
    for now_ms in (NOW_MS + 60_000, NOW_MS):
        assert (await load(directory, token, now_ms) is not None) is lives
    await directory.sessions.flush(now_ms=NOW_MS)
    assert (await load(directory, token) is not None) is lives
    async with directory.database.read() as reader:
        assert len(await reader.fetch_all("SELECT 1 FROM bot_tokens")) == lives


async def test_old_tokens_are_purged(directory: Directory, bot: Bot) -> None:
    """What has expired leaves the list at once and the table at the next flush, seen or not."""
    await issue(directory, bot, expires_at=NOW_MS + 1)
    _, lasting = await issue(directory, bot)
    async with directory.database.read() as reader:
        assert await bot_tokens.of_bot(reader, bot.id, now_ms=NOW_MS + 1) == [lasting]
    await directory.sessions.flush(now_ms=NOW_MS + 1)
    async with directory.database.read() as reader:
        assert await reader.fetch_all("SELECT id FROM bot_tokens") == [(lasting.id,)]


async def test_a_revoked_token_ends_at_once(directory: Directory, bot: Bot, world: Any) -> None:
    """Once revoked a token is nobody's though it was known a moment ago, and another's cannot be revoked."""
    token, row = await issue(directory, bot)
    beside, _ = await issue(directory, bot)
    assert await load(directory, token) is not None
    assert await load(directory, beside) is not None
    async with directory.database.write() as writer:
        other = await bots.create(writer, world.bob.id, username="otherbot", now_ms=NOW_MS)
        with pytest.raises(errors.BotTokenNotFoundError):
            await bot_tokens.revoke(writer, other, row.id, now_ms=NOW_MS)
    assert await load(directory, token) is not None
    async with directory.database.write() as writer:
        await bot_tokens.revoke(writer, bot, row.id, now_ms=NOW_MS)
    assert await load(directory, token) is None
    assert directory.sessions.peek(sessions.hash_token(beside), now_ms=NOW_MS) is not None
    async with directory.database.write() as writer:
        with pytest.raises(errors.BotTokenNotFoundError):
            await bot_tokens.revoke(writer, bot, row.id, now_ms=NOW_MS)


async def test_tokens_of_a_bot_are_bounded(directory: Directory, bot: Bot) -> None:
    """One token more than the limit is refused until one is revoked."""
    made = [await issue(directory, bot) for _ in range(bot_tokens.PER_BOT_MAX)]
    with pytest.raises(errors.TooManyTokensError):
        await issue(directory, bot)
    async with directory.database.write() as writer:
        await bot_tokens.revoke(writer, bot, made[0][1].id, now_ms=NOW_MS)
    await issue(directory, bot)


@pytest.mark.parametrize("who", ["bot", "owner"])
@pytest.mark.parametrize("fate", ["suspended", "deleted", "banned"])
async def test_who_may_not_act_has_no_bots(directory: Directory, bot: Bot, who: str, fate: str) -> None:
    """While a bot or its owner is suspended, deleted or banned its tokens say nothing, at once and from anew."""
    token, _ = await issue(directory, bot)
    assert await load(directory, token) is not None
    user_id = bot.id if who == "bot" else bot.owner_id
    await _undo(directory, user_id, fate, is_done=True)
    assert await load(directory, token) is None
    if fate != "deleted":
        await _undo(directory, user_id, fate, is_done=False)
        assert await load(directory, token) is not None


async def _undo(directory: Directory, user_id: UserId, fate: str, *, is_done: bool) -> None:
    async with directory.database.write() as writer:
        if fate != "banned":
            await users.set_status(writer, user_id, fate if is_done else "active", now_ms=NOW_MS)  # type: ignore[arg-type]
        elif is_done:
            await global_bans.add(writer, user_id, reason="spam", by=None, now_ms=NOW_MS)
        else:
            await global_bans.lift(writer, user_id)


async def test_a_deleted_bot_is_gone(directory: Directory, bot: Bot) -> None:
    """Deleting a bot ends its tokens, hides its name and keeps it from everybody's lists, its owner's too."""
    token, _ = await issue(directory, bot)
    assert await load(directory, token) is not None
    async with directory.database.write() as writer:
        await bots.delete(writer, bot, now_ms=NOW_MS)
        assert await bots.of_owner(writer, bot.owner_id) == []
        with pytest.raises(errors.BotNotFoundError):
            await bots.find_own(writer, bot.id, bot.owner_id)
        assert await writer.fetch_all("SELECT 1 FROM bot_tokens") == []
        profile = (await users.profiles(writer, [bot.id]))[bot.id]
    assert (profile.username, profile.is_bot, profile.is_deleted) == (f"deleted_{bot.id}", True, True)
    assert await load(directory, token) is None


async def test_the_last_use_is_known(directory: Directory, bot: Bot) -> None:
    """The first use is written down by the next flush, a later one once an hour has passed."""
    token, row = await issue(directory, bot)

    async def used_at(now_ms: int) -> int | None:
        await load(directory, token, now_ms)
        await directory.sessions.flush(now_ms=now_ms)
        async with directory.database.read() as reader:
            return (await bot_tokens.of_bot(reader, bot.id, now_ms=NOW_MS))[0].last_used_at

    assert row.last_used_at is None
    assert await used_at(NOW_MS + 5) == NOW_MS + 5
    assert await used_at(NOW_MS + 5 + SLIDE_EVERY_MS - 1) == NOW_MS + 5
    assert await used_at(NOW_MS + 5 + SLIDE_EVERY_MS) == NOW_MS + 5 + SLIDE_EVERY_MS


async def test_loads_beside_a_revocation(directory: Directory, bot: Bot) -> None:
    """Whatever runs at the same time, a revoked token is not answered once its end was acknowledged."""

    async def revoke(row: BotToken) -> None:
        async with directory.database.write() as writer:
            await bot_tokens.revoke(writer, bot, row.id, now_ms=NOW_MS)

    for _ in range(10):
        token, row = await issue(directory, bot)
        await asyncio.gather(*(load(directory, token) for _ in range(4)), revoke(row))
        assert await load(directory, token) is None
