"""Groups whose owner cannot act: they pass to a member who can, and nothing else changes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import accounts, members, rooms, users
from directory.group_owners import WAIT_MS
from ids import RoomId, UserId
from monitor.group_owners import GroupOwners
from rookery import composition
from rookery.server import periodic
from router.workflows import room_creation
from shard.actions import groups
from shard.actions import rooms as room_actions
from tests.monitor.fleets import NOW_MS, Fleet, fleet_in
from tests.router.clients import client_of
from tests.router.serving import Place, serving, until
from tests.router.test_chats_http import group, ids_in

DAY_MS = 86_400_000


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_in(tmp_path) as made:
        yield made


async def people(fleet: Fleet, *names: str) -> list[UserId]:
    async with fleet.stores.directory.database.write() as writer:
        return [(await users.create(writer, username=name, now_ms=NOW_MS)).id for name in names]


async def found(fleet: Fleet, *others: UserId) -> RoomId:
    """Found a group of the fleet's owner and others, who joined in this order; the last of them moderates it."""
    stores = fleet.stores
    room, _ = await room_creation.found_group(
        stores.directory, stores.pool, owner_id=fleet.owner_id, others=others, now_ms=NOW_MS
    )
    await stores.pool.write(room.id, groups.promote, fleet.owner_id, others[-1], now_ms=NOW_MS)
    return room.id


async def owners(fleet: Fleet, room_id: RoomId) -> tuple[UserId | None, UserId | None]:
    """Return the owner of a room as the shard and as the directory have it, after a run."""
    await GroupOwners(fleet.stores.directory, fleet.stores.pool, fleet.clock).run()
    async with fleet.stores.directory.database.read() as reader:
        registered = (await rooms.find(reader, room_id)).owner_id
    return await fleet.stores.pool.read(room_id, room_actions.owner), registered


async def ban(fleet: Fleet, user_id: UserId, *, expires_at: int | None = None) -> None:
    database = fleet.stores.directory.database
    await accounts.ban(database, user_id, reason="spam", expires_at=expires_at, now_ms=fleet.clock.now_ms)


async def suspend(fleet: Fleet, user_id: UserId) -> None:
    await accounts.suspend(fleet.stores.directory.database, user_id, reason="spam", now_ms=fleet.clock.now_ms)


async def test_a_ban_for_good_passes_a_group_on_at_once(fleet: Fleet) -> None:
    """To the moderator before the member who is there longer; the former owner stays, and a return changes nothing."""
    ben, carl = await people(fleet, "ben", "carl")
    room_id = await found(fleet, ben, carl)
    assert await owners(fleet, room_id) == (fleet.owner_id, fleet.owner_id)
    await ban(fleet, fleet.owner_id)
    assert await owners(fleet, room_id) == (carl, carl)
    await accounts.unban(fleet.stores.directory.database, fleet.owner_id, now_ms=NOW_MS)
    assert await owners(fleet, room_id) == (carl, carl)
    async with fleet.stores.directory.database.read() as reader:
        assert await members.find(reader, room_id, fleet.owner_id) is not None


async def test_a_suspended_owner_keeps_a_group_for_some_days(fleet: Fleet) -> None:
    """Whoever is back before that still owns it; after that it passes, for suspensions and for bans with an end."""
    (ben,) = await people(fleet, "ben")
    room_id = await found(fleet, ben)
    mine = (fleet.owner_id, fleet.owner_id)
    await suspend(fleet, fleet.owner_id)
    assert await owners(fleet, room_id) == mine
    await accounts.reinstate(fleet.stores.directory.database, fleet.owner_id, now_ms=NOW_MS)
    fleet.clock.now_ms += WAIT_MS + DAY_MS
    assert await owners(fleet, room_id) == mine
    await ban(fleet, fleet.owner_id, expires_at=fleet.clock.now_ms + WAIT_MS - 1)
    fleet.clock.now_ms += WAIT_MS
    assert await owners(fleet, room_id) == mine  # the ban has ended
    await suspend(fleet, fleet.owner_id)
    fleet.clock.now_ms += WAIT_MS - 1
    assert await owners(fleet, room_id) == mine
    fleet.clock.now_ms += 1
    assert await owners(fleet, room_id) == (ben, ben)
    await ban(fleet, ben, expires_at=fleet.clock.now_ms + 2 * WAIT_MS)
    await accounts.reinstate(fleet.stores.directory.database, fleet.owner_id, now_ms=fleet.clock.now_ms)
    fleet.clock.now_ms += WAIT_MS
    assert await owners(fleet, room_id) == mine


