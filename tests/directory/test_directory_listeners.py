"""What somebody who connects is told of their rooms: read together for all who come at once."""

from typing import Any

from directory import blocks, directs, listeners, members, room_pages, rooms, sessions, shards
from directory.changes import Change, MembersChanged
from directory.directory import Directory
from directory.sessions import hash_token
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000


async def test_rooms_are_those_of_each(directory: Directory, world: Any) -> None:
    """Each gets their own rooms as the list of rooms has them, the one joined last first, with the end of the log."""
    async with directory.database.write() as writer:
        two = directs.pair(world.alice.id, world.bob.id)
        chat = await directs.register(writer, two, opened_by=world.alice.id, now_ms=NOW_MS)
        await members.add_many(writer, chat.id, two, joined_at=NOW_MS + 5)
        await rooms.activate(writer, chat.id, schema_version=1, now_ms=NOW_MS)
        await members.add(writer, world.lean.id, world.alice.id, joined_at=NOW_MS)
        await shards.note_seqs(writer, {world.lean.id: 41, chat.id: 7})
        await shards.note_seqs(writer, {world.lean.id: 12, RoomId(5): 9})
    async with directory.database.read() as reader:
        found = await listeners.rooms_of(reader, [world.alice.id, world.bob.id, UserId(404)])
        asked = [(one, chat.id) for one in (world.alice.id, world.bob.id, UserId(404))] + [
            (world.bob.id, world.lean.id)
        ]
        chosen = await listeners.memberships(reader, asked)
        ends = await listeners.ends_of(reader, [world.alice.id, world.bob.id, UserId(404)])
        listed = {one: await room_pages.of_user(reader, one) for one in (world.alice.id, world.bob.id)}
    assert {one: [heard.room for heard in own] for one, own in found.items() if own} == listed
    assert [(heard.last_seq, heard.partner_id) for heard in found[world.alice.id]] == [(7, world.bob.id), (41, None)]
    assert [heard.partner_id for heard in found[world.bob.id]] == [world.alice.id]
    assert found[UserId(404)] == []
    assert chosen == {(one, chat.id): found[one][0] for one in (world.alice.id, world.bob.id)}
    assert ends == {one: {heard.room.id: heard.last_seq for heard in own} for one, own in found.items() if own}


async def test_deleted_rooms_are_left_out(directory: Directory, world: Any) -> None:
    """A room that ended is not heard any more."""
    async with directory.database.write() as writer:
        await members.add(writer, world.lean.id, world.bob.id, joined_at=NOW_MS)
        await rooms.delete(writer, world.lean.id, by=None, now_ms=NOW_MS)
    async with directory.database.read() as reader:
        assert await listeners.rooms_of(reader, [world.bob.id]) == {world.bob.id: []}


async def test_comings_and_goings_are_told(directory: Directory, world: Any) -> None:
    """Whoever comes into the index of a room or leaves it is told of after the commit, and of a rollback nothing."""
    told: list[Change] = []
    directory.database.listen(told.append)
    async with directory.database.write() as writer:
        await members.add_many(writer, world.lean.id, [world.alice.id], joined_at=NOW_MS)
        await members.put(writer, world.lean.id, world.bob.id, joined_at=NOW_MS, nickname=None)
        await members.remove(writer, world.lean.id, world.alice.id)
        assert told == []
    assert told == [
        MembersChanged(world.lean.id, (world.alice.id,), are_in=True),
        MembersChanged(world.lean.id, (world.bob.id,), are_in=True),
        MembersChanged(world.lean.id, (world.alice.id,), are_in=False),
    ]


async def test_many_sessions_take_one_read(directory: Directory, world: Any) -> None:
    """Tokens are looked up together; what is unknown is left out, and what was found is remembered."""
    async with directory.database.write() as writer:
        token, _ = await sessions.start(writer, world.alice.id, session_ms=1_000, now_ms=NOW_MS)
        other, _ = await sessions.start(writer, world.bob.id, session_ms=1_000, now_ms=NOW_MS)
    hashes = [hash_token(token), hash_token(other), bytes(32)]
    found = await directory.sessions.load_many(hashes, now_ms=NOW_MS)
    assert {key: viewer.user_id for key, viewer in found.items()} == {
        hashes[0]: world.alice.id,
        hashes[1]: world.bob.id,
    }
    assert directory.sessions.peek(hashes[0], now_ms=NOW_MS) == found[hashes[0]]
    assert await directory.sessions.load_many(hashes, now_ms=NOW_MS + 1_000) == {}


async def test_blocks_count_both_ways(directory: Directory, world: Any) -> None:
    """Whoever blocks and whoever is blocked are kept apart alike."""
    async with directory.database.write() as writer:
        await blocks.add(writer, world.alice.id, world.bob.id, now_ms=NOW_MS)
    async with directory.database.read() as reader:
        assert await blocks.around(reader, [world.bob.id, UserId(404)]) == {
            world.bob.id: {world.alice.id},
            UserId(404): set(),
        }
        assert await blocks.around(reader, [world.alice.id]) == {world.alice.id: {world.bob.id}}
