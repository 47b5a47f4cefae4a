# ruff: noqa: RUF001
"""What moderators of the platform may do, to whom; and how rooms, members and invites are found and bounded."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from directory import accounts, audit, errors, global_bans, invites, members, room_pages, rooms, users
from directory.audit import Filter
from directory.capabilities import Capability
from directory.database import Database
from ids import RoomId, UserId

NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Staff:
    """Two administrators, two moderators and two others."""

    admin: UserId
    second_admin: UserId
    moderator: UserId
    second_moderator: UserId
    user: UserId
    other: UserId


@pytest.fixture
async def staff(database: Database) -> Staff:
    async with database.write() as writer:
        made = [
            (await users.create(writer, username=name, now_ms=NOW_MS)).id
            for name in ("queen", "duke", "bishop", "castle", "pawn", "horse")
        ]
    for user_id, capability in zip(made, ["admin"] * 2 + ["moderator"] * 2, strict=False):
        await accounts.promote(database, user_id, Capability(capability), now_ms=NOW_MS)
    return Staff(*made)


Act = Callable[[Database, UserId, UserId | None], Awaitable[object]]
ACTS: dict[str, Act] = {
    "suspend": lambda d, user_id, by: accounts.suspend(d, user_id, reason="spam", by=by, now_ms=NOW_MS),
    "reinstate": lambda d, user_id, by: accounts.reinstate(d, user_id, by=by, now_ms=NOW_MS),
    "ban": lambda d, user_id, by: accounts.ban(d, user_id, reason="spam", by=by, now_ms=NOW_MS),
    "unban": lambda d, user_id, by: accounts.unban(d, user_id, by=by, now_ms=NOW_MS),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_nobody_acts_upon_superiors_equals_or_themselves(database: Database, staff: Staff, act: Act) -> None:
    """Administrators act upon all but themselves, moderators upon people without a capability, others upon nobody."""
    for by, allowed in (
        (staff.admin, {staff.second_admin, staff.moderator, staff.user}),
        (staff.moderator, {staff.user}),
        (staff.user, set()),
    ):
        for user_id in (staff.admin, staff.second_admin, staff.moderator, staff.second_moderator, staff.user):
            if user_id in allowed or (by == staff.admin and user_id == staff.second_moderator):
                await act(database, user_id, by)
                await accounts.unban(database, user_id, now_ms=NOW_MS)
                await accounts.reinstate(database, user_id, now_ms=NOW_MS)
            else:
                with pytest.raises(errors.OutrankedError):
                    await act(database, user_id, by)


@pytest.mark.parametrize("name", ["suspend", "ban"])
async def test_one_administrator_is_always_free_to_act(database: Database, staff: Staff, name: str) -> None:
    """The last administrator who is neither suspended nor banned is not suspended, banned or demoted, by nobody."""
    await ACTS[name](database, staff.admin, None)
    for act in ("suspend", "ban"):
        with pytest.raises(errors.LastAdminError):
            await ACTS[act](database, staff.second_admin, None)
    with pytest.raises(errors.LastAdminError):
        await accounts.demote(database, staff.second_admin, Capability.ADMIN, now_ms=NOW_MS)
    await accounts.demote(database, staff.admin, Capability.ADMIN, now_ms=NOW_MS)
    await accounts.promote(database, staff.other, Capability.ADMIN, now_ms=NOW_MS)
    await ACTS[name](database, staff.second_admin, staff.other)


async def test_what_is_so_already_is_not_done_again(database: Database, staff: Staff) -> None:
    """Acts whose end is reached already succeed without a line in the log, and a ban by other terms is a new one."""
    user_id = staff.user

    async def actions() -> list[str]:
        async with database.read() as reader:
            found = await audit.list_page(reader, Filter(resource=("user", user_id)))
        return [entry.action.removeprefix("user.") for entry in reversed(found)]

    for act in ("reinstate", "unban", "suspend", "suspend", "reinstate", "reinstate", "ban", "ban"):
        await ACTS[act](database, user_id, None)
    assert await actions() == ["suspended", "reinstated", "banned"]
    first = await accounts.ban(database, user_id, reason="spam", by=staff.admin, now_ms=NOW_MS + 5)
    assert (first.banned_by, first.banned_at) == (None, NOW_MS)
    again = await accounts.ban(database, user_id, reason="spam", expires_at=NOW_MS + 9, now_ms=NOW_MS + 5)
    async with database.read() as reader:
        assert await global_bans.list_page(reader, now_ms=NOW_MS + 8) == [again]
        assert await global_bans.list_page(reader, after=user_id, now_ms=NOW_MS + 8) == []
        assert await global_bans.list_page(reader, now_ms=NOW_MS + 9) == []
    assert await accounts.unban(database, user_id, now_ms=NOW_MS + 8)
    assert await actions() == ["suspended", "reinstated", "banned", "banned", "unbanned"]


async def test_the_log_is_filtered_by_all_that_is_told(database: Database, staff: Staff) -> None:
    """Only acts of this actor, of this kind and upon this resource are listed, each alone and all together."""
    await accounts.ban(database, staff.user, reason="spam", by=staff.admin, now_ms=NOW_MS)
    await accounts.ban(database, staff.other, reason="spam", by=staff.moderator, now_ms=NOW_MS)
    await accounts.unban(database, staff.user, by=staff.moderator, now_ms=NOW_MS)

    async def found(wanted: Filter) -> list[tuple[str, str | None]]:
        async with database.read() as reader:
            entries = await audit.list_page(reader, wanted)
        return [(entry.action, entry.resource_id) for entry in entries if entry.action != "capability.granted"]

    banned, unbanned = ("user.banned", str(staff.user)), ("user.unbanned", str(staff.user))
    other = ("user.banned", str(staff.other))
    assert await found(Filter()) == [unbanned, other, banned]
    assert await found(Filter(user_id=staff.moderator)) == [unbanned, other]
    assert await found(Filter(action="user.banned")) == [other, banned]
    assert await found(Filter(resource=("user", staff.user))) == [unbanned, banned]
    assert await found(Filter(staff.moderator, "user.banned", ("user", staff.user))) == []
    assert await found(Filter(staff.admin, "user.banned", ("user", staff.user))) == [banned]


async def add_rooms(database: Database, owner: UserId, **described: str) -> None:
    async with database.write() as writer:
        for name, description in described.items():
            room = await rooms.register(
                writer,
                kind="community",
                name=name.replace("_", "-"),
                display_name=name.title().replace("_", " "),
                owner_id=owner,
                description=description,
                is_public=True,
                now_ms=NOW_MS,
            )
            await rooms.activate(writer, room.id, schema_version=1, now_ms=NOW_MS)


async def test_public_rooms_are_found_by_their_words(world: Any) -> None:
    """A search needs all its words, anywhere in name, display name or description, whatever their case."""
    await add_rooms(world.database, world.alice.id, tea_room="Für Freunde", tea_party="100% MÜDE", crypt="a_b")

    async def found(words: str) -> set[str]:
        async with world.database.read() as reader:
            page, last = await room_pages.public(reader, words.split())
        assert last is None
        return {room.name for room in page}

    assert await found("TEA") == {"tea-room", "tea-party"}
    assert await found("tea freund") == {"tea-room"}
    assert await found("müde") == await found("MÜDE") == {"tea-party"}
    assert await found("%") == {"tea-party"}
    assert await found("a_b") == {"crypt"}
    assert await found("a%b") == await found("\\") == await found("tea missing") == set()
    assert len(await found("")) == 4


async def test_a_search_looks_at_so_many_and_goes_on(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that has looked at its bound ends with what it found, and going on from there finds all, once."""
    names = {f"room_{number}": "even" if number % 2 else "odd" for number in range(9)}
    await add_rooms(world.database, world.alice.id, **names)
    monkeypatch.setattr(room_pages, "EXAMINED_MAX", 2)
    found: list[str] = []
    pages, after = 0, room_pages.START
    async with world.database.read() as reader:
        while True:
            page, last = await room_pages.public(reader, ["even"], after=after, limit=3)
            assert len(page) <= 2
            found += [room.name for room in page]
            pages += 1
            if last is None:
                break
            after = last
    assert found == ["room-7", "room-5", "room-3", "room-1"]
    assert pages == 6


