"""Import of a history into a room, in batches of one transaction each; running it again continues where it stopped.

Parsing a batch and writing the one before it happen at the same time: SQLite works without the interpreter's lock.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import orjson

from directory import audit, errors, hibernations, members, placeholders, rooms, users
from directory.client_info import NO_CLIENT
from directory.directory import Directory
from directory.rooms import Room
from ids import UserId
from rookery.commands.import_people import People
from rookery.commands.import_records import Kind, Line, Note
from rookery.composition import Stores, now_ms
from rookery.errors import CommandError
from router.workflows import room_creation
from shard.actions import imports
from shard.actions import members as member_actions
from shard.actions import rooms as room_actions
from shard.actions.imports import Loaded, Record
from shard.errors import OutcomeUnknownError, ShardBusyError

log = logging.getLogger(__name__)

BATCH_FIRST: Final = 500
"""Messages in the first transaction; each has twice as many as the one before, up to BATCH, so that a slow stream and
a mistake in the first lines are noticed soon."""
BATCH: Final = 5_000
"""Messages in one transaction: enough to share its fsync, and to write a page of an index once for many of them.

Beside a server it is `BATCH_BESIDE`.
"""
CACHE_KIB: Final = 16_000
"""Page cache of the one shard that is loaded: all pages that a batch changes."""
BATCH_BESIDE: Final = 100
"""Messages in one transaction beside a server, whose writes wait meanwhile."""
NOTES_TOLD_MAX: Final = 20
"""Lines that the command names; the report has all of them."""
TRIES: Final = 5
"""Tries of a batch while another process holds the room for longer than the lock's own timeout."""
FOUNDING_SECONDS: Final = 10
"""Making a room takes milliseconds; one that is half-made for so long was left by a crash."""
OWNER_SHOWN: Final = "Import"
"""Display name of the account, which nobody can sign in to, that owns a room made without --owner."""


class Report:
    """The report of an import: a file of JSON lines, made with the first line that is noted.

    Each is an object with the `line`, the `kind` (left out, split, cut) and the `reason`. Raises CommandError for the
    path of a file that is being `read`.
    """

    def __init__(self, path: Path, *read: Path | None) -> None:
        for file in read:
            if file is not None and file.exists() and path.exists() and path.samefile(file):
                raise CommandError(f"The report would overwrite {file}. Name another file with --report.")
        self.path = path
        self._file: IO[bytes] | None = None

    def add(self, note: Note) -> None:
        """Write a note; raises CommandError when the file cannot be written."""
        try:
            if self._file is None:
                self._file = self.path.open("wb")
            said = {"line": note.number, "kind": note.kind, "reason": note.reason}
            self._file.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Write what is left to the disk; raises CommandError when that fails."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> CommandError:
        return CommandError(
            f"The report {self.path} cannot be written ({error.strerror}). Name another file with --report."
        )


@dataclass(slots=True)
class Summary:
    """Counts of an import so far; `notes` has the first lines that were not loaded as they are, the report all."""

    report: Report
    messages_new: int = 0
    messages_known: int = 0
    channels_new: int = 0
    threads_new: int = 0
    counts: Counter[Kind] = field(default_factory=Counter)
    notes: list[Note] = field(default_factory=list)

    def add(self, loaded: Loaded) -> None:
        """Count a batch."""
        self.messages_new += loaded.messages_new
        self.messages_known += loaded.messages_known
        self.channels_new += loaded.channels_new
        self.threads_new += loaded.threads_new

    def note(self, note: Note) -> None:
        """Count a line that is not loaded as it is, and report it."""
        self.report.add(note)
        self.counts[note.kind] += 1
        if len(self.notes) < NOTES_TOLD_MAX:
            self.notes.append(note)


async def find_owner(directory: Directory, username: str | None) -> UserId | None:
    """Return the account that a room is made for, None for nobody's; raises CommandError when it is not there."""
    if username is None:
        return None
    async with directory.database.read() as reader:
        try:
            return (await users.find_named(reader, username)).id
        except errors.UserNotFoundError:
            raise CommandError(f"There is no user {username}. Make one first: rookery user create {username}") from None


async def ensure_room(stores: Stores, name: str, *, owner_id: UserId | None, is_public: bool) -> tuple[Room, bool]:
    """Return the community of this name, made without channels if there is none, and whether it was made.

    Without `owner_id` it belongs to a new account that nobody can sign in to, from which a later import with an owner
    takes it over. Raises CommandError when it belongs to somebody else or cannot be written to, and what
    `room_creation.found_community` raises.
    """
    directory = stores.directory
    room = await _finished(stores, name)
    if room is None:
        return await _found(stores, name, owner_id, is_public=is_public), True
    if room.state == "hibernated":
        raise CommandError(f"The room {name} is hibernated. Wake it first: rookery room wake {name}")
    if room.state != "active":
        raise CommandError(f"The room {name} is {room.state}: nothing can be loaded into it.")
    if owner_id is None or room.owner_id == owner_id:
        return room, False
    assert room.owner_id is not None, "a community has an owner"
    async with directory.database.read() as reader:
        is_free = await placeholders.is_ownerless(reader, room.owner_id)
    if not is_free:
        raise CommandError(f"The room {name} is there and belongs to someone else; leave --owner out to load into it.")
    return await _take_over(stores, room, room.owner_id, owner_id), False


async def _found(stores: Stores, name: str, owner_id: UserId | None, *, is_public: bool) -> Room:
    directory, pool = stores.directory, stores.pool
    if owner_id is None:
        rooms.require_name(name)
        async with directory.database.write() as writer:
            owner_id = (await placeholders.create(writer, [OWNER_SHOWN], now_ms=now_ms()))[OWNER_SHOWN]
    room, _ = await room_creation.found_community(
        directory, pool, name=name, owner_id=owner_id, is_public=is_public, channels=(), now_ms=now_ms()
    )
    return room


