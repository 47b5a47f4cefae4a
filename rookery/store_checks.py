"""Checks of the stores for `rookery doctor`: each works beside a running server and changes nothing."""

import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.settings import Settings
from database import inspections
from database.errors import DatabaseError
from directory import hibernations, installations
from directory.database import Reader
from directory.errors import DirectoryError
from directory.installations import Installation
from directory.room_pages import ListedRoom
from migrations import engine
from migrations.engine import MigrationError
from monitor import doctor as fleet_doctor
from monitor import doctor_archive, doctor_remedies, object_check
from monitor.doctor import Finding, Inventory
from objects.errors import ObjectError
from objects.store import Store
from rookery import composition, object_storage
from rookery.composition import now_ms
from rookery.outputs import Output, counted
from shard.inspections import Stored


@dataclass(slots=True)
class Report:
    """Counts of the checks, and the findings; `left_out` names the parts that could not be checked now."""

    findings: list[Finding] = field(default_factory=list)
    rooms: int = 0
    checked: int = 0
    behind: int = 0
    left_out: list[str] = field(default_factory=list)
    newest: list[tuple[str, int]] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings."""
        self.findings.extend(findings)


@dataclass(slots=True)
class Examination:
    """One run of the doctor; `sample` is the number of shards to check, None for all. Deep, all objects of these are
    read.

    Each check leaves the rooms of the registry, and those that may have archived messages, to the next.
    """

    settings: Settings
    output: Output
    sample: int | None
    report: Report
    inventory: Inventory | None = None
    installation: Installation | None = None
    is_deep: bool = False
    archived: list[ListedRoom] = field(default_factory=list)
    looked_into: list[ListedRoom] = field(default_factory=list)
    asleep: dict[ListedRoom, Stored] = field(default_factory=dict)


async def check_directory(examination: Examination) -> None:
    """Check the directory, and its registry against the files of the shards."""
    settings, report = examination.settings, examination.report
    path, schema = composition.directory_path(settings), composition.directory_schema(settings)
    folder = composition.shards_folder(settings)
    try:
        pending = inspections.pending(path, schema)
        async with inspections.opened(path, schema) as reader:
            report.add(await fleet_doctor.check_size(reader, settings.directory.size_limit_bytes))
            if pending:
                report.add([*await fleet_doctor.check_pages(reader), _behind(len(pending))])
                return
            report.add(await fleet_doctor.check_directory(reader))
            report.add(await fleet_doctor.check_failures(reader))
            report.newest.append(("the newest audit entry", await fleet_doctor.newest_audit(reader)))
            examination.installation = await installations.find(reader)
            examination.inventory = await fleet_doctor.take_inventory(reader, folder)
            examination.asleep = await _asleep(reader, examination.inventory, examination.sample)
    except (DatabaseError, DirectoryError, MigrationError) as error:
        remedy = doctor_remedies.of_file(path, error, otherwise="Restore the directory from a backup.")
        check = "migrations" if doctor_remedies.is_about_migrations(error) else "directory"
        report.add([Finding(check, f"of the directory: {error}" if check == "migrations" else str(error), remedy)])
        return
    report.add(fleet_doctor.check_inventory(examination.inventory, folder, now_ms=now_ms()))


async def _asleep(reader: Reader, inventory: Inventory, count: int | None) -> dict[ListedRoom, Stored]:
    """Return the hibernated rooms with their objects, `count` of them at random or all."""
    found: dict[ListedRoom, Stored] = {}
    after = 0
    while page := await hibernations.asleep(reader, after=after):
        after = page[-1].room_id
        rooms = ((inventory.rooms.get(one.room_id), one) for one in page)
        found |= {room: object_check.of_hibernation(one) for room, one in rooms if room is not None}
    chosen = list(found) if count is None or count >= len(found) else random.sample(list(found), count)
    return {room: found[room] for room in chosen}


def _behind(count: int) -> Finding:
    problem = f"it is {counted(count, 'migration')} behind this release, so rooms cannot be checked"
    remedy = "Start the server, which migrates it, or run: rookery migrate apply --central. Then look again."
    return Finding("directory", problem, remedy)


async def check_shards(examination: Examination) -> None:
    """Check a sample of the shards in the registry; none when the directory could not be read."""
    settings, report, inventory = examination.settings, examination.report, examination.inventory
    if inventory is None:
        return
    folder = composition.shards_folder(settings)
    try:
        files = engine.load(composition.shard_migrations_folder(settings))
    except MigrationError as error:
        report.add([Finding("migrations", f"of shards: {error}", doctor_remedies.MIGRATIONS)])
        return
    rooms = fleet_doctor.sample(inventory, examination.sample)
    report.rooms = len(inventory.expected())
    with examination.output.progress() as progress:
        bar = progress.add_task("looking into shards", total=len(rooms))
        async for room, shard in fleet_doctor.check_shards(folder, rooms, files):
            report.checked += 1
            examination.looked_into.append(room)
            if shard.has_archive is not False:
                examination.archived.append(room)
            report.behind += shard.is_behind
            # What concerns all shards alike is one finding.
            report.add(finding for finding in shard.findings if finding.room_id or finding not in report.findings)
            report.newest.append((f"the newest event of {fleet_doctor.label(room)}", shard.written_at))
            if shard.left_out:
                report.left_out.append(shard.left_out)
            progress.advance(bar)


async def check_archive(examination: Examination) -> None:
    """Check that object storage has the segments that the archives of these shards name, and the hibernated rooms; no
    missing folder is made."""
    settings, report = examination.settings, examination.report
    folder = composition.shards_folder(settings)
    files = engine.load(composition.shard_migrations_folder(settings)) if examination.archived else ()
    rooms = [room for room in examination.archived if doctor_archive.named(folder, room, files)]
    if not rooms and not examination.asleep:
        return
    missing = composition.missing_archive(settings)
    if missing is not None:
        report.add([_without_folder(missing, len(rooms), len(examination.asleep))])
        return
    with _reaching("Older messages and hibernated rooms answer 503 until it is back", report):
        store = object_storage.examined(settings, settings.archive, examination.installation)
        async with _closing(store), _bar(examination, "asking for archived history", len(rooms)) as advance:
            for room in rooms:
                report.add(await doctor_archive.check_apart(store, folder, room, files, is_deep=examination.is_deep))
                advance()
        store = object_storage.examined(settings, settings.archive, examination.installation)
        async with (
            _closing(store),
            _bar(examination, "asking for hibernated rooms", len(examination.asleep)) as advance,
        ):
            asleep = doctor_archive.check_asleep(store, examination.asleep, is_deep=examination.is_deep)
            async for room, finding in asleep:
                if finding is not None and await _is_asleep(examination, room):
                    report.add([finding])
                advance()


async def check_files(examination: Examination) -> None:
    """Check that object storage has the files of messages of these shards; no missing folder is made."""
    settings, report = examination.settings, examination.report
    if not examination.looked_into:
        return
    folder = composition.shards_folder(settings)
    files = engine.load(composition.shard_migrations_folder(settings))
    rooms = [room for room in examination.looked_into if doctor_archive.files_of(folder, room, files)]
    missing = settings.server.data_dir / settings.files.bucket_name
    if rooms and settings.files.endpoint is None and not missing.is_dir():
        problem = f"{missing} is missing, with files of {counted(len(rooms), 'room')} of those looked into"
        report.add([Finding("files", problem, doctor_archive.FILES)])
        return
    if not rooms:
        return
    with _reaching("Files cannot be downloaded until it is back", report):
        store = object_storage.examined(settings, settings.files, examination.installation)
        async with _closing(store), _bar(examination, "asking for files", len(rooms)) as advance:
            for room in rooms:
                report.add(await doctor_archive.check_files(store, folder, room, files, is_deep=examination.is_deep))
                advance()


async def _is_asleep(examination: Examination, room: ListedRoom) -> bool:
    """Tell whether a room is still hibernated: its object may be removed when it is not."""
    settings = examination.settings
    path, schema = composition.directory_path(settings), composition.directory_schema(settings)
    async with inspections.opened(path, schema) as reader:
        found = await hibernations.find_asleep(reader, room.id)
    return found is not None and found.object_key == examination.asleep[room].key


def _without_folder(missing: Path, archived: int, asleep: int) -> Finding:
    parts = [f"old messages of {counted(archived, 'room')} of those looked into"] if archived else []
    parts += [f"{counted(asleep, 'hibernated room')}"] if asleep else []
    return Finding("archive", f"{missing} is missing, with {' and '.join(parts)}", doctor_archive.REMEDY)


@contextmanager
def _reaching(consequence: str, report: Report) -> Iterator[None]:
    """Report object storage that does not answer as one finding."""
    try:
        yield
    except ObjectError as error:
        remedy = f"{consequence}: look at the disk or the service, and at [[r2_buckets]]."
        report.add([Finding("archive", f"object storage cannot be reached: {error}", remedy)])


@asynccontextmanager
async def _closing(store: Store) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await store.close()


@asynccontextmanager
async def _bar(examination: Examination, text: str, total: int) -> AsyncIterator[Callable[[], None]]:
    """Show a progress bar, which each call of what is yielded moves by one."""
    with examination.output.progress() as progress:
        bar = progress.add_task(text, total=total)
        yield lambda: progress.advance(bar)
