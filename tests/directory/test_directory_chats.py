"""Blocks, the one chat of each pair, and who takes messages of whom."""

import itertools
from typing import Any

import pytest

from directory import blocks, directs, errors, members, rooms, user_settings, users
from directory.directory import Directory
from directory.user_settings import Audience
from directory.users import Status
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000


async def outcome(directory: Directory, user_id: UserId, other: UserId) -> str:
    """Return what somebody hears who wants to begin to talk to another."""
    async with directory.database.read() as reader:
        try:
            await directs.require_welcome(reader, user_id, [other])
        except errors.DirectoryError as error:
            return str(error)
    return "welcome"


async def found_chat(directory: Directory, world: Any, *, opened_by: UserId | None = None) -> RoomId:
    """Open the chat of Alice and Bob as far as the directory goes."""
    two = directs.pair(world.alice.id, world.bob.id)
    async with directory.database.write() as writer:
        room = await directs.register(writer, two, opened_by=opened_by or world.alice.id, now_ms=NOW_MS)
        await members.add_many(writer, room.id, two, joined_at=NOW_MS)
        return (await rooms.activate(writer, room.id, schema_version=1, now_ms=NOW_MS)).id


def refused_by(user_id: UserId) -> str:
    return f"The user {user_id} takes no messages from you."


CASES = list(itertools.product((False, True), (False, True), ("everyone", "shared", "nobody"), ("active", "suspended")))


@pytest.mark.parametrize(("blocks_me", "shares", "audience", "status"), CASES)
async def test_who_is_welcome(
    directory: Directory, world: Any, *, blocks_me: bool, shares: bool, audience: Audience, status: Status
) -> None:
    """Whoever blocks, takes nothing, shares nothing where that counts, or is away gives one and the same refusal."""
    alice, bob = world.alice.id, world.bob.id
    async with directory.database.write() as writer:
        await members.add(writer, world.lean.id, alice, joined_at=NOW_MS)
        if shares:
            await members.add(writer, world.lean.id, bob, joined_at=NOW_MS)
        if blocks_me:
            await blocks.add(writer, bob, alice, now_ms=NOW_MS)
        await user_settings.update(writer, bob, {"direct_messages_from": audience}, now_ms=NOW_MS)
        await users.set_status(writer, bob, status, now_ms=NOW_MS)
    is_welcome = not blocks_me and status == "active" and (audience == "everyone" or (audience == "shared" and shares))
    assert await outcome(directory, alice, bob) == ("welcome" if is_welcome else refused_by(bob))


async def test_ones_own_block_is_named(directory: Directory, world: Any) -> None:
    """Who blocks is told that they do, whatever the other does; the other hears what everyone hears."""
    alice, bob = world.alice.id, world.bob.id
    async with directory.database.write() as writer:
        await blocks.add(writer, alice, bob, now_ms=NOW_MS)
        await blocks.add(writer, bob, alice, now_ms=NOW_MS)
    assert await outcome(directory, alice, bob) == f"You block the user {bob}. Lift the block first."
    async with directory.database.write() as writer:
        assert await blocks.remove(writer, alice, bob)
    assert await outcome(directory, alice, bob) == refused_by(bob)


async def test_nobody_is_not_there(directory: Directory, world: Any) -> None:
    """An id that no user has is said not to be there."""
    assert await outcome(directory, world.alice.id, UserId(5)) == "There is no user 5."


async def test_a_room_that_is_gone_is_not_shared(directory: Directory, world: Any) -> None:
    """A room counts as shared only while it is there."""
    alice, bob = world.alice.id, world.bob.id
    async with directory.database.write() as writer:
        await members.add_many(writer, world.lean.id, (alice, bob), joined_at=NOW_MS)
        await user_settings.update(writer, bob, {"direct_messages_from": "shared"}, now_ms=NOW_MS)
    assert await outcome(directory, alice, bob) == "welcome"
    async with directory.database.write() as writer:
        await rooms.delete(writer, world.lean.id, by=None, now_ms=NOW_MS)
    assert await outcome(directory, alice, bob) == refused_by(bob)


async def test_blocks_are_listed_by_id(directory: Directory, world: Any) -> None:
    """Whom one blocks is listed page by page, each once, and nobody else's blocks are in it."""
    async with directory.database.write() as writer:
        others = [
            (await users.create(writer, username=f"person_{number * 7}", now_ms=NOW_MS)).id for number in range(3)
        ]
        assert [await blocks.add(writer, world.alice.id, other, now_ms=NOW_MS) for other in others] == [True] * 3
        assert not await blocks.add(writer, world.alice.id, others[0], now_ms=NOW_MS + 5)
        await blocks.add(writer, world.bob.id, world.alice.id, now_ms=NOW_MS)
        first = await blocks.page(writer, world.alice.id, limit=2)
        rest = await blocks.page(writer, world.alice.id, after=first[-1].blocked_id, limit=2)
    assert [row.blocked_id for row in first + rest] == others
    assert {row.created_at for row in first + rest} == {NOW_MS}


