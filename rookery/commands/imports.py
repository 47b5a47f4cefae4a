"""`rookery import`: a community's history from JSON lines."""

import asyncio
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.progress import Progress, TaskID, TextColumn

from config.settings import Settings
from rookery import composition, importer, logs, options, records
from rookery.composition import now_ms
from rookery.errors import CommandError, UsageError
from rookery.importer import Summary
from rookery.outputs import AsJson, Output, clean, counted, facts, speaking
from rookery.records import BadLine, Line

READ_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class _Asked:
    room: str
    owner: str | None
    is_public: bool
    skip_bad: bool


def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, gzipped or not; - reads standard input.")],
    room: Annotated[str, typer.Option(help="The community to load into; it is made if there is none.")],
    owner: Annotated[
        str | None, typer.Option(help="Who owns the room that is made; without it a placeholder called importer.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="List the room that is made for everyone to join.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that are no messages, and count them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Load a community's history: channels, threads, people and messages with their original times.

    Each line is one message, a JSON object with channel, topic (empty for none), user, timestamp (seconds since 1970,
    with or without a fraction) and content. Channels and threads are made with the time of their first message, people
    as users without passwords.

    Running it again continues where it stopped and doubles nothing. It works beside a running server, at a slower
    pace. Without --skip-bad the first bad line ends it, before the batch of up to 5,000 with that line is stored.

    Example: rookery import history.jsonl.gz --room lean --public
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        logs.configure(settings.server.log_level, settings.server.log_format)
        asked = _Asked(room, owner, public, skip_bad)
        with _open(file) as raw, _bar(output, file) as (progress, bar):
            asyncio.run(_import(output, settings, asked, raw, progress, bar))


async def _import(
    output: Output, settings: Settings, asked: _Asked, raw: IO[bytes], progress: Progress, bar: TaskID
) -> None:
    async with composition.open_stores(settings, cache_kib=importer.CACHE_KIB) as stores:
        room = await importer.ensure_room(stores, asked.room, owner=asked.owner, is_public=asked.is_public)
        began, summary = time.perf_counter(), Summary()

        def show(summary: Summary) -> None:
            position = raw.tell() if raw.seekable() else None
            done = summary.messages_new + summary.messages_known
            progress.update(bar, completed=position, messages=f"{done:,} messages")

        async def finish() -> None:
            source = getattr(raw, "name", "-")
            await importer.settle(stores, room, summary, source=Path(str(source)).name)
            await composition.size_walk(settings, stores.directory).measure(room.id)

        lines = _explained(records.read(records.unpacked(raw), now_ms=now_ms()))
        try:
            await importer.load(
                stores,
                room,
                lines,
                summary,
                skip_bad=asked.skip_bad,
                beside_server=lambda: composition.has_server(settings),
                progress=show,
            )
        except CommandError:
            await finish()
            raise
        await finish()
        progress.stop()
        _tell(output, asked, summary, time.perf_counter() - began)


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise UsageError("Nothing is sent to standard input; name a file, or pipe one in.")
        yield sys.stdin.buffer
    else:
        with file.open("rb", buffering=READ_BYTES) as opened:
            yield opened


@contextmanager
def _bar(output: Output, file: Path) -> Iterator[tuple[Progress, TaskID]]:
    total = file.stat().st_size if file.is_file() else None
    with output.progress(TextColumn("{task.fields[messages]}")) as progress:
        yield progress, progress.add_task(f"loading {file.name}", total=total, messages="")


def _explained(lines: Iterable[Line | BadLine]) -> Iterator[Line | BadLine]:
    """Say in words what is wrong with a file that cannot be read to its end."""
    try:
        yield from lines
    except (EOFError, zlib.error) as error:
        raise CommandError(
            f"The file is cut off or damaged ({error}). What was read before, in whole batches of up to "
            f"{importer.BATCH} lines, is loaded; get a whole file and run the same command again."
        ) from error


def _tell(output: Output, asked: _Asked, summary: Summary, seconds: float) -> None:
    done = summary.messages_new + summary.messages_known
    value: dict[str, Any] = {
        "room": asked.room,
        "messages_new": summary.messages_new,
        "messages_known": summary.messages_known,
        "channels_new": summary.channels_new,
        "threads_new": summary.threads_new,
        "users": len(summary.user_ids),
        "bad_lines": summary.bad_count,
        "bad": [{"line": bad.number, "reason": bad.reason} for bad in summary.bad],
        "seconds": round(seconds, 3),
        "messages_per_second": round(done / seconds),
    }
    shown = facts(
        [
            ("messages", f"{summary.messages_new:,} new, {summary.messages_known:,} known before"),
            ("channels", f"{summary.channels_new:,} new"),
            ("threads", f"{summary.threads_new:,} new"),
            ("people", f"{len(summary.user_ids):,}"),
            ("time", f"{seconds:.1f} s, {done / seconds:,.0f} messages a second"),
        ]
    )
    output.give(value, f"Loaded into {asked.room}:", shown)
    if summary.bad_count:
        output.note(f"{counted(summary.bad_count, 'line')} left out:")
        for bad in summary.bad:
            output.note(f"  line {bad.number}: {clean(bad.reason)}")
        if summary.bad_count > len(summary.bad):
            output.note(f"  and {summary.bad_count - len(summary.bad)} more")
