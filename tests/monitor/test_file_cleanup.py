"""What is left of files is removed, wherever whoever had to do it was cut short, and what somebody has stays."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from directory import failures, placeholders, rooms, storage
from directory.failures import Failure
from directory.storage import LOOK_EVERY_MS, SETTLES_AFTER_MS
from ids import ChannelId, RoomId, UserId
from monitor import file_cleanup
from monitor.file_cleanup import RETRY_MS, FileCleanup
from objects.errors import StoreUnavailableError
from objects.store import Content, Store
from rookery.composition import Stores, open_files, open_stores
from rookery.object_storage import open_ownership
from router.workflows import room_creation
from shard.actions import attachments as attachment_actions
from shard.actions import messages
from shard.actions.attachments import Measured
from shard.rows import Message
from shard.tables import attachments
from shard.tables.attachments import Announced, Attachment
from shard.tables.messages import Draft
from tests.router.serving import Place

NOW_MS = 1_790_000_000_000
LATER_MS = NOW_MS + LOOK_EVERY_MS + SETTLES_AFTER_MS
DATA = b"moss"
ANNOUNCED = Announced("a.txt", len(DATA), "text/plain", hashlib.sha256(DATA).hexdigest())


@dataclass(slots=True)
class Nest:
    """A room with its owner, and the stores around it."""

    stores: Stores
    store: Store
    room_id: RoomId
    channel_id: ChannelId
    owner_id: UserId
    count: int = 0

    @property
    def sweep(self) -> FileCleanup:
        """A sweep that remembers nothing, as after a restart."""
        return FileCleanup(self.stores.directory, self.stores.pool, self.store)

    async def reserve(self) -> None:
        async with self.stores.directory.database.write() as writer:
            await storage.reserve(writer, self.owner_id, self.room_id, len(DATA), user_bytes_max=10**6, now_ms=NOW_MS)

    async def announce(self) -> Attachment:
        await self.reserve()
        self.count += 1
        asked, secret = (self.owner_id, self.channel_id, ANNOUNCED), f"{self.count:032x}"
        return await self.stores.pool.write(
            self.room_id, attachment_actions.announce_upload, *asked, secret=secret, now_ms=NOW_MS
        )

    async def receive(self) -> Attachment:
        upload = await self.announce()
        await self.store.put(upload.object_key, DATA, Content("text/plain", len(DATA), ANNOUNCED.sha256))
        return upload

    async def complete(self) -> Attachment:
        upload = await self.receive()
        asked = (self.owner_id, self.channel_id, upload.id)
        return await self.stores.pool.write(
            self.room_id, attachment_actions.complete_upload, *asked, Measured(), now_ms=NOW_MS
        )

    async def attach(self) -> tuple[Attachment, Message]:
        file = await self.complete()
        draft = Draft("", attachment_ids=(file.id,))
        asked = (self.owner_id, self.channel_id, draft)
        sent = await self.stores.pool.write(self.room_id, messages.send_message, *asked, now_ms=NOW_MS)
        return file, sent.message

    async def delete(self) -> Attachment:
        file, message = await self.attach()
        asked = (self.owner_id, self.channel_id, message.id)
        await self.stores.pool.write(self.room_id, messages.delete_message, *asked, now_ms=NOW_MS)
        return file

    async def remove_bytes(self) -> Attachment:
        file = await self.delete()
        await self.store.delete(file.object_key)
        return file

    async def forget(self) -> None:
        file = await self.remove_bytes()
        await self.stores.pool.write(self.room_id, attachments.forget, [file.id])

    async def cancel_and_receive(self) -> None:
        upload = await self.announce()
        asked = (self.owner_id, self.channel_id, upload.id)
        await self.stores.pool.write(self.room_id, attachment_actions.cancel_upload, *asked, now_ms=NOW_MS)
        await self.sweep.run(now_ms=LATER_MS)
        await self.reserve()
        await self.store.put(upload.object_key, DATA, Content("text/plain", len(DATA), ANNOUNCED.sha256))

    async def failures(self) -> list[Failure]:
        async with self.stores.directory.database.read() as reader:
            return await failures.list_all(reader)

    async def keys(self) -> set[str]:
        return {*await self.store.list("")}

    async def used(self) -> int:
        async with self.stores.directory.database.read() as reader:
            return await storage.used(reader, self.owner_id)

    async def rows(self) -> list[tuple[object, ...]]:
        sql = "SELECT id FROM message_attachments UNION ALL SELECT id FROM freed_files"
        return await self.stores.pool.read(self.room_id, lambda reader: reader.all(sql))


@pytest.fixture
async def nest(tmp_path: Path) -> AsyncIterator[Nest]:
    settings = Place(tmp_path).settings()
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings))
        ownership = await stack.enter_async_context(open_ownership(settings, stores.directory, lambda: NOW_MS))
        store = await stack.enter_async_context(open_files(settings, ownership))
        async with stores.directory.database.write() as writer:
            (owner,) = (await placeholders.create(writer, ["owner"], now_ms=NOW_MS)).values()
        room, channels = await room_creation.found_community(
            stores.directory, stores.pool, name="den", owner_id=owner, now_ms=NOW_MS
        )
        yield Nest(stores, store, room.id, channels[0].id, owner)


CUT_SHORT: list[Callable[[Nest], Awaitable[object]]] = [
    Nest.reserve,
    Nest.announce,
    Nest.receive,
    Nest.complete,
    Nest.delete,
    Nest.remove_bytes,
    Nest.forget,
    Nest.cancel_and_receive,
]


@pytest.mark.parametrize("step", CUT_SHORT, ids=lambda step: step.__name__)
async def test_what_was_cut_short_leaves_nothing(nest: Nest, step: Callable[[Nest], Awaitable[object]]) -> None:
    """Wherever everything ended after a step, a day later neither row, bytes nor quota is left, and the room rests."""
    await step(nest)
    for day in range(1, 3):
        await nest.sweep.run(now_ms=NOW_MS + day * (LOOK_EVERY_MS + SETTLES_AFTER_MS))
    assert (await nest.keys(), await nest.rows(), await nest.used()) == (set(), [], 0)
    async with nest.stores.directory.database.read() as reader:
        assert not await storage.has_files(reader, nest.room_id)


async def test_what_somebody_has_stays(nest: Nest) -> None:
    """A file of a message is kept however often the room is looked through, beside whatever else is removed there."""
    file, _ = await nest.attach()
    for step in CUT_SHORT:
        await step(nest)
    for day in range(1, 5):
        await nest.sweep.run(now_ms=NOW_MS + day * (LOOK_EVERY_MS + SETTLES_AFTER_MS))
    assert (await nest.keys(), await nest.rows(), await nest.used()) == ({file.object_key}, [(file.id,)], len(DATA))
    assert await nest.store.get(file.object_key, size_bytes_max=9) == DATA


async def test_an_upload_is_kept_for_a_day(nest: Nest) -> None:
    """Until its day is over an upload can still be sent, whatever is swept meanwhile."""
    upload = await nest.complete()
    sweep = nest.sweep
    sweep.hint(nest.room_id)
    for now_ms in (NOW_MS, NOW_MS + LOOK_EVERY_MS - 1, NOW_MS + LOOK_EVERY_MS):
        await sweep.run(now_ms=now_ms)
        assert await nest.keys() == {upload.object_key}
    async with nest.stores.directory.database.write() as writer:
        await storage.go_on(writer, nest.room_id, place="", due_at=0)
    await sweep.run(now_ms=NOW_MS + LOOK_EVERY_MS + 1)
    assert await nest.keys() == set()


async def test_what_was_just_deleted_goes_at_once(nest: Nest) -> None:
    """A deletion that was told of is done in the next run, room for other files included, without waiting for a day."""
    await nest.delete()
    kept, _ = await nest.attach()
    sweep = nest.sweep
    await sweep.run(now_ms=NOW_MS)
    assert len(await nest.keys()) == 2
    sweep.hint(nest.room_id)
    sweep.hint(RoomId(1))
    await sweep.run(now_ms=NOW_MS)
    assert (await nest.keys(), await nest.used()) == ({kept.object_key}, len(DATA))


async def test_many_files_go_in_rounds(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much for one run is gone on with in the next, and nothing is forgotten."""
    monkeypatch.setattr(file_cleanup, "ROUNDS_MAX", 1)
    monkeypatch.setattr(attachments.freed, "__kwdefaults__", {"limit": 2})
    for _ in range(5):
        await nest.delete()
    sweep = nest.sweep
    sweep.hint(nest.room_id)
    left = []
    for _ in range(4):
        await sweep.run(now_ms=NOW_MS)
        left.append(len(await nest.keys()))
    assert left == [1, 0, 0, 0]  # the first run comes to the room twice: it was told of, and is then overdue


