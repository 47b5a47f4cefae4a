"""`rookery room repair`: what can be read of a damaged room, in a new file in its place."""

from typing import Annotated, Any

import typer

from config.settings import Settings
from ids import RoomId
from migrations import engine
from monitor.repair import Repair, Repaired
from rookery import composition, interruption, options
from rookery.commands import hibernation
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.outputs import AsJson, counted, speaking
from rookery.server import monitor
from rookery.store_list import DAMAGED
from shard.errors import BrokenShardError, ShardBusyError


def repair(
    context: typer.Context,
    name: Annotated[str, hibernation.NAME],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be salvaged, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Repair a damaged room: copy every row that can still be read into a new file, with new indexes.

    The damaged file is kept in data/damaged. Texts that are no text any more are shown with U+FFFD; what lies on pages
    that cannot be read is lost, and a backup may still have it: compare before you decide. Clients are told that the
    room was restored and read it again. It works beside a running server, which answers 503 for this room meanwhile,
    and may be killed and run again.

    Example: rookery room repair lean --dry-run
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        with output.progress() as progress:
            bar = progress.add_task(f"salvaging {name}", total=None)
            room_id, done = interruption.run(
                _repair(
                    settings,
                    name,
                    is_dry=dry_run,
                    progress=lambda table: progress.update(bar, description=f"salvaging {name}: {table}"),
                )
            )
        output.give(_render(room_id, done), *_lines(room_id, done))
        if done.problems:
            raise typer.Exit(1)


async def _repair(settings: Settings, name: str, *, is_dry: bool, progress: Any) -> tuple[RoomId, Repaired]:
    async with composition.open_directory(settings) as directory:
        async with directory.database.read() as reader:
            room = await hibernation.find(reader, name)
        repairing = Repair(
            directory,
            composition.shards_folder(settings),
            settings.server.data_dir / DAMAGED,
            engine.load(composition.shard_migrations_folder(settings)),
            monitor.integrity_check(settings, directory),
            now_ms,
        )
        try:
            return room.id, await repairing.run(room.id, is_dry=is_dry, progress=progress)
        except ShardBusyError as error:
            raise CommandError(f"{error} Run the command again.") from error
        except BrokenShardError as error:
            raise CommandError(f"The room stays as it is: {error.reason}.") from error


def _render(room_id: RoomId, done: Repaired) -> dict[str, Any]:
    return {
        "room_id": str(room_id),
        "is_dry_run": done.kept is None,
        "rows": done.report.copied,
        "mended": done.report.mended,
        "orphans": done.report.orphans,
        "is_whole": done.report.is_whole,
        "tables": [
            {
                "table": table.table,
                "rows": table.copied,
                "mended": table.mended,
                "lost": table.lost,
                "is_whole": table.is_whole,
            }
            for table in done.report.tables
        ],
        "kept": None if done.kept is None else str(done.kept),
        "problems": list(done.problems),
    }


def _lines(room_id: RoomId, done: Repaired) -> list[str]:
    report = done.report
    verb = "would be copied" if done.kept is None else "were copied"
    lines = [f"Room {room_id}: {counted(report.copied, 'row')} {verb}, {report.mended} with mended texts."]
    for table in report.tables:
        if not table.is_whole:
            lost = f"at least {table.lost} lost" if table.lost else "some may be lost"
            lines.append(f"✗ {table.table}: {table.copied} rows of it can be read, {lost}.")
    if report.orphans:
        lines.append(f"{counted(report.orphans, 'row')} of lost ones were dropped with them.")
    lines.append(
        "Every row can be read." if report.is_whole else "Compare with a backup: what is lost may still be there."
    )
    if done.kept is not None:
        lines.append(f"The damaged file is kept: {done.kept}")
    lines += [f"✗ it is still in quarantine: {problem}" for problem in done.problems]
    return lines
