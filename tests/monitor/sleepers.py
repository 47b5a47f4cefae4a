"""A room among real stores that can be hibernated and woken, with its files on disk and its objects in storage."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from directory import hibernations, rooms, users
from directory.hibernations import LEFT_MS, Hibernation
from ids import ChannelId, RoomId, UserId
from migrations import engine
from monitor.hibernator import Hibernator
from objects import disk
from objects.store import Store
from rookery.composition import Stores, open_stores
from router.workflows import room_creation
from shard.actions import messages
from shard.actions.pages import Span
from shard.engine.pool import Publish
from shard.history.history import History
from shard.rows import Event, Message
from shard.tables.messages import Draft
from tests.router.serving import Place
from tests.shard.stage import NOTHING_ARCHIVED

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


@dataclass(slots=True)
class Bed:
    """A room with its owner, and the stores around it."""

    place: Place
    stores: Stores
    store: Store
    hibernator: Hibernator
    room_id: RoomId
    channel_id: ChannelId
    owner_id: UserId
    events: list[Event]
    woken: list[RoomId]
    now_ms: int = NOW_MS
    steps: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.place.shards / f"{self.room_id}.db"

    def files(self) -> list[str]:
        """Return the names in the folder of shards."""
        return sorted(path.name for path in self.place.shards.iterdir())

    async def send(self, text: str) -> Message:
        draft = Draft(text)
        asked = (self.owner_id, self.channel_id, draft)
        sent = await self.stores.pool.write(self.room_id, messages.send_message, *asked, now_ms=self.now_ms)
        return sent.message

    async def edit(self, message: Message, text: str) -> None:
        asked = (self.owner_id, self.channel_id, message.id, text)
        await self.stores.pool.write(self.room_id, messages.edit_message, *asked, now_ms=self.now_ms)

    async def texts(self) -> list[str]:
        """Return the texts of all messages in the room, oldest first."""
        asked = (self.owner_id, self.channel_id, None, Span(limit=10_000))
        page = await History(self.stores.pool, NOTHING_ARCHIVED).read_page(self.room_id, *asked, now_ms=self.now_ms)
        return [message.content for message in reversed(page.messages)]

    async def state(self) -> str:
        async with self.stores.directory.database.read() as reader:
            return (await rooms.find(reader, self.room_id)).state

    async def asleep(self) -> Hibernation | None:
        async with self.stores.directory.database.read() as reader:
            return await hibernations.find_asleep(reader, self.room_id)

    async def keys(self) -> list[str]:
        return list(await self.store.list("shards/"))

    async def clear(self) -> None:
        """Remove unused objects, as the server does some time later."""
        self.now_ms += LEFT_MS
        await self.hibernator.remove_unneeded()
        self.now_ms -= LEFT_MS


@asynccontextmanager
async def made(
    folder: Path,
    *,
    store: Store | None = None,
    step: Callable[[str], None] = lambda _step: None,
    publish: Publish = lambda _room_id, _events: None,
) -> AsyncIterator[Bed]:
    """Open stores over a folder with one room in it, made if there is none, as the server does."""
    place = Place(folder)
    events: list[Event] = []
    woken: list[RoomId] = []
    settings = place.settings()

    def published(room_id: RoomId, committed: Sequence[Event]) -> None:
        events.extend(committed)
        publish(room_id, committed)

    def note(name: str) -> None:
        bed.steps.append(name)
        step(name)

    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings, published))
        kept = store or disk.open_store(folder / "data" / "archive")
        migrations = engine.load(engine.SHARD_FOLDER)
        hibernator = Hibernator(
            stores.directory,
            stores.pool,
            kept,
            place.shards,
            migrations,
            lambda: bed.now_ms,
            woken=woken.append,
            step=note,
        )
        if store is None:
            stack.push_async_callback(kept.close)
        stack.push_async_callback(hibernator.close)
        owner_id, room_id, channel_id = await _room(stores, folder / "channel")
        bed = Bed(place, stores, kept, hibernator, room_id, channel_id, owner_id, events, woken)
        await hibernator.recover()
        yield bed


async def _room(stores: Stores, note: Path) -> tuple[UserId, RoomId, ChannelId]:
    """Return the room, made if there is none; its channel is noted outside of it, since asking the room wakes it."""
    directory = stores.directory
    if note.exists():
        async with directory.database.read() as reader:
            room = await rooms.find_by_name(reader, "nest")
        assert room.owner_id is not None
        return room.owner_id, room.id, ChannelId(int(note.read_text()))
    async with directory.database.write() as writer:
        owner = await users.create(writer, username="owner", now_ms=NOW_MS)
    room, channels = await room_creation.found_community(
        directory, stores.pool, name="nest", owner_id=owner.id, now_ms=NOW_MS
    )
    note.write_text(str(channels[0].id))
    return owner.id, room.id, channels[0].id