async def _take_over(stores: Stores, room: Room, nobody: UserId, owner_id: UserId) -> Room:
    """Give a room that nobody can sign in to the owner of to somebody; each step may be repeated after a crash."""
    directory, pool = stores.directory, stores.pool
    await pool.write(room.id, member_actions.join, owner_id, now_ms=now_ms())
    if await pool.read(room.id, room_actions.owner) == nobody:
        await pool.write(room.id, room_actions.hand_over, nobody, owner_id, reason=None, now_ms=now_ms())
    async with directory.database.write() as writer:
        await members.add(writer, room.id, owner_id, joined_at=now_ms())
        return await rooms.update(writer, room.id, {"owner_id": owner_id}, now_ms=now_ms())


async def _finished(stores: Stores, name: str) -> Room | None:
    """Return a room once another process has created it; repair one whose creation a crash cut short."""
    for _ in range(FOUNDING_SECONDS):
        room = await _find_room(stores.directory, name)
        if room is None or room.state != "creating":
            return room
        if room.created_at < now_ms() - FOUNDING_SECONDS * 1_000:
            break
        await asyncio.sleep(1)
    await room_creation.mend(stores.directory, stores.pool, now_ms=now_ms())
    return await _find_room(stores.directory, name)


async def _find_room(directory: Directory, name: str) -> Room | None:
    async with directory.database.read() as reader:
        with suppress(errors.RoomNotFoundError):
            return await rooms.find_by_name(reader, name)
    return None


def batches(
    lines: Iterable[Line | Note], summary: Summary, *, skip_bad: bool, beside_server: Callable[[], bool]
) -> Iterator[list[Line]]:
    """Yield messages in batches, and count what is noted in `summary`.

    Raises CommandError at the first bad line, unless `skip_bad`. `beside_server` is called repeatedly: beside a server
    batches are small.
    """
    batch: list[Line] = []
    alone = BATCH_FIRST
    size = BATCH_BESIDE if beside_server() else alone
    for line in lines:
        if isinstance(line, Line):
            batch.append(line)
            if len(batch) >= size:
                yield batch
                batch = []
                alone = min(alone * 2, BATCH)
                size = BATCH_BESIDE if beside_server() else alone
        elif skip_bad or line.is_loaded:
            summary.note(line)
        else:
            raise _stopped_at(line)
    if batch:
        yield batch


async def load(
    stores: Stores,
    room: Room,
    batches: Iterator[list[Line]],
    people: People,
    summary: Summary,
    *,
    skip_bad: bool,
    beside_server: Callable[[], bool],
    progress: Callable[[Summary], None],
) -> None:
    """Store every batch and keep count in `summary`; raises CommandError at the first message that the room refuses,
    unless `skip_bad`, and what reading the batches raises.

    `beside_server` is called repeatedly: beside a server half of the time is left to it.
    """
    writing: asyncio.Task[None] | None = None
    try:
        while batch := await asyncio.to_thread(next, batches, None):
            authors = await people.find(stores.directory, room.id, {line.user for line in batch})
            records = [
                Record(line.channel, line.topic, authors[line.user], line.sent_at, line.content, line.nonce)
                for line in batch
            ]
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


async def undo(stores: Stores, room: Room) -> None:
    """Delete a room that was made for an import of which nothing was stored."""
    owner_id = await stores.pool.read(room.id, room_actions.owner)
    assert owner_id is not None, "a community has an owner"
    await stores.pool.write(room.id, room_actions.close, owner_id, reason=None, now_ms=now_ms())
    async with stores.directory.database.write() as writer:
        await rooms.delete(writer, room.id, by=None, client=NO_CLIENT, now_ms=now_ms())


def _stopped_at(bad: Note) -> CommandError:
    return CommandError(
        f"Line {bad.number}: {bad.reason}. What is before it, or before its batch of up to {BATCH} lines, is loaded. "
        "Correct the line and run the same command again (nothing is doubled), or leave such lines out with --skip-bad."
    )


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
        bad = Note(batch[position].number, reason)
        if not skip_bad:
            raise _stopped_at(bad)
        summary.note(bad)


async def _write_patiently(stores: Stores, room: Room, records: Sequence[Record], *, skip_bad: bool) -> Loaded:
    tries = 1
    while True:
        try:
            return await stores.pool.write(room.id, imports.load_batch, records, skip_refused=skip_bad, now_ms=now_ms())
        except (ShardBusyError, OutcomeUnknownError) as error:
            # Nonces make it safe to repeat what may have been stored.
            if tries == TRIES:
                raise
            tries += 1
            log.warning("a batch is written again", extra={"reason": str(error)})
            await asyncio.sleep(error.retry_after_seconds)


async def settle(stores: Stores, room: Room, people: People, summary: Summary, *, source: str) -> None:
    """Bring the directory's index of members up to date, and note in the audit log what was loaded from where."""
    user_ids = await stores.pool.read(room.id, member_actions.present_members)
    named = {**people.named, **people.matched}
    accounts = sorted({str(user_id) for name, user_id in named.items() if name in people.known})
    async with stores.directory.database.write() as writer:
        await members.add_many(writer, room.id, user_ids, joined_at=now_ms())
        await hibernations.note_used(writer, [room.id], now_ms=now_ms())
        if summary.messages_new:
            await audit.append(
                writer,
                audit.Action.ROOM_IMPORTED,
                by=None,
                resource=("room", room.id),
                metadata={"messages": summary.messages_new, "source": source, "accounts": accounts},
                now_ms=now_ms(),
            )
