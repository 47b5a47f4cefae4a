"""`rookery import`: a community's history from JSON lines."""

import asyncio
import logging
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader, FileIO
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress, TaskID, TextColumn

from config.settings import Settings
from database.errors import DatabaseError
from directory.rooms import Room
from rookery import composition, interruption, logs, options, process
from rookery.commands import import_people, import_records, importer
from rookery.commands.import_people import People
from rookery.commands.import_records import Line, Note
from rookery.commands.importer import Report, Summary
from rookery.composition import Stores, now_ms
from rookery.errors import CommandError, UsageError
from rookery.outputs import AsJson, Output, clean, counted, facts, speaking
from shard.errors import ShardError

log = logging.getLogger(__name__)

READ_BYTES = 1_048_576
"""Bytes of a history that are read at once."""


@dataclass(frozen=True, slots=True)
class _Asked:
    room: str
    owner: str | None
    is_public: bool
    skip_bad: bool
    map: Path | None
    are_matched: bool
    report: Path
    file: Path


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, gzipped or not; - reads standard input.")],
    room: Annotated[str, typer.Option(help="The community to load into; it is made if there is none.")],
    owner: Annotated[
        str | None,
        typer.Option(help="Who owns the room that is made; without it an account that nobody can sign in to."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="List the room that is made for everyone to join.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no messages, and report them.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Where lines that are left out, split or cut are listed, as JSON lines; else beside FILE.",
        ),
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="JSON object: names in FILE, and whose accounts they are."),
    ] = None,
    match_usernames: Annotated[
        bool, typer.Option("--match-usernames", help="Take accounts for the people whose names are their usernames.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load a community's history: channels, threads, people and messages with their original times.

    Each line is one message, a JSON object with channel, topic (empty for none), user, timestamp (seconds since 1970,
    with or without a fraction) and content. Channels and threads are made with the time of their first message, people
    as accounts that nobody can sign in to: rookery user claim gives one to its person. Nobody becomes a member by
    having written something.

    --map names accounts that are there already, such as {"Grace H.": "grace"}. Use --match-usernames only if you know
    that the names in the file and the usernames here are the same people's: they may edit and delete those messages.

    Running it again continues where it stopped and doubles nothing. It works beside a running server, at a slower
    pace. Without --skip-bad the first bad line ends it, before the batch of up to 5,000 with that line is stored. Texts
    of more than 8,000 characters become several messages, marked (1/3), (2/3) and so on.

    Example: rookery import history.jsonl.gz --room lean --public
    """
    with speaking(as_json=as_json) as output:
        # The batches leave free memory behind, which would otherwise stay with the process: 100 bytes a message.
        process.return_freed()
        settings = options.of(context).settings()
        logs.configure(settings.server.log_level, settings.server.log_format)
        asked = _Asked(room, owner, public, skip_bad, map_, match_usernames, report or _beside(file), file)
        with _open(file) as raw, _bar(output, file) as (progress, bar):
            interruption.run(_import(output, settings, asked, raw, progress, bar))


async def _import(
    output: Output, settings: Settings, asked: _Asked, raw: "BufferedReader[FileIO]", progress: Progress, bar: TaskID
) -> None:
    async with composition.open_stores(settings, cache_kib=importer.CACHE_KIB) as stores:
        owner_id = await importer.find_owner(stores.directory, asked.owner)
        people = People(await import_people.read_map(stores.directory, asked.map), asked.are_matched)
        began, report = time.perf_counter(), Report(asked.report, asked.file, asked.map)
        summary = Summary(report)

        def beside_server() -> bool:
            return composition.has_server(settings)

        def show(summary: Summary) -> None:
            position = raw.tell() if raw.seekable() else None
            done = summary.messages_new + summary.messages_known
            progress.update(bar, completed=position, messages=f"{done:,} messages")

        lines = _explained(import_records.read(import_records.unpacked(raw), now_ms=now_ms()))
        batches = importer.batches(lines, summary, skip_bad=asked.skip_bad, beside_server=beside_server)
        with closing(report):
            # Read before a room is made: a file with nothing to load leaves nothing behind.
            first = await asyncio.to_thread(next, batches, None)
            if first is None:
                raise CommandError(f"There is no message in the file.{_reported(summary)}")
            room, is_made = await importer.ensure_room(stores, asked.room, owner_id=owner_id, is_public=asked.is_public)
            try:
                await importer.load(
                    stores,
                    room,
                    chain([first], batches),
                    people,
                    summary,
                    skip_bad=asked.skip_bad,
                    beside_server=beside_server,
                    progress=show,
                )
            except BaseException:  # an interrupted one too leaves no empty room behind
                try:
                    await _keep(stores, room, people, summary, settings, asked.file, is_made=is_made)
                except (ShardError, DatabaseError) as error:
                    log.warning("the import could not be ended; run it again", extra={"reason": str(error)})
                raise
            await _keep(stores, room, people, summary, settings, asked.file, is_made=False)
        progress.stop()
        _tell(output, asked, people, summary, time.perf_counter() - began)


async def _keep(
    stores: Stores,
    room: Room,
    people: People,
    summary: Summary,
    settings: Settings,
    file: Path,
    *,
    is_made: bool,
) -> None:
    """Bring the directory up to date with what was loaded, or delete a room that was made for nothing."""
    if is_made and not summary.messages_new:
        await importer.undo(stores, room)
        return
    await importer.settle(stores, room, people, summary, source=file.name)
    await composition.size_walk(settings, stores.directory).measure(room.id)


def _beside(file: Path) -> Path:
    return Path("import.report.jsonl") if str(file) == "-" else file.with_name(f"{file.name}.report.jsonl")


def _reported(summary: Summary) -> str:
    return f" Why its lines were left out is in {summary.report.path}." if summary.counts else ""


@contextmanager
def _open(file: Path) -> Iterator["BufferedReader[FileIO]"]:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise UsageError("Nothing is sent to standard input; name a file, or pipe one in.")
        raw = FileIO(sys.stdin.fileno(), closefd=False)
    else:
        raw = FileIO(file)
    with BufferedReader(raw, READ_BYTES) as opened:
        yield opened


@contextmanager
def _bar(output: Output, file: Path) -> Iterator[tuple[Progress, TaskID]]:
    total = file.stat().st_size if file.is_file() else None
    with output.progress(TextColumn("{task.fields[messages]}")) as progress:
        yield progress, progress.add_task(f"loading {file.name}", total=total, messages="")


def _explained(lines: Iterable[Line | Note]) -> Iterator[Line | Note]:
    """Yield the lines; raises CommandError with the reason when the file cannot be read to its end."""
    try:
        yield from lines
    except (EOFError, zlib.error) as error:
        raise CommandError(
            f"The file is cut off or damaged ({error}). What was read before, in whole batches of up to "
            f"{importer.BATCH} lines, is loaded; get a whole file and run the same command again."
        ) from error


def _tell(output: Output, asked: _Asked, people: People, summary: Summary, seconds: float) -> None:
    done = summary.messages_new + summary.messages_known
    value: dict[str, Any] = {
        "room": asked.room,
        "messages_new": summary.messages_new,
        "messages_known": summary.messages_known,
        "channels_new": summary.channels_new,
        "threads_new": summary.threads_new,
        "users": len(people.known),
        "matched": sorted(people.matched),
        "bad_lines": summary.counts["left out"],
        "split_lines": summary.counts["split"],
        "cut_lines": summary.counts["cut"],
        "report": str(summary.report.path) if summary.counts else None,
        "notes": [{"line": note.number, "kind": note.kind, "reason": note.reason} for note in summary.notes],
        "seconds": round(seconds, 3),
        "messages_per_second": round(done / seconds),
    }
    shown = facts(
        [
            ("messages", f"{summary.messages_new:,} new, {summary.messages_known:,} known before"),
            ("channels", f"{summary.channels_new:,} new"),
            ("threads", f"{summary.threads_new:,} new"),
            ("people", f"{len(people.known):,}"),
            ("time", f"{seconds:.1f} s, {done / seconds:,.0f} messages a second"),
        ]
    )
    output.give(value, f"Loaded into {asked.room}:", shown)
    if people.matched:
        names = ", ".join(map(clean, sorted(people.matched)))
        output.note(f"Warning: {counted(len(people.matched), 'account')} taken for authors by name alone: {names}")
    if summary.counts:
        said = ", ".join(f"{counted(count, 'line')} {kind}" for kind, count in sorted(summary.counts.items()))
        output.note(f"{said}; all of them are in {summary.report.path}:")
        for note in summary.notes:
            output.note(f"  line {note.number}, {note.kind}: {clean(note.reason)}")
        if summary.counts.total() > len(summary.notes):
            output.note(f"  and {summary.counts.total() - len(summary.notes):,} more")
