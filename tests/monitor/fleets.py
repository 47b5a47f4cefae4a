"""A small fleet for tests of the monitor: a real directory, real shards, and a clock that tests set."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlite
from config.settings import Settings
from directory import alerts, shards, users
from directory.alerts import Alert, Sink
from directory.shards import Shard
from ids import ChannelId, RoomId, UserId
from monitor.directory_check import DirectoryCheck
from monitor.integrity import IntegrityCheck
from monitor.optimizer import Optimizer
from monitor.sizes import SizeWalk
from rookery import composition
from rookery.composition import Stores, open_stores
from router.workflows import room_creation
from shard import inspections
from shard.actions import messages
from shard.tables.messages import Draft
from tests.router.serving import Place, until

NOW_MS = 1_790_000_000_000
"""Years after whatever the files of a test say of their times."""
LIMIT_BYTES = 2_000_000


@dataclass(slots=True)
class Clock:
    """The clock of the monitor, set by tests."""

    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@dataclass(slots=True)
class Fleet:
    """Rooms, the stores around them, and a walk over them."""

    settings: Settings
    stores: Stores
    owner_id: UserId
    clock: Clock = field(default_factory=Clock)
    channels: dict[RoomId, ChannelId] = field(default_factory=dict)
    sinks: tuple[Sink, ...] = ("log",)

    @property
    def folder(self) -> Path:
        return composition.shards_folder(self.settings)

    @property
    def walk(self) -> SizeWalk:
        """A walk that remembers nothing, as after a restart."""
        made = composition.size_walk(self.settings, self.stores.directory)
        return SizeWalk(made._directory, made._folder, made._migrations, self.settings.shards, self.sinks, self.clock)

    @property
    def integrity_check(self) -> IntegrityCheck:
        pool = self.stores.pool
        return IntegrityCheck(self.stores.directory, self.folder, pool._migrations, self.sinks, self.clock)

    @property
    def directory_check(self) -> DirectoryCheck:
        return DirectoryCheck(self.stores.directory, LIMIT_BYTES, self.sinks, self.clock)

    @property
    def optimizer(self) -> Optimizer:
        return Optimizer(self.stores.directory, self.stores.pool, self.clock)

    async def found(self, name: str) -> RoomId:
        room, channels = await room_creation.found_community(
            self.stores.directory, self.stores.pool, name=name, owner_id=self.owner_id, now_ms=NOW_MS
        )
        self.channels[room.id] = channels[0].id
        return room.id

    async def say(self, room_id: RoomId, *, count: int = 1, length: int = 10) -> None:
        for number in range(count):
            asked = (self.owner_id, self.channels[room_id], Draft(f"{number} " + "x" * length))
            await self.stores.pool.write(room_id, messages.send_message, *asked, now_ms=NOW_MS)

    async def fill(self, room_id: RoomId, percent: int) -> None:
        """Send messages until a room uses so much of LIMIT_BYTES."""
        while True:
            seen = await self.stores.pool.read(room_id, inspections.measure, self.folder)
            if (seen.size_bytes - seen.freelist_bytes) * 100 >= LIMIT_BYTES * percent:
                return
            await self.say(room_id, count=2, length=4_000)

    async def shard(self, room_id: RoomId) -> Shard:
        async with self.stores.directory.database.read() as reader:
            return await shards.find(reader, room_id)

    async def alerts(self) -> list[Alert]:
        """Return all alerts, the oldest first."""
        async with self.stores.directory.database.read() as reader:
            return (await alerts.list_page(reader, is_open=False, limit=1_000))[::-1]

    async def limit(self, room_id: RoomId, size_limit_bytes: int | None) -> None:
        async with self.stores.directory.database.write() as writer:
            await shards.set_limit(writer, room_id, size_limit_bytes, by=None, now_ms=NOW_MS)

    async def close_shards(self) -> None:
        """Have every shard closed, so that a test may touch its file."""
        for room_id in list(self.stores.pool._entries):
            self.stores.pool._retire(room_id)
        until(lambda: not [*self.folder.glob("*.db-wal")])

    def damage(self, room_id: RoomId) -> None:
        """Spoil some pages in the middle of a closed shard."""
        path = self.folder / f"{room_id}.db"
        content = bytearray(path.read_bytes())
        middle = len(content) // 2 // 2_048 * 2_048
        content[middle : middle + 4 * 2_048] = b"\x55" * (4 * 2_048)
        path.write_bytes(content)


def place_of(folder: Path) -> Place:
    """Return a place whose shards are full at LIMIT_BYTES."""
    more = "\n".join(
        [
            '[[d1_databases]]\nbinding = "DIRECTORY"\ndatabase_name = "directory"',
            f'[[d1_databases]]\nbinding = "SHARDS"\ndatabase_name = "shards"\nsize_limit_bytes = {LIMIT_BYTES}',
        ]
    )
    return Place(folder, more=more)


@asynccontextmanager
async def fleet_in(folder: Path) -> AsyncIterator[Fleet]:
    """Lend an empty fleet whose shards are full at LIMIT_BYTES."""
    settings = place_of(folder).settings()
    async with open_stores(settings) as stores:
        async with stores.directory.database.write() as writer:
            owner = await users.create(writer, username="owner", now_ms=NOW_MS)
        yield Fleet(settings, stores, owner.id)


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    """Return rows of the directory of a data folder."""
    connection = sqlite.connect(folder / "data" / "directory.db", read_only=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()
