"""Checks of the stores for `rookery doctor`: each works beside a running server and changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from config.settings import Settings
from database import inspections
from database.errors import DatabaseError
from directory import installations
from directory.errors import DirectoryError
from directory.installations import Installation
from directory.room_pages import ListedRoom
from migrations import engine
from migrations.engine import MigrationError
from monitor import doctor as fleet_doctor
from monitor import doctor_archive, doctor_remedies
from monitor.doctor import Finding, Inventory
from objects.errors import ObjectError
from rookery import composition, object_storage
from rookery.composition import now_ms
from rookery.outputs import Output, counted


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
    """One run of the doctor; `sample` is the number of shards to check, None for all.

    Each check leaves the rooms of the registry, and those that may have archived messages, to the next.
    """

    settings: Settings
    output: Output
    sample: int | None
    report: Report
    inventory: Inventory | None = None
    installation: Installation | None = None
    archived: list[ListedRoom] = field(default_factory=list)


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
    except (DatabaseError, DirectoryError, MigrationError) as error:
        remedy = doctor_remedies.of_file(path, error, otherwise="Restore the directory from a backup.")
        check = "migrations" if doctor_remedies.is_about_migrations(error) else "directory"
        report.add([Finding(check, f"of the directory: {error}" if check == "migrations" else str(error), remedy)])
        return
    report.add(fleet_doctor.check_inventory(examination.inventory, folder, now_ms=now_ms()))


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
    """Check that object storage has the objects that the archives of these shards name; no missing folder is made."""
    if not examination.archived:
        return
    settings, report = examination.settings, examination.report
    folder = composition.shards_folder(settings)
    files = engine.load(composition.shard_migrations_folder(settings))
    rooms = [room for room in examination.archived if doctor_archive.named(folder, room, files)]
    if not rooms:
        return
    missing = composition.missing_archive(settings)
    if missing is not None:
        problem = f"{missing} is missing, with old messages of {counted(len(rooms), 'room')} of those looked into"
        report.add([Finding("archive", problem, doctor_archive.REMEDY)])
        return
    try:
        with examination.output.progress() as progress:
            bar = progress.add_task("asking for archived history", total=len(rooms))
            store = object_storage.examined(settings, settings.archive, examination.installation)
            try:
                for room in rooms:
                    report.add(await doctor_archive.check_apart(store, folder, room, files))
                    progress.advance(bar)
            finally:
                await store.close()
    except ObjectError as error:
        remedy = "Older messages answer 503 until it is back: look at the disk or the service, and at [[r2_buckets]]."
        report.add([Finding("archive", f"object storage cannot be reached: {error}", remedy)])
