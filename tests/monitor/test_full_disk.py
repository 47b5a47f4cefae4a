"""A disk that is full while the monitor works: nothing is half-done, and the next round does it."""

from pathlib import Path

import apsw
import pytest

from database.errors import DatabaseError
from shard.engine.connections import Writer
from shard.errors import ShardFullError
from tests.monitor.fleets import fleet_in
from tests.shard.disks import failing, inserted


class Full:
    """Fails every write to files whose path has a word in it, while it is on."""

    def __init__(self, word: str) -> None:
        self._word = word
        self.is_on = False

    def __call__(self, operation: str, path: Path) -> None:
        if self.is_on and operation == "xWrite" and self._word in str(path.name):
            raise failing(apsw.SQLITE_FULL)


async def test_a_round_on_a_full_disk_is_done_by_the_next(tmp_path: Path) -> None:
    """A round that cannot write says so and leaves nothing; with space again, the next measures, alerts and closes."""
    full = Full("directory")
    with inserted(full):
        async with fleet_in(tmp_path) as fleet:
            room_id = await fleet.found("den")
            await fleet.fill(room_id, 100)
            full.is_on = True
            with pytest.raises(DatabaseError):
                await fleet.walk.run()
            full.is_on = False
            assert (await fleet.shard(room_id)).checked_at is None
            assert await fleet.alerts() == []
            assert (await fleet.walk.run()).alerts == 1
            assert (await fleet.shard(room_id)).state == "readonly"


async def test_tidying_up_on_a_full_disk_is_done_later(tmp_path: Path) -> None:
    """A step that finds no space is refused and leaves the room as it was; with space again, tidying up goes on."""
    full = Full("155")
    with inserted(full):
        async with fleet_in(tmp_path) as fleet:
            room_id = await fleet.found("den")
            assert str(room_id).startswith("155")
            await fleet.fill(room_id, 80)

            def erase(writer: Writer) -> None:
                writer.run("DELETE FROM messages")

            await fleet.stores.pool.write(room_id, erase)
            before = await fleet.walk.measure(room_id)
            full.is_on = True
            with pytest.raises(ShardFullError):
                await fleet.optimizer.optimize(room_id)
            full.is_on = False
            assert (await fleet.walk.measure(room_id)).size_bytes == before.size_bytes
            freed_bytes = (await fleet.optimizer.optimize(room_id)).freed_bytes
            after = await fleet.walk.measure(room_id)
            assert after.freelist_bytes == 0
            assert after.size_bytes == before.size_bytes - freed_bytes
            assert (await fleet.integrity_check.check(room_id)).problems == ()
