"""A disk without space for a copy of a room, or for the room itself: it stays in its one place until there is."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shard.errors import ShardFullError
from tests.monitor import sleepers


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder whose shards have a disk of 24 megabytes."""
    shards = tmp_path / "data" / "shards"
    shards.mkdir(parents=True, mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", shards], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield tmp_path
    subprocess.run(["umount", shards], check=True)


def _fill(ballast: Path) -> None:
    """Use up what is left of the disk, but for some kilobytes that SQLite needs to look into a file."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            file.truncate(file.tell() - 98_304)


async def test_a_full_disk_leaves_a_room_in_its_place(small: Path) -> None:
    """On a disk that is full a room is neither put away nor brought back, and both go on once there is space."""
    async with sleepers.made(small) as bed:
        said = [f"message {number} of some length" for number in range(300)]
        for text in said:
            await bed.send(text)
        ballast = bed.place.shards / "ballast"
        async with bed.stores.pool.shut(bed.room_id):
            _fill(ballast)
        with pytest.raises(ShardFullError):
            await bed.hibernator.hibernate(bed.room_id)
        assert bed.files() == [bed.file.name, "ballast"]
        assert await bed.texts() == said
        ballast.unlink()
        await bed.hibernator.hibernate(bed.room_id)
        _fill(ballast)
        with pytest.raises(ShardFullError):
            await bed.texts()
        assert bed.files() == ["ballast"]
        assert await bed.state() == "hibernated"
        ballast.unlink()
        bed.stores.pool.suspensions._failed.clear()
        assert await bed.texts() == said
