"""`rookery doctor`: is everything as it should be?"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.progress import Progress

from config.settings import Settings
from directory import inspections
from directory.errors import DirectoryError
from directory.room_pages import ListedRoom
from migrations import engine
from migrations.engine import MigrationError
from monitor import archive_checks, checkups
from monitor.checkups import Finding, Stock
from objects.errors import ObjectError
from rookery import composition, machine, options
from rookery.composition import now_ms
from rookery.outputs import AsJson, Output, clean, counted, speaking

SAMPLE = 20


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found; `left_out` is what could not be looked at now."""

    findings: list[Finding] = field(default_factory=list)
    rooms: int = 0
    visited: int = 0
    behind: int = 0
    left_out: list[str] = field(default_factory=list)
    newest: list[tuple[str, int]] = field(default_factory=list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Keep findings."""
        self.findings.extend(findings)


def doctor(
    context: typer.Context,
    sample: Annotated[int, typer.Option(help="Look into so many shards, picked at random.", min=0)] = SAMPLE,
    every: Annotated[bool, typer.Option("--all", help="Look into every shard.")] = False,
    as_json: AsJson = False,
) -> None:
    """Examine the installation, and say what is wrong and what to do about it.

    It looks at versions, permissions, disk space, the directory (pages, references, the chain of the audit log), the
    registry against the files of the shards, a sample of the shards (right room, pages, references, search index, and
    whether object storage has what their archives name), and the clock.

    It changes nothing and works beside a running server. The exit code is 1 when something is wrong.

    Example: rookery doctor --all --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        report = Report()
        report.add(machine.check_versions())
        data = settings.server.data_dir
        if not composition.directory_path(settings).exists():
            remedy = "Start a server there first (rookery serve), or name the right folder with --data."
            report.add([Finding("data", f"there is no data in {data}", remedy)])
        else:
            report.add(machine.check_permissions(data, composition.shards_folder(settings)))
            report.add(machine.check_disk(data))
            stock = asyncio.run(_look_at_directory(settings, report))
            if stock is not None:
                _look_at_shards(output, settings, stock, report, None if every else sample)
        report.add(checkups.check_clock(report.newest, now_ms=now_ms()))
        _tell(output, settings, report)
        if report.findings:
            raise typer.Exit(1)


async def _look_at_directory(settings: Settings, report: Report) -> Stock | None:
    path = composition.directory_path(settings)
    folder = composition.shards_folder(settings)
    try:
        files = engine.load(composition.directory_migrations_folder(settings))
        inspections.pending(path, files)
        async with inspections.opened(path) as reader:
            report.add(await checkups.check_directory(reader))
            report.newest.append(("the newest audit entry", await checkups.newest_audit(reader)))
            stock = await checkups.take_stock(reader, folder)
    except (DirectoryError, MigrationError) as error:
        remedy = "Restore the directory from a backup, or start the release that wrote it."
        report.add([Finding("directory", str(error), remedy)])
        return None
    report.add(checkups.check_stock(stock, folder, now_ms=now_ms()))
    return stock


def _look_at_shards(output: Output, settings: Settings, stock: Stock, report: Report, count: int | None) -> None:
    folder = composition.shards_folder(settings)
    files = engine.load(composition.shard_migrations_folder(settings))
    chosen = checkups.sample(stock, count)
    report.rooms = len(stock.expected())
    with output.progress() as progress:
        bar = progress.add_task("looking into shards", total=len(chosen))
        for room in chosen:
            seen = checkups.visit(folder, room, files)
            report.visited += 1
            report.behind += seen.is_behind
            report.add(seen.findings)
            report.newest.append((f"the newest event of {checkups.label(room)}", seen.written_at))
            if seen.left_out:
                report.left_out.append(seen.left_out)
            progress.advance(bar)
        archived = [room for room in chosen if archive_checks.named(folder, room, files)]
        if archived:
            asyncio.run(_look_at_archives(progress, settings, archived, report))


async def _look_at_archives(
    progress: Progress, settings: Settings, rooms: Sequence[ListedRoom], report: Report
) -> None:
    """Ask object storage for what the archives of rooms name; a folder that is not there is not made."""
    missing = composition.missing_archive(settings)
    if missing is not None:
        problem = f"{missing} is missing, with old messages of {counted(len(rooms), 'room')} of those looked into"
        report.add([Finding("archive", problem, archive_checks.REMEDY)])
        return
    folder = composition.shards_folder(settings)
    files = engine.load(composition.shard_migrations_folder(settings))
    bar = progress.add_task("asking for archived history", total=len(rooms))
    try:
        async with composition.open_archive_store(settings) as store:
            for room in rooms:
                report.add(await archive_checks.check(store, folder, room, files))
                progress.advance(bar)
    except ObjectError as error:
        remedy = "Older messages answer 503 until it is back: look at the disk or the service, and at [[r2_buckets]]."
        report.add([Finding("archive", f"object storage cannot be reached: {error}", remedy)])


def _tell(output: Output, settings: Settings, report: Report) -> None:
    value: dict[str, Any] = {
        "ok": not report.findings,
        "data": str(settings.server.data_dir),
        "rooms": report.rooms,
        "shards_examined": report.visited,
        "shards_behind": report.behind,
        "left_out": report.left_out,
        "findings": [
            {
                "check": finding.check,
                "problem": finding.problem,
                "remedy": finding.remedy,
                "room": finding.room,
                "room_id": None if finding.room_id is None else str(finding.room_id),
            }
            for finding in report.findings
        ],
    }
    lines = [f"Looked at {settings.server.data_dir}: {counted(report.rooms, 'room')}, into {report.visited} of them."]
    if report.behind:
        lines.append(f"{counted(report.behind, 'shard')} will be migrated when opened (or by: rookery migrate apply).")
    lines += [f"Left out: {each}" for each in report.left_out]
    for finding in report.findings:
        room = f"room {finding.room}: " if finding.room else ""
        lines += [f"✗ {finding.check}: {clean(room + finding.problem)}", f"  {finding.remedy}"]
    lines.append(
        f"{counted(len(report.findings), 'finding')}." if report.findings else "Everything is as it should be."
    )
    output.give(value, *lines)