async def test_members_are_found_by_the_beginning_of_a_name(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member is found by how a word of their username, display name or nickname begins, and only in their room."""
    async with world.database.write() as writer:
        zoe = await users.create(writer, username="z_fox", display_name="Zoé van Damme", now_ms=NOW_MS)
        gone = await users.create(writer, username="zombie", now_ms=NOW_MS)
        for user_id, nickname in ((world.alice.id, "the Zebra"), (zoe.id, None), (gone.id, None)):
            await members.put(writer, world.lean.id, user_id, joined_at=NOW_MS, nickname=nickname)
        await users.set_status(writer, gone.id, "deleted", now_ms=NOW_MS)

    async def found(words: str, room_id: RoomId = world.lean.id) -> list[UserId]:
        async with world.database.read() as reader:
            ids, last = await members.search(reader, room_id, words)
        assert last is None
        return ids

    assert await found("z") == [world.alice.id, zoe.id]
    assert await found("ZEB") == await found("alice") == [world.alice.id]
    assert await found("ZOÉ") == await found("zoé v") == await found("z_f") == await found("dam") == [zoe.id]
    assert await found("amme") == await found("bob") == await found("zombie") == await found("%") == []
    assert await found("z", RoomId(1)) == []
    monkeypatch.setattr(members, "EXAMINED_MAX", 1)
    async with world.database.read() as reader:
        assert await members.search(reader, world.lean.id, "dam") == ([], world.alice.id)
        assert await members.search(reader, world.lean.id, "dam", after=world.alice.id) == ([zoe.id], zoe.id)
        monkeypatch.undo()
        assert await members.search(reader, world.lean.id, "z", limit=1) == ([world.alice.id], world.alice.id)


async def test_members_are_found_however_their_names_are_spelled(world: Any) -> None:
    """Case, accents, composition and width do not matter, nor which word of which name is meant."""
    names = ["ван Гог", "Großartig", "Anh Nguyễn", "Jean-Luc", "Ze\u0301lie", "山田太郎", "ｗｉｄｅ", "🎉 Ada"]
    async with world.database.write() as writer:
        made = {
            name: (await users.create(writer, username=f"person{at}", display_name=name, now_ms=NOW_MS)).id
            for at, name in enumerate(names)
        }
        await members.add_many(writer, world.lean.id, list(made.values()), joined_at=NOW_MS)
        await members.put(writer, world.lean.id, made["🎉 Ada"], joined_at=NOW_MS, nickname="Łódka")
    asked = {
        "ван гог": "ван Гог", "гог": "ван Гог", "ГОГ ВАН": "ван Гог", "GROSSARTIG": "Großartig",
        "grossartig": "Großartig", "nguyen": "Anh Nguyễn", "Nguye\u0302\u0303n anh": "Anh Nguyễn", "luc": "Jean-Luc",
        "jean-luc": "Jean-Luc", "zelie": "Ze\u0301lie", "Zélie": "Ze\u0301lie", "太郎": "山田太郎", "wide": "ｗｉｄｅ",
        "🎉": "🎉 Ada", "lodka ada": "🎉 Ada", "person7 łód": "🎉 Ada", "elie": None, "ogh": None, "-": None, "%": None,
        "_": None,
    }  # fmt: skip
    async with world.database.read() as reader:
        for words, name in asked.items():
            found, last = await members.search(reader, world.lean.id, words)
            assert (found, last) == ([] if name is None else [made[name]], None), words


async def test_communities_are_found_however_they_are_spelled(world: Any) -> None:
    """Each word may be any part of a community's names and description, in any spelling."""
    async with world.database.write() as writer:
        for name, title, description in (
            ("moos", "Großartiges Möös", "Für alle"),
            ("kosmos", "κόσμος", "Привет, ёлка"),
            ("plain", "Plain 100%", None),
        ):
            room = await rooms.register(
                writer, kind="community", name=name, display_name=title, description=description, is_public=True,
                owner_id=world.alice.id, now_ms=NOW_MS,
            )  # fmt: skip
            await rooms.activate(writer, room.id, schema_version=1, now_ms=NOW_MS)
    asked = {
        "GROSSARTIG": ["moos"], "moos fur": ["moos"], "κοσμοσ": ["kosmos"], "ΚΌΣΜΟΣ елка": ["kosmos"],
        "lain": ["plain"], "plain 100%": ["plain"], "lain кот": [], "%": ["plain"],
    }  # fmt: skip
    async with world.database.read() as reader:
        for words, names in asked.items():
            page, _ = await room_pages.public(reader, words.split())
            assert [room.name for room in page] == names, words


async def test_invites_are_bounded_and_dead_ones_are_forgotten(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invites that work count for their maker and their room; others make space, and a use is given back to one."""
    monkeypatch.setattr(invites, "PER_MEMBER_MAX", 3)
    monkeypatch.setattr(invites, "PER_ROOM_MAX", 4)
    room_id, alice, bob = world.lean.id, world.alice.id, world.bob.id
    async with world.database.write() as writer:
        once = await invites.create(writer, room_id, by=alice, max_uses=1, now_ms=NOW_MS)
        short = await invites.create(writer, room_id, by=alice, expires_at=NOW_MS + 5, now_ms=NOW_MS + 1)
        kept = await invites.create(writer, room_id, by=alice, now_ms=NOW_MS + 2)
        with pytest.raises(errors.TooManyInvitesError, match="You have 3"):
            await invites.create(writer, room_id, by=alice, now_ms=NOW_MS + 3)
        theirs = await invites.create(writer, room_id, by=bob, now_ms=NOW_MS + 3)
        with pytest.raises(errors.TooManyInvitesError, match="This room has 4"):
            await invites.create(writer, room_id, by=bob, now_ms=NOW_MS + 4)
        assert await invites.of_room(writer, room_id, now_ms=NOW_MS + 4) == [theirs, kept, short, once]
        assert await invites.of_room(writer, room_id, by=bob, now_ms=NOW_MS + 4) == [theirs]
        await invites.use(writer, once.code, now_ms=NOW_MS + 4)
        await invites.create(writer, room_id, by=alice, now_ms=NOW_MS + 4)
        await invites.create(writer, room_id, by=alice, now_ms=NOW_MS + 5)
        assert await invites.find(writer, room_id, short.code) is None
        assert await invites.find(writer, RoomId(1), kept.code) is None
        await invites.give_back(writer, once.code)
        assert (await invites.look_at(writer, once.code, now_ms=NOW_MS + 5)).uses == 0
        await invites.revoke(writer, kept.code, now_ms=NOW_MS + 5)
        assert (await invites.find(writer, room_id, kept.code)) is not None


async def test_a_change_of_a_room_is_told_once(world: Any) -> None:
    """What is changed of a room is told as it was and is, in the log too, and what stays is not told."""
    async with world.database.write() as writer:
        room, before, after = await rooms.change(
            writer, world.lean.id, {"name": "lean", "description": "Proofs"}, by=world.alice.id, now_ms=NOW_MS
        )
        assert (room.description, before, after) == ("Proofs", {"description": None}, {"description": "Proofs"})
        assert await rooms.change(writer, world.lean.id, {"name": "lean"}, by=None, now_ms=NOW_MS) == (room, {}, {})
        entries = await audit.list_page(writer, Filter(action="room.updated"))
    assert [entry.metadata for entry in entries] == [{"before": before, "after": after}]
