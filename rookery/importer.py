"""Loads a history into a room, in batches that each arrive whole; running it again continues where it stopped.

Parsing a batch and writing the one before it happen at the same time: SQLite works without the interpreter's lock.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from directory import audit, errors, hibernations, members, rooms, users
from directory.directory import Directory
from directory.rooms import Room
from ids import UserId
from rookery.composition import Stores, now_ms
from rookery.errors import CommandError
from rookery.records import BadLine, Line
from router import founding
from shard import importing
from shard.acts import joining
from shard.errors import OutcomeUnknownError, ShardBusyError
from shard.importing import Loaded, Record

log = logging.getLogger(__name__)

BATCH_FIRST: Final = 500
"""Messages in the first transaction; each has twice as many as the one before, up to BATCH, so that a slow stream and
a mistake in the first lines are noticed soon."""
BATCH: Final = 5_000
"""Messages in one transaction: enough to share its fsync, and to write a page of an index once for many of them."""
CACHE_KIB: Final = 16_000
"""Page cache of the one shard that is loaded: all pages that a batch changes."""
BATCH_BESIDE: Final = 100
"""Messages in one transaction beside a server, whose people wait for their turn meanwhile."""
BAD_TOLD_MAX: Final = 20
TRIES: Final = 5
"""How often a batch is written while another process holds the room for longer than the lock's own timeout."""
FOUNDING_SECONDS: Final = 10
"""Making a room takes milliseconds; one that is half-made for so long was left by a crash."""
OWNER: Final = "importer"


@dataclass(slots=True)
class Summary:
    """What an import has done so far; `bad` has the first lines that were left out, with the reason."""

    messages_new: int = 0
    messages_known: int = 0
    channels_new: int = 0
    threads_new: int = 0
    bad_count: int = 0
    bad: list[BadLine] = field(default_factory=list)
    user_ids: dict[str, UserId] = field(default_factory=dict)

    def add(self, loaded: Loaded) -> None:
        """Count a batch."""
        self.messages_new += loaded.messages_new
        self.messages_known += loaded.messages_known
        self.channels_new += loaded.channels_new
        self.threads_new += loaded.threads_new

    def leave_out(self, bad: BadLine) -> None:
        """Count a line that is not loaded."""
        self.bad_count += 1
        if len(self.bad) < BAD_TOLD_MAX:
            self.bad.append(bad)


async def ensure_room(stores: Stores, name: str, *, owner: str | None, is_public: bool) -> Room:
    """Return the community of this name, made without channels if there is none.

    Raises CommandError when it belongs to somebody else than `owner` or cannot be written to, and what
    `founding.found_community` raises.
    """
    directory = stores.directory
    room = await _finished(stores, name)
    owner_id = None if owner is None else await _find_user(directory, owner)
    if room is None:
        if owner_id is None:
            async with directory.database.write() as writer:
                owner_id = (await users.ensure_placeholders(writer, [OWNER], now_ms=now_ms()))[OWNER]
        room, _ = await founding.found_community(
            directory, stores.pool, name=name, owner_id=owner_id, is_public=is_public, channels=(), now_ms=now_ms()
        )
    if owner_id is not None and room.owner_id != owner_id:
        raise CommandError(f"The room {name} is there and belongs to someone else; leave --owner out to load into it.")
    if room.state == "hibernated":
        raise CommandError(f"The room {name} is hibernated. Wake it first: rookery room wake {name}")
    if room.state != "active":
        raise CommandError(f"The room {name} is {room.state}: nothing can be loaded into it.")
    return room


async def _finished(stores: Stores, name: str) -> Room | None:
    """Return a room that another process is making once it has, and mend one that nobody makes any more."""
    for _ in range(FOUNDING_SECONDS):
        room = await _find_room(stores.directory, name)
        if room is None or room.state != "creating":
            return room
        if room.created_at < now_ms() - FOUNDING_SECONDS * 1_000:
            break
        await asyncio.sleep(1)
    await founding.mend(stores.directory, stores.pool, now_ms=now_ms())
    return await _find_room(stores.directory, name)


async def _find_room(directory: Directory, name: str) -> Room | None:
    async with directory.database.read() as reader:
        with suppress(errors.RoomNotFoundError):
            return await rooms.find_by_name(reader, name)
    return None


async def _find_user(directory: Directory, username: str) -> UserId:
    async with directory.database.read() as reader:
        try:
            return (await users.find_by_username(reader, username)).id
        except errors.UserNotFoundError:
            raise CommandError(f"There is no user {username}. Make one first: rookery user create {username}") from None


