"""Branches of the log: a restored shard never gives a number again, and a shard that stayed as it was begins none."""

import shutil
from pathlib import Path

import pytest

from shard.actions import gateway
from shard.archive import cuts
from shard.engine import branches, files
from shard.tables import webhook_deliveries
from shard.tables.webhooks import Webhook
from tests.shard import direct, stage
from tests.shard.stage import Room, Stage


def path_of(it: Stage, room: Room) -> Path:
    return files.path_of(it.folder, room.id)


async def numbers(it: Stage, room: Room) -> list[tuple[int, str]]:
    return await it.rows(room, "SELECT seq, type FROM events ORDER BY seq DESC LIMIT 2")


async def restore(it: Stage, room: Room, copy: Path) -> None:
    """Put a copy in a shard's place, as an operator does; the inode number may be used again."""
    path = path_of(it, room)
    await it.evict(room)
    path.unlink()
    shutil.copyfile(copy, path)


@pytest.mark.parametrize("is_read_first", [False, True])
async def test_a_restored_log_goes_on_above_every_number_given_out(tmp_path: Path, *, is_read_first: bool) -> None:
    """Two restores of one backup lead to numbers that differ from each other's and from the lost ones."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.send(room, "kept")
        await it.evict(room)
        backup = shutil.copyfile(path_of(it, room), tmp_path / "backup")
        given: list[int] = []
        for turn in range(3):
            await it.send(room, f"lost {turn}")
            given += [event.seq for event in it.events(room)]
            it.published.clear()
            it.now_ms += 60_000
            await restore(it, room, backup)
            if is_read_first:
                watch = await it.pool.read(room.id, gateway.watch, [])
                assert watch.branch_seq == watch.first_seq == watch.last_seq == it.now_ms
            assert await it.texts(room) == ["kept"]
        await it.send(room, "after")
        (last, _), (begun, type_) = await numbers(it, room)
        assert (begun, type_, last) == (it.now_ms, "room.restored", it.now_ms + 1)
        assert max(given) < last
        assert len(set(given)) == len(given)


async def test_a_shard_that_is_only_reopened_goes_on_counting(tmp_path: Path) -> None:
    """Closing, reopening and moving a file begin no branch."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.send(room, "one")
        await it.evict(room)
        path = path_of(it, room)
        path.rename(path.with_suffix(".moved"))
        path.with_suffix(".moved").rename(path)
        await it.send(room, "two")
        (last, _), (before, type_) = await numbers(it, room)
        assert (last, type_) == (before + 1, "message.created")
        assert (await it.pool.read(room.id, gateway.watch, [])).branch_seq == 1


async def test_a_shard_of_an_earlier_release_takes_its_file(tmp_path: Path) -> None:
    """A shard that names no file names the one it is opened in, and goes on counting."""
    async with stage.opened(tmp_path) as it:
        room = await it.found()
        await it.pool.write(room.id, lambda writer: writer.run("UPDATE room SET file_identity = NULL"))
        await it.evict(room)
        await it.send(room, "one")
        assert await it.rows(room, "SELECT branch_seq, file_identity FROM room") == [
            (1, branches.identity_of(path_of(it, room)))
        ]


def test_deliveries_pass_over_the_gap_before_a_branch(tmp_path: Path) -> None:
    """A webhook gets what was pending in the backup and then the branch, not the numbers between."""
    with direct.writing(tmp_path) as (_, writer, room):
        hook = Webhook(60, None, "all", "outgoing", stage.OWNER, 1, events=("*",))
        branches.begin(writer, now_ms=stage.NOW_MS)
        earlier, reached, is_last = webhook_deliveries.pending(writer, hook, [room.general], after_seq=0, hides=())
        assert earlier
        assert not is_last
        assert reached < stage.NOW_MS
        found, reached, is_last = webhook_deliveries.pending(
            writer, hook, [room.general], after_seq=earlier[-1].seq, hides=()
        )
        assert [(event.seq, event.type) for event in found] == [(stage.NOW_MS, "room.restored")]
        assert (reached, is_last) == (stage.NOW_MS, True)


def test_trimming_passes_over_the_gap_before_a_branch(tmp_path: Path) -> None:
    """Trimming the log takes as many steps as it has events, not as the numbers before a branch."""
    with direct.writing(tmp_path) as (_, writer, _room):
        branches.begin(writer, now_ms=stage.NOW_MS)
        reached: int | None = 0
        steps = 0
        while reached is not None:
            assert steps < 5
            reached = cuts.trim_log(writer, reached, now_ms=stage.NOW_MS + 100 * cuts.LOG_KEPT_MS)
            steps += 1
        assert steps > 1
