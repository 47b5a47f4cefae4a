"""The registry of rooms, who is in which, and the invites that lead there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from database.errors import ConstraintError
from directory import audit, errors, invites, members, placeholders, room_pages, rooms, shards
from directory.audit import Filter
from directory.database import SCHEMA, Database, Reader
from directory.room_pages import START, PublicRoom
from directory.rooms import Room
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000


async def register(database: Database, owner: UserId, name: str = "rust", **fields: Any) -> Room:
    wanted: dict[str, Any] = {"kind": "community", "name": name, "display_name": "A room", "owner_id": owner}
    async with database.write() as writer:
        return await rooms.register(writer, **wanted | fields, now_ms=NOW_MS)


async def people(database: Database, count: int) -> list[UserId]:
    async with database.write() as writer:
        made = await placeholders.create(writer, [f"person{number}" for number in range(count)], now_ms=NOW_MS)
    return list(made.values())


async def test_a_room_is_made_in_two_steps(world: Any) -> None:
    """A registered room waits as `creating` with the place of its shard; activating opens and audits it."""
    room = await register(world.database, world.alice.id)
    async with world.database.write() as writer:
        assert [waiting.id for waiting in await rooms.unfinished(writer)] == [room.id]
        assert room.state == "creating"
        assert (await shards.find(writer, room.id)).database_id == str(room.id)
        active = await rooms.activate(writer, room.id, schema_version=3, now_ms=NOW_MS)
        assert await rooms.unfinished(writer) == []
        assert (active.state, (await shards.find(writer, room.id)).schema_version) == ("active", 3)
        (entry,) = await audit.list_page(writer, Filter(resource=("room", room.id)))
        with pytest.raises(errors.RoomNotFoundError):
            await rooms.activate(writer, room.id, schema_version=3, now_ms=NOW_MS)
    assert (entry.action, entry.user_id, entry.metadata["name"]) == ("room.created", world.alice.id, "rust")


async def test_a_half_made_room_is_forgotten_whole(world: Any) -> None:
    """Forgetting leaves no row behind and frees the name; a finished room cannot be forgotten."""
    room = await register(world.database, world.alice.id)
    async with world.database.write() as writer:
        await members.add(writer, room.id, world.alice.id, joined_at=NOW_MS)
        await rooms.forget(writer, room.id)
        with pytest.raises(errors.RoomNotFoundError):
            await rooms.find(writer, room.id)
        with pytest.raises(errors.RoomNotFoundError):
            await shards.find(writer, room.id)
        with pytest.raises(errors.RoomNotFoundError):
            await rooms.forget(writer, world.lean.id)
    await register(world.database, world.alice.id)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, None),
        ({"name": "a1"}, None),
        ({"name": "lean"}, errors.RoomNameTakenError),
        ({"name": "Rust"}, errors.BadRoomNameError),
        ({"name": "-rust"}, errors.BadRoomNameError),
        ({"name": "r"}, errors.BadRoomNameError),
        ({"name": "r" * 51}, errors.BadRoomNameError),
        ({"name": None}, errors.BadRoomNameError),
        ({"kind": "group"}, errors.BadRoomNameError),
        ({"kind": "group", "name": None, "display_name": None}, None),
        ({"kind": "direct", "name": None, "display_name": None, "owner_id": None}, None),
        ({"kind": "group", "name": None, "is_public": True}, ConstraintError),
        ({"display_name": None}, ConstraintError),
        ({"owner_id": UserId(7)}, ConstraintError),
        ({"rooms_max": 1}, errors.TooManyRoomsError),
        ({"rooms_max": 2}, None),
    ],
)
async def test_what_can_be_registered(world: Any, fields: dict[str, Any], error: type[Exception] | None) -> None:
    """Communities have a free URL-safe name, others none; people own a bounded number of rooms."""
    if error is None:
        assert (await register(world.database, world.alice.id, **fields)).state == "creating"
    else:
        with pytest.raises(error):
            await register(world.database, world.alice.id, **fields)


async def test_two_creations_of_one_name(world: Any, path: Path) -> None:
    """Of many who register one name at once, here and in another process, one gets it."""
    beside = await Database.open(path, SCHEMA, now_ms=NOW_MS)
    wanted = [register(place, world.alice.id, "golang") for place in (world.database, beside) * 3]
    done = await asyncio.gather(*wanted, return_exceptions=True)
    await beside.close()
    assert sum(isinstance(result, Room) for result in done) == 1
    assert sum(isinstance(result, errors.RoomNameTakenError) for result in done) == 5


async def test_find(world: Any) -> None:
    """A room is found by id and by name."""
    async with world.database.read() as reader:
        assert await rooms.find(reader, world.lean.id) == await rooms.find_by_name(reader, "lean")
        for name in ("lean", str(world.lean.id)):
            assert await rooms.find_named(reader, name) == world.lean
        with pytest.raises(errors.RoomNotFoundError):
            await rooms.find(reader, RoomId(1))
        with pytest.raises(errors.RoomNotFoundError):
            await rooms.find_by_name(reader, "nowhere")


async def test_update(world: Any) -> None:
    """What is named changes, what is not stays; a taken or bad name is refused."""
    await register(world.database, world.alice.id, "rust")
    async with world.database.write() as writer:
        fields: rooms.RoomFields = {"name": "lean4", "features": ["voice"], "is_verified": True}
        changed = await rooms.update(writer, world.lean.id, fields, now_ms=NOW_MS + 1)
        assert (changed.name, changed.features, changed.display_name) == ("lean4", ("voice",), "Lean")
        assert await rooms.update(writer, world.lean.id, {"name": "lean4"}, now_ms=NOW_MS + 1) == changed
        with pytest.raises(errors.RoomNameTakenError):
            await rooms.update(writer, world.lean.id, {"name": "rust"}, now_ms=NOW_MS)
        with pytest.raises(errors.BadRoomNameError):
            await rooms.update(writer, world.lean.id, {"name": "Lean"}, now_ms=NOW_MS)


async def test_delete(world: Any) -> None:
    """A deleted room is in no list, its name is free, its members and invites are no more, and it is audited."""
    async with world.database.write() as writer:
        await members.add(writer, world.lean.id, world.bob.id, joined_at=NOW_MS)
        invite = await invites.create(writer, world.lean.id, by=world.alice.id, now_ms=NOW_MS)
        await rooms.delete(writer, world.lean.id, by=world.alice.id, now_ms=NOW_MS)
        assert await rooms.find_address(writer, world.lean.id) is None
        assert await room_pages.public(writer) == ([], None)
        assert await room_pages.of_user(writer, world.bob.id) == []
        assert (await rooms.find(writer, world.lean.id)).member_count == 0
        assert (await audit.list_page(writer, limit=1))[0].action == "room.deleted"
        with pytest.raises(errors.InviteNotUsableError):
            await invites.use(writer, invite.code, now_ms=NOW_MS)
        for act in (
            rooms.find_by_name(writer, "lean"),
            rooms.delete(writer, world.lean.id, by=None, now_ms=NOW_MS),
            rooms.activate(writer, world.lean.id, schema_version=1, now_ms=NOW_MS),
            rooms.update(writer, world.lean.id, {}, now_ms=NOW_MS),
        ):
            with pytest.raises(errors.RoomNotFoundError):
                await act
        assert not await rooms.set_full(writer, world.lean.id, is_full=False, now_ms=NOW_MS)
        assert [room.state for room in await room_pages.all_rooms(writer)] == ["deleted"]
    await register(world.database, world.alice.id, "lean")


async def test_member_count_is_right(world: Any) -> None:
    """Adding and removing twice counts once, in the same transaction, and each says whether it did anything."""
    async with world.database.write() as writer:
        assert await members.add(writer, world.lean.id, world.bob.id, joined_at=NOW_MS)
        assert not await members.add(writer, world.lean.id, world.bob.id, joined_at=NOW_MS + 5)
        await members.add_many(writer, world.lean.id, [world.alice.id, world.bob.id], joined_at=NOW_MS)
        assert (await rooms.find(writer, world.lean.id)).member_count == 2
        assert await members.remove(writer, world.lean.id, world.bob.id)
        assert not await members.remove(writer, world.lean.id, world.bob.id)
        assert (await rooms.find(writer, world.lean.id)).member_count == 1


async def test_membership_details(world: Any) -> None:
    """Nickname and notification level belong to one membership; a stranger has none."""
    async with world.database.write() as writer:
        await members.add(writer, world.lean.id, world.bob.id, joined_at=NOW_MS)
        changed = await members.update(
            writer, world.lean.id, world.bob.id, {"nickname": "B", "notification_level": "none"}
        )
        assert await members.find(writer, world.lean.id, world.bob.id) == changed
        assert (await room_pages.of_user(writer, world.bob.id))[0].nickname == "B"
        with pytest.raises(ConstraintError):
            await members.update(writer, world.lean.id, world.bob.id, {"nickname": ""})
        with pytest.raises(errors.RoomNotFoundError):
            await members.update(writer, world.lean.id, world.alice.id, {"nickname": "A"})


async def paged(page: Callable[[tuple[int, int]], Awaitable[list[Any]]], cursor: Any, start: Any) -> list[Any]:
    """Read every page of three rows and return what they hold together."""
    seen: list[Any] = []
    while rows := await page(cursor(seen[-1]) if seen else start):
        seen += rows
        assert len(rows) <= 3
    return seen


async def largest(reader: Reader, after: tuple[int, int]) -> list[PublicRoom]:
    """Return three public rooms, and see that the cursor that comes with them is that of the last."""
    found, last = await room_pages.public(reader, after=after, limit=3)
    assert last in (None, (found[-1].member_count, found[-1].id) if found else None)
    return found


async def test_pages(world: Any) -> None:
    """Each list continues at its cursor without gap or double, also among equal sort keys."""
    crowd = await people(world.database, 8)
    made = [world.lean.id]
    async with world.database.write() as writer:
        for number in range(7):
            room = await rooms.register(
                writer,
                kind="community",
                name=f"room-{number}",
                display_name="R",
                owner_id=world.alice.id,
                is_public=True,
                now_ms=NOW_MS,
            )
            made.append((await rooms.activate(writer, room.id, schema_version=1, now_ms=NOW_MS)).id)
            await members.add_many(writer, room.id, crowd[: number // 2], joined_at=NOW_MS + number // 2)
        await members.add_many(writer, made[7], crowd, joined_at=NOW_MS)
    async with world.database.read() as reader:
        public = await paged(lambda at: largest(reader, at), lambda r: (r.member_count, r.id), START)
        own = await paged(
            lambda at: room_pages.of_user(reader, crowd[0], after=at, limit=3), lambda r: (r.joined_at, r.id), START
        )
        everything = await paged(lambda at: room_pages.all_rooms(reader, after=at[0], limit=3), lambda r: (r.id,), (0,))
    assert [room.member_count for room in public] == sorted((room.member_count for room in public), reverse=True)
    assert {room.id for room in public} == set(made)
    assert len(public) == len(made)
    assert [room.id for room in own] == [made[7], made[6], made[5], made[4], made[3]]
    assert [room.id for room in everything] == made


async def test_private_and_unfinished_rooms_are_not_public(world: Any) -> None:
    """The public directory lists public communities whose shard stands."""
    await register(world.database, world.alice.id, "secret")
    await register(world.database, world.alice.id, "half-made", is_public=True)
    async with world.database.read() as reader:
        assert [room.name for room in (await room_pages.public(reader))[0]] == ["lean"]


async def test_an_invite_race_has_one_winner(world: Any) -> None:
    """Many parallel uses of a one-use invite let one in; a use given back can be used again."""
    async with world.database.write() as writer:
        invite = await invites.create(writer, world.lean.id, by=world.alice.id, max_uses=1, now_ms=NOW_MS)

    async def use() -> invites.Invite:
        async with world.database.write() as writer:
            return await invites.use(writer, invite.code, now_ms=NOW_MS)

    done = await asyncio.gather(*(use() for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(result, invites.Invite) for result in done) == 1
    assert sum(isinstance(result, errors.InviteNotUsableError) for result in done) == 49
    async with world.database.write() as writer:
        await invites.give_back(writer, invite.code)
    assert (await use()).uses == 1


@pytest.mark.parametrize("spoilt", ["", "expired", "used up", "revoked", "unknown"])
async def test_unusable_invites_look_alike(world: Any, spoilt: str) -> None:
    """Whatever is wrong with an invite, looking at it and using it give the same refusal."""
    async with world.database.write() as writer:
        invite = await invites.create(
            writer, world.lean.id, by=world.alice.id, max_uses=2, expires_at=NOW_MS + 10, now_ms=NOW_MS
        )
        assert (await invites.use(writer, invite.code, now_ms=NOW_MS + 9)).uses == 1
        now_ms = NOW_MS + 10 if spoilt == "expired" else NOW_MS + 9
        code = "x" * 16 if spoilt == "unknown" else invite.code
        if spoilt == "used up":
            await invites.use(writer, invite.code, now_ms=NOW_MS)
        if spoilt == "revoked":
            assert await invites.revoke(writer, invite.code, now_ms=NOW_MS)
            assert not await invites.revoke(writer, invite.code, now_ms=NOW_MS)
        if spoilt:
            works = [kept.code for kept in await invites.of_room(writer, world.lean.id, now_ms=now_ms)]
            assert works == ([invite.code] if spoilt == "unknown" else [])
        if not spoilt:
            assert (await invites.look_at(writer, code, now_ms=now_ms)).uses == 1
            assert (await invites.use(writer, code, now_ms=now_ms)).uses == 2
            return
        with pytest.raises(errors.InviteNotUsableError):
            await invites.look_at(writer, code, now_ms=now_ms)
        with pytest.raises(errors.InviteNotUsableError):
            await invites.use(writer, code, now_ms=now_ms)


async def test_codes_cannot_be_guessed(world: Any) -> None:
    """A code has 96 random bits."""
    async with world.database.write() as writer:
        codes = {(await invites.create(writer, world.lean.id, by=world.alice.id, now_ms=NOW_MS)).code for _ in "12345"}
        assert len(await invites.of_room(writer, world.lean.id, now_ms=NOW_MS)) == 5
    assert {len(code) for code in codes} == {16}