async def load(
    stores: Stores,
    room: Room,
    lines: Iterable[Line | BadLine],
    summary: Summary,
    *,
    skip_bad: bool,
    beside_server: Callable[[], bool],
    progress: Callable[[Summary], None],
) -> None:
    """Store every line and keep count in `summary`; raises CommandError at the first bad line, unless `skip_bad`.

    A line that is no message stops the import before its batch; one that the room refuses stops it at that message.
    `beside_server` is asked again and again: then batches are small, and every other moment belongs to the server.
    """
    batches = _batches(lines, summary, skip_bad=skip_bad, beside_server=beside_server)
    writing: asyncio.Task[None] | None = None
    try:
        while batch := await asyncio.to_thread(next, batches, None):
            records = await _with_authors(stores.directory, batch, summary)
            if writing is not None:
                await writing
                progress(summary)
            writing = asyncio.create_task(_write(stores, room, batch, records, summary, skip_bad=skip_bad))
            if beside_server():
                began = time.monotonic()
                await writing
                await asyncio.sleep(time.monotonic() - began)
    finally:
        if writing is not None:
            await writing
            progress(summary)


def _batches(
    lines: Iterable[Line | BadLine], summary: Summary, *, skip_bad: bool, beside_server: Callable[[], bool]
) -> Iterator[list[Line]]:
    batch: list[Line] = []
    alone = BATCH_FIRST
    size = BATCH_BESIDE if beside_server() else alone
    for line in lines:
        if isinstance(line, Line):
            batch.append(line)
            if len(batch) == size:
                yield batch
                batch = []
                alone = min(alone * 2, BATCH)
                size = BATCH_BESIDE if beside_server() else alone
        elif skip_bad:
            summary.leave_out(line)
        else:
            raise _stopped_at(line)
    if batch:
        yield batch


def _stopped_at(bad: BadLine) -> CommandError:
    return CommandError(
        f"Line {bad.number}: {bad.reason}. What is before it, or before its batch of up to {BATCH} lines, is loaded. "
        "Correct the line and run the same command again (nothing is doubled), or leave such lines out with --skip-bad."
    )


async def _with_authors(directory: Directory, batch: Sequence[Line], summary: Summary) -> list[Record]:
    known = summary.user_ids
    missing = {line.user for line in batch if line.user not in known}
    if missing:
        async with directory.database.write() as writer:
            known |= await users.ensure_placeholders(writer, sorted(missing), now_ms=now_ms())
    return [
        Record(line.channel, line.topic, known[line.user], line.sent_at, line.content, line.nonce) for line in batch
    ]


async def _write(
    stores: Stores,
    room: Room,
    batch: Sequence[Line],
    records: Sequence[Record],
    summary: Summary,
    *,
    skip_bad: bool,
) -> None:
    loaded = await _write_patiently(stores, room, records, skip_bad=skip_bad)
    summary.add(loaded)
    for position, reason in loaded.refused:
        bad = BadLine(batch[position].number, reason)
        if not skip_bad:
            raise _stopped_at(bad)
        summary.leave_out(bad)


async def _write_patiently(stores: Stores, room: Room, records: Sequence[Record], *, skip_bad: bool) -> Loaded:
    tries = 1
    while True:
        try:
            return await stores.pool.write(
                room.id, importing.load_batch, records, skip_refused=skip_bad, now_ms=now_ms()
            )
        except (ShardBusyError, OutcomeUnknownError) as error:
            # Nonces make it safe to repeat what may have been stored.
            if tries == TRIES:
                raise
            tries += 1
            log.warning("a batch is written again", extra={"reason": str(error)})
            await asyncio.sleep(error.retry_after_seconds)


async def settle(stores: Stores, room: Room, summary: Summary, *, source: str) -> None:
    """Bring the directory's index of members up to date, and note in the audit log what was loaded from where."""
    user_ids = await stores.pool.read(room.id, joining.present_members)
    async with stores.directory.database.write() as writer:
        await members.add_many(writer, room.id, user_ids, joined_at=now_ms())
        await hibernations.note_used(writer, [room.id], now_ms=now_ms())
        if summary.messages_new:
            await audit.append(
                writer,
                "room.imported",
                by=None,
                resource=("room", room.id),
                metadata={"messages": summary.messages_new, "source": source},
                now_ms=now_ms(),
            )