async def test_only_who_can_act_inherits(fleet: Fleet) -> None:
    """Suspended and banned members are passed over, though they moderate; with nobody else all stays as it is."""
    ben, carl, dora = await people(fleet, "ben", "carl", "dora")
    room_id = await found(fleet, ben, carl, dora)
    await suspend(fleet, dora)
    await ban(fleet, ben, expires_at=fleet.clock.now_ms + DAY_MS)
    await ban(fleet, fleet.owner_id)
    assert await owners(fleet, room_id) == (carl, carl)
    await ban(fleet, carl)
    assert await owners(fleet, room_id) == (carl, carl)
    fleet.clock.now_ms += DAY_MS
    assert await owners(fleet, room_id) == (ben, ben)


async def test_a_run_that_was_cut_short_is_finished(fleet: Fleet) -> None:
    """Where the shard has another owner already, the directory follows."""
    (ben,) = await people(fleet, "ben")
    room_id = await found(fleet, ben)
    await ban(fleet, fleet.owner_id)
    assert await fleet.stores.pool.write(room_id, groups.replace_owner, fleet.owner_id, [ben], now_ms=NOW_MS)
    assert await owners(fleet, room_id) == (ben, ben)


async def test_a_full_group_passes_on(fleet: Fleet) -> None:
    """The heir can then empty it."""
    (ben,) = await people(fleet, "ben")
    room_id = await found(fleet, ben)
    async with fleet.stores.directory.database.write() as writer:
        await rooms.set_full(writer, room_id, is_full=True, now_ms=NOW_MS)
    await ban(fleet, fleet.owner_id)
    assert await owners(fleet, room_id) == (ben, ben)


async def test_a_community_keeps_its_owner(fleet: Fleet) -> None:
    """Communities have roles for that: who administers one goes on."""
    room_id = await fleet.found("lean")
    await ban(fleet, fleet.owner_id)
    assert await owners(fleet, room_id) == (fleet.owner_id, fleet.owner_id)


async def test_a_group_that_fails_holds_back_no_other(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged group is told in the log, and the others pass on."""
    (ben,) = await people(fleet, "ben")
    damaged, sound = await found(fleet, ben), await found(fleet, ben)
    await fleet.close_shards()
    fleet.damage(damaged)
    await ban(fleet, fleet.owner_id)
    assert await owners(fleet, sound) == (ben, ben)
    (line,) = [record for record in caplog.records if record.getMessage() == "a group could not be passed on"]
    assert vars(line)["room_id"] == damaged


async def test_a_server_passes_groups_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ban at the command line is enough: the heir hears of it as of every transfer, and may what owners may; whoever
    leaves next passes the group to somebody who can act."""
    monkeypatch.setattr(periodic, "GROUP_OWNERS_EVERY_SECONDS", 0.05)
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        anna, ben, carl, dora = (nobody.guest() for _ in range(4))
        path, _ = group(anna, ben, carl, dora)
        anna.did("PUT", f"{path}/moderators/{dora.id}")
        ids = {name: UserId(int(who.id)) for name, who in (("anna", anna), ("dora", dora))}
        async with composition.open_directory(server.place.settings()) as directory:
            for user_id in ids.values():
                await accounts.ban(directory.database, user_id, reason="spam", now_ms=composition.now_ms())
        until(lambda: ben.get(path)["room"]["owner_id"] == ben.id)
        ben.did("DELETE", f"{path}/members/{ids['anna']}")
        (entry,) = ben.get(f"{path}/audit", action="room.transferred")["entries"]
        assert (entry["actor_id"], entry["reason"]) == (None, "The owner's account is closed.")
        ben.post(f"{path}/leave")
        assert carl.get(path)["room"]["owner_id"] == carl.id
        assert ids_in(carl, path) == {carl.id, str(ids["dora"])}
