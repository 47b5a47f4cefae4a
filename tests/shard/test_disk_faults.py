"""Disks that fail, fill up and forget: no false success, nothing acknowledged lost, nothing stored twice."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

import sqlite
from ids import RoomId
from shard.actions.messages import Sent
from shard.engine import files, open_shard
from shard.errors import (
    BrokenShardError,
    OutcomeUnknownError,
    ShardBusyError,
    ShardError,
    ShardFullError,
    UnavailableError,
)
from shard.rows import Event
from tests.shard import disks, stage

LONG = "ROOKERY_CRASH_CYCLES" in os.environ
SHORT_STEP = 6
"""Of the calls that could fail, the short form lets every sixth do so."""
SENDS = 12
FAULTS = {
    "a read fails": ("xRead", apsw.SQLITE_IOERR_READ),
    "a write fails": ("xWrite", apsw.SQLITE_IOERR_WRITE),
    "a sync fails": ("xSync", apsw.SQLITE_IOERR_FSYNC),
    "the disk is full": ("xWrite", apsw.SQLITE_FULL),
}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints come often and a broken shard is tried again at once."""
    monkeypatch.setitem(sqlite.PRAGMAS, "wal_autocheckpoint", "20")
    monkeypatch.setattr(open_shard, "REOPEN_AFTER_SECONDS", 0.01)


async def a_room(folder: Path) -> stage.Room:
    """Found a room and close it again, so that a disk can be put under it."""
    async with stage.opened(folder) as it:
        return await it.found()


async def attempt(it: stage.Stage, room: stage.Room, number: int) -> Sent | ShardError:
    """Send message `number`, and return what came of it."""
    try:
        return await it.send(room, f"message {number} {'long ' * 300}", nonce=str(number))
    except ShardError as error:
        return error


async def settle(it: stage.Stage, room: stage.Room, number: int) -> Sent:
    """Repeat a send until it succeeds."""

    async def send() -> Sent:
        result = await attempt(it, room, number)
        if isinstance(result, ShardError):
            raise result
        return result

    return await stage.insist(send)


def assert_sound(folder: Path, room: stage.Room) -> None:
    """A closed shard passes SQLite's checks and the search index agrees with the messages."""
    connection = sqlite.connect(files.path_of(folder, room.id))
    assert connection.pragma("integrity_check") == "ok"
    connection.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    connection.close()


