"""`rookery migrate`: schemas of the directory and of the shards, in the manner of `wrangler d1 migrations`."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from config.settings import Settings
from database import inspections
from database.database import Schema
from directory.database import Database
from migrations import engine
from migrations.engine import Migration
from monitor import migrator
from monitor.migrator import ShardMigrations
from rookery import composition, interruption, options
from rookery.composition import now_ms
from rookery.errors import CommandError, UsageError
from rookery.outputs import AsJson, Output, counted, speaking
from shard import inspections as shards

app = typer.Typer(no_args_is_help=True, help="Change the databases' schemas: make, list and apply migrations.")

Central = Annotated[bool, typer.Option("--central", help="Only the directory, the central database.")]
Shards = Annotated[bool, typer.Option("--shards", help="Only the shards, the rooms' databases.")]
PROBLEMS_SHOWN_MAX = 20
"""Failed rooms that the command names; it counts the others."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Result of a walk over the shards: their count, how many lack (or got) each version, and the failures."""

    total: int
    behind: int
    versions: Counter[int]
    failed: list[ShardMigrations]


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help='The purpose in a few words, such as "add pins".')],
    central: Central = False,
    for_shards: Shards = False,
    as_json: AsJson = False,
) -> None:
    """Make the next numbered, empty migration file.

    Write SQL into it, then apply it. A file is never changed once any database has applied it.

    Example: rookery migrate create --shards "add pins"
    """
    with speaking(as_json=as_json) as output:
        if central == for_shards:
            raise UsageError("Say which databases the migration is for: --central or --shards.")
        folders = _Folders.of(options.of(context).settings())
        path = engine.create(folders.central if central else folders.shards, name)
        output.give({"path": str(path)}, f"Made {path}. Write its SQL, then: rookery migrate apply")


@app.command(name="list")
def list_(
    context: typer.Context, central: Central = False, for_shards: Shards = False, as_json: AsJson = False
) -> None:
    """List the pending migrations, and change nothing.

    For the shards it shows how many are behind, and which cannot be read (missing, damaged, or of a newer release);
    for the latter the exit code is 1.

    Example: rookery migrate list
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        folders = _Folders.of(settings)
        value: dict[str, Any] = {}
        lines: list[str] = []
        failed: list[ShardMigrations] = []
        if central or not for_shards:
            pending = inspections.pending(composition.directory_path(settings), composition.directory_schema(settings))
            value["directory"] = {"pending": [_title(each) for each in pending]}
            lines += ["directory: up to date"] if not pending else [f"directory: {len(pending)} pending"]
            lines += [f"  {_title(each)}" for each in pending]
        if for_shards or not central:
            files = engine.load(folders.shards)
            fleet = _walk(
                output, "looking", settings, migrator.list_pending(composition.shards_folder(settings), files)
            )
            failed = fleet.failed
            value["shards"] = _render(fleet, files)
            lines += _described(fleet, files, "behind")
        output.give(value, *lines)
        if failed:
            raise typer.Exit(1)


@app.command()
def apply(
    context: typer.Context,
    central: Central = False,
    for_shards: Shards = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be applied, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal it never asks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply the pending migrations to the directory and to every shard.

    A server does the same by itself, to the directory at its start and to a shard when it is opened; use this to do it
    all now, or to find shards that fail. Every migration file is one transaction, and shards are independent: failures
    are listed at the end (exit code 1), the other shards are migrated, and running it again continues.

    Example: rookery migrate apply --shards
    """
    if dry_run:
        list_(context, central, for_shards, as_json)
        return
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        folders = _Folders.of(settings)
        if not (yes or as_json) and sys.stdin.isatty():
            typer.confirm(f"Apply what is pending in {settings.server.data_dir}?", abort=True)
        composition.prepare(settings)
        value: dict[str, Any] = {}
        lines: list[str] = []
        problem = None
        if central or not for_shards:
            try:
                applied = _apply_central(settings, composition.directory_schema(settings))
                value["directory"] = {"applied": [_title(each) for each in applied]}
                lines += [f"directory: {len(applied)} applied" if applied else "directory: up to date"]
                lines += [f"  {_title(each)}" for each in applied]
            except engine.MigrationFailedError as error:
                problem = str(error)
                value["directory"] = {"error": problem}
                lines.append(f"directory: {problem}")
        fleet = None
        if for_shards or not central:
            files = engine.load(folders.shards)
            steps = migrator.migrate(composition.shards_folder(settings), files, now_ms)
            fleet = _walk(output, "applying", settings, steps)
            value["shards"] = _render(fleet, files, "applied")
            lines += _described(fleet, files, "applied")
        output.give(value, *lines)
        if problem or (fleet and fleet.failed):
            raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Folders:
    central: Path
    shards: Path

    @classmethod
    def of(cls, settings: Settings) -> "_Folders":
        folders = cls(
            composition.directory_schema(settings).migrations_folder, composition.shard_migrations_folder(settings)
        )
        for folder in (folders.central, folders.shards):
            if not folder.is_dir():
                raise CommandError(f"{folder} is not a folder; make it, or correct migrations_dir in the settings.")
        return folders


def _apply_central(settings: Settings, schema: Schema) -> Sequence[Migration]:
    path = composition.directory_path(settings)
    pending = inspections.pending(path, schema)

    async def open_and_close() -> None:
        # Opening applies the migrations.
        await (await Database.open(path, schema, now_ms=now_ms())).close()

    if pending:
        interruption.run(open_and_close())
    return pending


def _walk(output: Output, doing: str, settings: Settings, steps: Iterable[ShardMigrations]) -> Fleet:
    total = len(shards.room_ids(composition.shards_folder(settings)))
    behind = done = 0
    versions: Counter[int] = Counter()
    failed: list[ShardMigrations] = []
    with output.progress() as progress:
        bar = progress.add_task(f"{doing} shards", total=total)
        for step in steps:
            done += 1
            behind += bool(step.versions)
            versions.update(step.versions)
            if step.problem is not None:
                failed.append(step)
            progress.advance(bar)
    return Fleet(done, behind, versions, failed)


def _render(fleet: Fleet, files: Sequence[Migration], what: str = "pending") -> dict[str, Any]:
    return {
        "total": fleet.total,
        "behind" if what == "pending" else "migrated": fleet.behind,
        what: {_title(each): fleet.versions[each.version] for each in files if fleet.versions[each.version]},
        "failed": [{"room_id": str(step.room_id), "error": step.problem} for step in fleet.failed],
    }


def _described(fleet: Fleet, files: Sequence[Migration], what: str) -> list[str]:
    unchanged = fleet.total - fleet.behind - len(fleet.failed)
    lines = [
        f"shards: {fleet.total} in all, {unchanged} up to date, {fleet.behind} {what}, "
        f"{len(fleet.failed)} {'unknown' if what == 'behind' else 'failed'}"
    ]
    lines += [
        f"  {_title(each)}: {counted(fleet.versions[each.version], 'shard')}"
        for each in files
        if fleet.versions[each.version]
    ]
    lines += [f"  room {step.room_id}: {step.problem}" for step in fleet.failed[:PROBLEMS_SHOWN_MAX]]
    if len(fleet.failed) > PROBLEMS_SHOWN_MAX:
        lines.append(f"  and {len(fleet.failed) - PROBLEMS_SHOWN_MAX} more (--json lists all)")
    return lines


def _title(migration: Migration) -> str:
    return f"{migration.version:04d}_{migration.name}"
