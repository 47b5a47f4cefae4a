"""`rookery monitor`: how large the rooms are, who is told of it, and the rounds that find it out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from config.settings import Settings
from directory import alerts, rooms, shards
from directory.alert_texts import sentence
from directory.alerts import Alert
from directory.directory import Directory
from directory.shards import LEVELS, Shard, Summary
from monitor.rounds import Round
from rookery import composition, logs, monitoring, options
from rookery.alerting import told
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.outputs import AsJson, Output, at, counted, size, speaking, table

LIST_MAX = 20
WATCH_SECONDS = 2.0

app = typer.Typer(no_args_is_help=True, help="Measure rooms, see how full they are, be told of it, and tidy them up.")


@app.command()
def run(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, one for each round.")] = False,
) -> None:
    """Go round now, and then whenever the settings' [triggers] crons say, until Ctrl+C or SIGTERM.

    `rookery serve` does this by itself. Beside one, the two take turns, and nothing is measured or told twice.

    Example: rookery monitor run --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        logs.configure(settings.server.log_level, settings.server.log_format)
        if not settings.triggers.crons:
            output.note("The settings name no [triggers] crons: there will be no further round after this one.")
        asyncio.run(_run(settings, output))


async def _run(settings: Settings, output: Output) -> None:
    def tell(done: Round | None) -> None:
        output.give(_told_round(done), _described(done))

    async with composition.open_directory(settings) as directory:
        with monitoring.rounds(settings, directory) as rounds:
            tell(await rounds.go())
            if settings.triggers.crons:
                await rounds.run(settings.triggers.crons, tell)