async def test_many_keys_are_compared_in_pages(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A room with more keys than one run compares is gone through in order, once, and then rests for a day."""
    monkeypatch.setattr(file_cleanup, "KEYS_AT_ONCE", 2)
    kept = {(await nest.attach())[0].object_key for _ in range(3)}
    for number in range(5):
        key = f"rooms/{nest.room_id}/{9_000 + number}-aa"
        await nest.store.put(key, DATA, Content("text/plain", len(DATA), ANNOUNCED.sha256))
    left = []
    for _ in range(6):
        await nest.sweep.run(now_ms=LATER_MS)
        left.append(len(await nest.keys()))
    assert left == sorted(left, reverse=True)
    assert await nest.keys() == kept
    async with nest.stores.directory.database.write() as writer:
        assert await storage.take_due(writer, limit=9, now_ms=LATER_MS + LOOK_EVERY_MS - 1) == []
        assert len(await storage.take_due(writer, limit=9, now_ms=LATER_MS + LOOK_EVERY_MS)) == 1


async def test_a_deleted_room_leaves_no_bytes(nest: Nest) -> None:
    """With its room everything that was stored there goes, and the quota is free again."""
    await nest.attach()
    await nest.receive()
    other = "rooms/1/5-aa"
    await nest.store.put(other, DATA, Content("text/plain", len(DATA), ANNOUNCED.sha256))
    async with nest.stores.directory.database.write() as writer:
        await rooms.delete(writer, nest.room_id, by=None, now_ms=NOW_MS)
    await nest.sweep.run(now_ms=LATER_MS)
    assert (await nest.keys(), await nest.used()) == ({other}, 0)


async def test_what_is_not_a_file_stays(nest: Nest) -> None:
    """Other objects below a room's keys, such as an archive's, are not taken for files without a row."""
    await nest.reserve()
    other = f"rooms/{nest.room_id}/segments/5-aa"
    await nest.store.put(other, DATA, Content("text/plain", len(DATA), ANNOUNCED.sha256))
    await nest.sweep.run(now_ms=LATER_MS)
    assert await nest.keys() == {other}


async def test_an_object_that_cannot_be_removed_is_set_aside(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other files of the room go in the same run; that one keeps its row, is named, and goes after a time."""
    poison, *_others = [await nest.delete() for _ in range(3)]
    delete, tries = type(nest.store).delete, 0

    async def fail(self: Store, key: str) -> None:
        nonlocal tries
        if key == poison.object_key:
            tries += 1
            raise AttributeError("the poisoned one")
        await delete(self, key)

    sweep = nest.sweep
    with monkeypatch.context() as broken:
        broken.setattr(type(nest.store), "delete", fail)
        for _ in range(3):
            sweep.hint(nest.room_id)
            await sweep.run(now_ms=LATER_MS)
    assert (await nest.keys(), await nest.rows(), tries) == ({poison.object_key}, [(poison.id,)], 1)
    assert [(one.item, one.room_id) for one in await nest.failures()] == [(poison.object_key, nest.room_id)]
    sweep.hint(nest.room_id)
    await sweep.run(now_ms=LATER_MS + failures.FIRST_RETRY_MS)
    assert (await nest.keys(), await nest.rows(), await nest.failures()) == (set(), [], [])


async def test_a_room_that_cannot_be_cleaned_up_holds_up_no_other(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error in one room is named; files of another room go in the same run, its own after a time."""
    await nest.delete()
    room, channels = await room_creation.found_community(
        nest.stores.directory, nest.stores.pool, name="other", owner_id=nest.owner_id, now_ms=NOW_MS
    )
    other = replace(nest, room_id=room.id, channel_id=channels[0].id)
    await other.delete()
    sweep, handle = nest.sweep, FileCleanup._handle

    async def fail(self: FileCleanup, room: storage.FileRoom, **options: Any) -> None:
        if room.room_id == nest.room_id:
            raise AttributeError("the poisoned one")
        await handle(self, room, **options)

    with monkeypatch.context() as broken:
        broken.setattr(FileCleanup, "_handle", fail)
        for room_id in (nest.room_id, room.id):
            sweep.hint(room_id)
        await sweep.run(now_ms=LATER_MS)
    assert (await other.rows(), len(await nest.rows())) == ([], 1)
    assert [one.item for one in await nest.failures()] == [str(nest.room_id)]
    await sweep.run(now_ms=LATER_MS + RETRY_MS)
    assert (await nest.rows(), await nest.failures()) == ([], [])


async def test_a_store_that_fails_is_tried_again(nest: Nest, monkeypatch: pytest.MonkeyPatch) -> None:
    """While bytes cannot be removed their key is kept, and a little later everything is done."""
    await nest.delete()

    async def fail(_self: Store, _key: str) -> None:
        raise StoreUnavailableError("away", retry_after_seconds=1)

    with monkeypatch.context() as broken:
        broken.setattr(type(nest.store), "delete", fail)
        await nest.sweep.run(now_ms=LATER_MS)
    assert (len(await nest.keys()), len(await nest.rows()), await nest.used()) == (1, 1, len(DATA))
    await nest.sweep.run(now_ms=LATER_MS + RETRY_MS)
    assert (await nest.keys(), await nest.rows(), await nest.used()) == (set(), [], 0)