async def test_blocks_have_a_bound(directory: Directory, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block more than there may be is refused, and leaves none behind."""
    monkeypatch.setattr(blocks, "PER_USER_MAX", 0)
    with pytest.raises(errors.TooManyBlocksError):
        async with directory.database.write() as writer:
            await blocks.add(writer, world.alice.id, world.bob.id, now_ms=NOW_MS)
    async with directory.database.read() as reader:
        assert await blocks.page(reader, world.alice.id) == []


@pytest.mark.parametrize(("other", "refusal"), [("alice", errors.RefusedValueError), ("", errors.UserNotFoundError)])
async def test_who_cannot_be_blocked(directory: Directory, world: Any, other: str, refusal: type[Exception]) -> None:
    """Nobody blocks themselves, or somebody who is not there."""
    with pytest.raises(refusal):
        async with directory.database.write() as writer:
            await blocks.add(writer, world.alice.id, getattr(world, other).id if other else UserId(5), now_ms=NOW_MS)


async def test_a_pair_has_one_chat(directory: Directory, world: Any) -> None:
    """A pair's chat is found from either side, and goes with its registry row while it is half-made."""
    two = directs.pair(world.bob.id, world.alice.id)
    assert two == directs.pair(world.alice.id, world.bob.id)
    async with directory.database.write() as writer:
        room = await directs.register(writer, two, opened_by=world.bob.id, now_ms=NOW_MS)
        assert (room.kind, room.owner_id) == ("direct", None)
        assert await directs.find(writer, two) == (room.id, "creating")
        await rooms.forget(writer, room.id)
        assert await directs.find(writer, two) is None
    room_id = await found_chat(directory, world)
    async with directory.database.write() as writer:
        assert await directs.find(writer, two) == (room_id, "active")
        assert await directs.partners(writer, world.alice.id, [room_id, world.lean.id]) == {room_id: world.bob.id}
        assert await directs.partners(writer, world.bob.id, [room_id]) == {room_id: world.alice.id}
        await rooms.delete(writer, room_id, by=None, now_ms=NOW_MS)
        assert await directs.find(writer, two) is None
        again = await directs.register(writer, two, opened_by=world.alice.id, now_ms=NOW_MS)
        assert await directs.find(writer, two) == (again.id, "creating")


async def test_chats_have_a_bound(directory: Directory, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One person opens a bounded number of chats; who is written to opens none."""
    monkeypatch.setattr(directs, "OPENED_MAX", 1)
    await found_chat(directory, world)
    async with directory.database.write() as writer:
        carol = await users.create(writer, username="carol", now_ms=NOW_MS)
        with pytest.raises(errors.TooManyChatsError):
            await directs.register(
                writer, directs.pair(world.alice.id, carol.id), opened_by=world.alice.id, now_ms=NOW_MS
            )
        await directs.register(writer, directs.pair(world.bob.id, carol.id), opened_by=world.bob.id, now_ms=NOW_MS)


async def test_terms_are_kept_until_they_change(directory: Directory, world: Any) -> None:
    """Who may write in a chat is known without asking, until one of the two changes something."""
    alice, bob = world.alice.id, world.bob.id
    room_id = await found_chat(directory, world)
    terms = await directory.chats.load(room_id)
    async with directory.database.write() as writer:
        carol = await users.create(writer, username="carol", now_ms=NOW_MS)
        await users.update_profile(writer, carol.id, {"bio": "x"}, now_ms=NOW_MS)
        await user_settings.update(writer, bob, {"theme": "dark"}, now_ms=NOW_MS)
        await rooms.set_full(writer, world.lean.id, is_full=True, now_ms=NOW_MS)
    assert directory.chats.peek(room_id) is terms
    for user_id in (alice, bob, carol.id):
        terms.require(user_id)
    async with directory.database.write() as writer:
        await blocks.add(writer, bob, alice, now_ms=NOW_MS)
    assert directory.chats.peek(room_id) is None
    terms = await directory.chats.load(room_id)
    with pytest.raises(errors.MessagesRefusedError):
        terms.require(alice)
    with pytest.raises(errors.BlockingError):
        terms.require(bob)
    terms.require(carol.id)
    async with directory.database.write() as writer:
        await blocks.remove(writer, bob, alice)
        await user_settings.update(writer, alice, {"direct_messages_from": "nobody"}, now_ms=NOW_MS)
    terms = await directory.chats.load(room_id)
    terms.require(alice)
    with pytest.raises(errors.MessagesRefusedError):
        terms.require(bob)
    async with directory.database.write() as writer:
        await users.set_status(writer, bob, "suspended", now_ms=NOW_MS)
    with pytest.raises(errors.MessagesRefusedError):
        (await directory.chats.load(room_id)).require(alice)


async def test_who_has_a_chat_shares_a_room(directory: Directory, world: Any) -> None:
    """Whoever takes messages only of people they share a room with goes on with the chats that they have."""
    alice, bob = world.alice.id, world.bob.id
    async with directory.database.write() as writer:
        await user_settings.update(writer, bob, {"direct_messages_from": "shared"}, now_ms=NOW_MS)
    assert await outcome(directory, alice, bob) == refused_by(bob)
    room_id = await found_chat(directory, world, opened_by=bob)
    (await directory.chats.load(room_id)).require(alice)
    assert await outcome(directory, alice, bob) == "welcome"


async def test_only_direct_chats_have_terms(directory: Directory, world: Any) -> None:
    """Another kind of room has no terms, and none are kept for it."""
    with pytest.raises(errors.RoomNotFoundError):
        await directory.chats.load(world.lean.id)
    assert directory.chats.peek(world.lean.id) is None