async def run_with(folder: Path, fault: disks.Nth, room: stage.Room) -> None:
    """Send under a fault, heal the disk, repeat what was not acknowledged, and compare with what is there."""
    async with stage.opened(folder) as it:
        first = await asyncio.gather(*(attempt(it, room, number) for number in range(SENDS // 2)))
        await stage.result_of(it.texts(room))
        second = [await attempt(it, room, number) for number in range(SENDS // 2, SENDS)]
        results = [*first, *second]
        acked = {number: result for number, result in enumerate(results) if isinstance(result, Sent)}
        assert all(isinstance(result, Sent | UnavailableError | ShardFullError) for result in results)
        fault.heal()
        settled = [await settle(it, room, number) for number in range(SENDS)]
        for number, sent in acked.items():
            assert settled[number].message.id == sent.message.id
            assert not settled[number].is_new
        there = (await stage.insist(lambda: it.page(room))).messages
        assert sorted(message.nonce or "" for message in there) == sorted(map(str, range(SENDS)))
        assert {message.id for message in there} == {sent.message.id for sent in settled}


@pytest.mark.crash
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "until healed"])
@pytest.mark.parametrize(("operation", "code"), FAULTS.values(), ids=FAULTS)
async def test_no_failing_call_loses_or_doubles_a_message(
    tmp_path: Path, operation: str, code: int, lasting: bool
) -> None:
    """Whichever call of the disk fails, what was acknowledged is there once and every repeated send succeeds."""
    number, was_reached = 1, True
    while was_reached:
        folder = tmp_path / str(number)
        folder.mkdir()
        room = await a_room(folder)
        fault = disks.Nth(operation, number, code, lasting=lasting)
        with disks.inserted(fault):
            await run_with(folder, fault, room)
        assert_sound(folder, room)
        was_reached = fault.was_reached
        number += 1 if LONG else SHORT_STEP
    assert number > 2 * SHORT_STEP, "the fault was never met"


async def test_a_failing_commit_has_an_unknown_outcome_that_the_nonce_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that fails in a commit answers OutcomeUnknownError and repeating the nonce stores the message once."""
    monkeypatch.setattr(open_shard, "REOPEN_AFTER_SECONDS", 1.0)
    room = await a_room(tmp_path)
    fault = disks.Nth("xSync", 10_000, apsw.SQLITE_IOERR_FSYNC)
    with disks.inserted(fault):
        async with stage.opened(tmp_path) as it:
            await it.send(room, "before", nonce="0")
            fault._number = fault.seen + 1
            with pytest.raises(OutcomeUnknownError):
                await it.send(room, "unknown", nonce="1")
            with pytest.raises((BrokenShardError, ShardBusyError)):
                await it.texts(room)
            assert (await settle(it, room, 1)).message.nonce == "1"
            await it.send(room, "after")
            assert [message.nonce for message in (await it.page(room)).messages] == [None, "1", "0"]


async def test_what_a_failed_sync_left_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    """A message that only the page cache kept through a failed sync is synced anew before its nonce is answered."""
    room = await a_room(tmp_path)
    fault = disks.Nth("xSync", 10_000, apsw.SQLITE_IOERR_FSYNC, lasting=True)
    with disks.inserted(fault) as disk:
        disk.remember(files.path_of(tmp_path, room.id))
        async with stage.opened(tmp_path) as it:
            await it.send(room, "before", nonce="0")
            fault._number = fault.seen + 1
            with pytest.raises(OutcomeUnknownError):
                await it.send(room, "unknown", nonce="1")
            await asyncio.sleep(0.05)
            fault.heal()
            again = await settle(it, room, 1)
            assert not again.is_new, "the row was expected in the log that the failed sync left"
            disk.after_power_cut(tmp_path, tmp_path / "cut")
            await it.send(room, "after", nonce="2")
            disk.after_power_cut(tmp_path, tmp_path / "later")
    for folder, nonces in ((tmp_path / "cut", ["1", "0"]), (tmp_path / "later", ["2", "1", "0"])):
        async with stage.opened(folder) as it:
            assert [message.nonce for message in (await it.page(room)).messages] == nonces
        assert_sound(folder, room)


async def test_reads_go_on_while_the_disk_is_full(tmp_path: Path) -> None:
    """A full disk answers ShardFullError to writes and serves reads, and writes resume when there is space."""
    room = await a_room(tmp_path)
    fault = disks.Nth("xWrite", 10_000, apsw.SQLITE_FULL, lasting=True)
    with disks.inserted(fault):
        async with stage.opened(tmp_path) as it:
            await it.send(room, "before")
            fault._number = fault.seen + 1
            refused = await asyncio.gather(*(stage.result_of(it.send(room, f"{number}")) for number in range(5)))
            assert [type(error) for error in refused] == [ShardFullError] * 5
            assert await it.texts(room) == ["before"]
            fault.heal()
            await it.send(room, "after")
            assert await it.texts(room) == ["before", "after"]
            assert [message.content for message in it.messages(room)] == ["before", "after"]


async def test_another_process_that_writes_makes_the_room_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that waits in vain for another process's lock is refused as busy and leaves nothing."""
    monkeypatch.setitem(sqlite.PRAGMAS, "busy_timeout", "20")
    room = await a_room(tmp_path)
    async with stage.opened(tmp_path) as it:
        other = sqlite.connect(files.path_of(tmp_path, room.id))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ShardBusyError):
            await it.send(room, "while locked")
        assert await it.texts(room) == []
        other.execute("ROLLBACK")
        other.close()
        await it.send(room, "after")
        assert await it.texts(room) == ["after"]


async def durable_when_published(folder: Path) -> bool:
    """Send under a watched disk and tell whether every published message would outlive a power cut right then."""
    home = folder / "home"
    home.mkdir()
    room = await a_room(home)
    published: list[list[int]] = []

    def cut_power(_room_id: RoomId, events: Sequence[Event]) -> None:
        so_far = published[-1] if published else []
        published.append(so_far + [event.message.id for event in events if event.message])
        disk.after_power_cut(home, folder / f"cut-{len(published)}")

    with disks.inserted() as disk:
        disk.remember(files.path_of(home, room.id))
        async with stage.opened(home, publish=cut_power, batch_max=3) as it:
            await asyncio.gather(*(it.send(room, f"{number} {'long ' * 200}") for number in range(30)))
    is_durable = len(published) >= 10
    for number, wanted in enumerate(published, start=1):
        async with stage.opened(folder / f"cut-{number}") as it:
            found = {message.id for message in (await it.page(room)).messages}
        is_durable = is_durable and found >= set(wanted)
    return is_durable


@pytest.mark.crash
@pytest.mark.parametrize(("synchronous", "is_durable"), [("FULL", True), ("NORMAL", False)])
async def test_a_power_cut_takes_nothing_that_was_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str, is_durable: bool
) -> None:
    """What is published outlives a power cut at that moment, which synchronous=NORMAL is caught not to promise."""
    monkeypatch.setitem(sqlite.PRAGMAS, "synchronous", synchronous)
    assert await durable_when_published(tmp_path) is is_durable