@app.command()
def once(context: typer.Context, as_json: AsJson = False) -> None:
    """Go round once: measure the rooms that changed, and tell who is to be told.

    It works beside a running server. The exit code is 1 when a room is damaged, or another monitor is going round.

    Example: rookery monitor once --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        logs.configure(settings.server.log_level, settings.server.log_format)
        done = asyncio.run(_once(settings))
        if done is None:
            raise CommandError("Another monitor is going round at this moment. Try again when it is done.")
        output.give(_told_round(done), _described(done))
        if done.tally.problems:
            raise typer.Exit(1)


async def _once(settings: Settings) -> Round | None:
    async with composition.open_directory(settings) as directory:
        with monitoring.rounds(settings, directory) as rounds:
            return await rounds.go()


def _told_round(done: Round | None) -> dict[str, Any]:
    if done is None:
        return {"skipped": True}
    tally = done.tally
    return {
        "skipped": False,
        "began_at": at(done.began_at),
        "seconds": round(done.seconds, 3),
        "rooms": tally.walked,
        "measured": tally.measured,
        "busy": tally.busy,
        "alerts_raised": tally.alerts,
        "alerts_told": done.told,
        "damaged": [{"room_id": str(room_id), "problem": problem} for room_id, problem in tally.problems],
    } | _told_summary(done.summary)


def _told_summary(summary: Summary) -> dict[str, Any]:
    return {
        "levels": {level: summary.by_level.get(level, 0) for level in LEVELS},
        "size_bytes": summary.size_bytes,
        "message_count": summary.message_count,
        "quarantined": summary.quarantined,
    }


def _described(done: Round | None) -> str:
    if done is None:
        return "Another monitor is going round; this one waits for its next time."
    tally = done.tally
    lines = [
        f"{at(done.began_at)}  {counted(tally.walked, 'room')}, {tally.measured} measured in {done.seconds:.2f} s, "
        f"{counted(tally.alerts, 'new alert')}, {done.told} told"
    ]
    if tally.busy:
        lines.append(f"{counted(tally.busy, 'room')} were locked, and are left for the next round.")
    lines += [f"✗ room {room_id}: {problem}" for room_id, problem in tally.problems]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Status:
    summary: Summary
    largest: list[Shard]
    alerts: list[Alert]
    limit_bytes: int


@app.command()
def status(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Show so many of the largest rooms.", min=1, max=shards.PAGE_MAX)] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it, until Ctrl+C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how full the rooms are, when they will be full, and the alerts that nobody acknowledged.

    It shows what the last rounds found, and measures nothing.

    Example: rookery monitor status --watch
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        if as_json or not watch:
            seen = asyncio.run(_look(settings, limit))
            output.give(_told_status(seen), *_shown(seen))
            return
        asyncio.run(_watch(settings, limit))


async def _watch(settings: Settings, limit: int) -> None:
    async with composition.open_directory(settings) as directory:
        with Live(auto_refresh=False, screen=False) as live:
            while True:
                live.update(Group(*_shown(await _seen(settings, directory, limit))), refresh=True)
                await asyncio.sleep(WATCH_SECONDS)


async def _look(settings: Settings, limit: int) -> _Status:
    async with composition.open_directory(settings) as directory:
        return await _seen(settings, directory, limit)


async def _seen(settings: Settings, directory: Directory, limit: int) -> _Status:
    async with directory.database.read() as reader:
        return _Status(
            await shards.summarize(reader),
            await shards.largest(reader, limit=limit),
            await alerts.list_page(reader, is_open=True, limit=LIST_MAX),
            settings.shards.size_limit_bytes,
        )


def _told_status(seen: _Status) -> dict[str, Any]:
    return _told_summary(seen.summary) | {
        "rooms": [_told_shard(shard, seen.limit_bytes) for shard in seen.largest],
        "alerts": [told(alert) for alert in seen.alerts],
    }


def _told_shard(shard: Shard, limit_bytes: int) -> dict[str, Any]:
    return {
        "room_id": str(shard.room_id),
        "name": shard.name,
        "state": shard.state,
        "level": shard.level,
        "size_bytes": shard.size_bytes,
        "used_bytes": shard.used_bytes,
        "wal_bytes": shard.wal_bytes,
        "limit_bytes": shard.size_limit_bytes or limit_bytes,
        "message_count": shard.message_count,
        "full_at": at(shard.full_at),
        "problem": shard.problem,
        "quarantined_at": at(shard.quarantined_at),
        "checked_at": at(shard.checked_at),
    }


def _shown(seen: _Status) -> list[RenderableType]:
    levels = ", ".join(f"{seen.summary.by_level.get(level, 0)} {level}" for level in LEVELS)
    rows = [
        (
            shard.room_id,
            shard.name,
            "quarantine" if shard.quarantined_at else shard.level,
            size(shard.used_bytes),
            f"{shard.used_bytes * 100 / (shard.size_limit_bytes or seen.limit_bytes):.1f} %",
            f"{shard.message_count:,}",
            _day(shard.full_at),
            at(shard.checked_at) or "not yet",
        )
        for shard in seen.largest
    ]
    shown: list[RenderableType] = [
        f"{counted(seen.summary.count, 'room')} in {size(seen.summary.size_bytes)}: {levels}",
        table("id", "name", "level", "uses", "of limit", "messages", "full on", "measured", rows=rows),
    ]
    shown += [f"! {at(alert.raised_at)}  {alert.id}  {sentence(alert)}" for alert in seen.alerts]
    return shown


def _day(time_ms: int | None) -> str:
    return "" if time_ms is None else (at(time_ms) or "")[:10]


@app.command()
def limit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ROOM", help="A community's name, or any room's id.")],
    limit_bytes: Annotated[int, typer.Argument(metavar="BYTES", help="0: the limit of the settings again.", min=0)],
    as_json: AsJson = False,
) -> None:
    """Give a room a size limit of its own; the next round judges it by that.

    Example: rookery monitor limit lean 20000000000
    """
    with speaking(as_json=as_json) as output:
        if 0 < limit_bytes < shards.LIMIT_BYTES_MIN:
            raise CommandError(f"A limit is at least {shards.LIMIT_BYTES_MIN} bytes; an empty room has some already.")
        shard = asyncio.run(_set_limit(options.of(context).existing(), name, limit_bytes or None))
        own = "that of the settings" if shard.size_limit_bytes is None else size(shard.size_limit_bytes)
        told = {"room_id": str(shard.room_id), "size_limit_bytes": shard.size_limit_bytes}
        output.give(told, f"The limit of room {shard.room_id} is {own}.")


async def _set_limit(settings: Settings, name: str, limit_bytes: int | None) -> Shard:
    async with _room(settings, name) as (directory, shard), directory.database.write() as writer:
        await shards.set_limit(writer, shard.room_id, limit_bytes, by=None, now_ms=now_ms())
        return await shards.find(writer, shard.room_id)


@asynccontextmanager
async def _room(settings: Settings, name: str) -> AsyncIterator[tuple[Directory, Shard]]:
    """Open the directory, and find the shard of a room by its name or id; raises RoomNotFoundError."""
    async with composition.open_directory(settings) as directory:
        async with directory.database.read() as reader:
            shard = await shards.find(reader, (await rooms.find_named(reader, name)).id)
        yield directory, shard
