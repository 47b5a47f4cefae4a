"""`rookery monitor`: sizes of rooms, alerts and measuring rounds; optimizing, checking and releasing one room."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from config import crons
from config.settings import Settings
from directory import alerts, rooms, shards
from directory.alert_texts import sentence
from directory.alerts import Alert
from directory.directory import Directory
from directory.shards import LEVELS, Shard, Summary
from ids import RoomId
from monitor.integrity import Checked
from monitor.maintenance import Maintained
from monitor.optimizer import Optimized, Optimizer
from monitor.rounds import MINUTE_MS, Round
from rookery import composition, interruption, logs, options
from rookery.commands import alert_commands
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.outputs import AsJson, Output, at, clean, counted, size, speaking, table
from rookery.server import monitor
from rookery.server.alert_channels import render

LIST_MAX = 20
"""Open alerts that `monitor status` lists."""
WATCH_SECONDS = 2.0
"""Interval at which `monitor status --watch` reads everything again."""

Room = Annotated[str, typer.Argument(metavar="ROOM", help="A community's name, or any room's id.")]

app = typer.Typer(no_args_is_help=True, help="Measure, optimize and check rooms, and show how full they are.")


@app.command()
def run(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, one for each round.")] = False,
) -> None:
    """Run a round now, and then at the times of the settings' [triggers] crons, until Ctrl+C or SIGTERM.

    `rookery serve` does this by itself. Beside a server the two take turns: nothing is measured or alerted twice.

    Example: rookery monitor run --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        logs.configure(settings.server.log_level, settings.server.log_format)
        if not settings.triggers.crons:
            output.note("The settings name no [triggers] crons: there will be no further round after this one.")
        interruption.run(_run(settings, output))


async def _run(settings: Settings, output: Output) -> None:
    def show(done: Round | None) -> None:
        output.give(_render_round(done), _described(done))

    async with composition.open_directory(settings) as directory:
        with monitor.rounds(settings, directory) as rounds:
            show(await rounds.run_round())
            if settings.triggers.crons:
                await rounds.run(settings.triggers.crons, show)


@app.command()
def once(context: typer.Context, as_json: AsJson = False) -> None:
    """Run one round: measure the rooms that changed, deliver alerts, and check a few rooms for damage.

    It works beside a running server. The exit code is 1 when a room is damaged, or another monitor runs a round.

    Example: rookery monitor once --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        logs.configure(settings.server.log_level, settings.server.log_format)
        done, maintained = interruption.run(_once(settings))
        if done is None:
            raise CommandError("Another monitor is going round at this moment. Try again when it is done.")
        checked = [] if maintained is None else maintained.checked
        shown = [{"room_id": str(one.room_id)} | monitor.render_checked(one) for one in checked]
        broken = [one for one in checked if one.problems]
        lines = [_described(done), *(_sentence(one) for one in broken)]
        output.give(_render_round(done) | {"examined": shown}, *lines)
        if done.tally.problems or broken:
            raise typer.Exit(1)


async def _once(settings: Settings) -> tuple[Round | None, Maintained | None]:
    async with composition.open_directory(settings) as directory:
        with monitor.rounds(settings, directory) as rounds:
            done = await rounds.run_round()
            return done, None if done is None else await rounds.maintain(done.tally)


def _render_round(done: Round | None) -> dict[str, Any]:
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
        "alerts_told": done.delivered,
        "damaged": [{"room_id": str(room_id), "problem": problem} for room_id, problem in tally.problems],
    } | _render_summary(done.summary)


def _render_summary(summary: Summary) -> dict[str, Any]:
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
        f"{counted(tally.alerts, 'new alert')}, {done.delivered} told"
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
    next_round_at: int | None
    """Time of the next round by the settings' crons, in milliseconds UTC; None without any."""


@app.command()
def status(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Show so many of the largest rooms.", min=1, max=shards.PAGE_MAX)] = 20,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl+C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how full the rooms are, the forecast of when they will be full, and the open alerts.

    It shows the results of the last rounds, and measures nothing.

    Example: rookery monitor status --watch
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        if as_json or not watch:
            found = interruption.run(_look(settings, limit))
            output.give(_render_status(found), *_shown(found))
            return
        interruption.run(_watch(settings, limit))


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
            _next_round_at(settings),
        )


def _next_round_at(settings: Settings) -> int | None:
    minute = crons.next_after(settings.triggers.crons, now_ms() // MINUTE_MS)
    return None if minute is None else minute * MINUTE_MS


def _render_status(found: _Status) -> dict[str, Any]:
    return _render_summary(found.summary) | {
        "next_round_at": at(found.next_round_at),
        "rooms": [_render_shard(shard, found.limit_bytes) for shard in found.largest],
        "alerts": [render(alert) for alert in found.alerts],
    }


def _render_shard(shard: Shard, limit_bytes: int) -> dict[str, Any]:
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
        "problem": shard.problem or shard.damage or shard.lost,
        "quarantined_at": at(shard.quarantined_at),
        "checked_at": at(shard.checked_at),
    }


def _shown(found: _Status) -> list[RenderableType]:
    levels = ", ".join(f"{found.summary.by_level.get(level, 0)} {level}" for level in LEVELS)
    rows = [
        (
            shard.room_id,
            shard.name,
            "quarantine" if shard.quarantined_at else shard.level,
            size(shard.used_bytes),
            f"{shard.used_bytes * 100 / (shard.size_limit_bytes or found.limit_bytes):.1f} %",
            f"{shard.message_count:,}",
            _day(shard.full_at),
            at(shard.checked_at) or "not yet",
        )
        for shard in found.largest
    ]
    shown: list[RenderableType] = [
        f"{counted(found.summary.count, 'room')} in {size(found.summary.size_bytes)}: {levels}",
        table("id", "name", "level", "uses", "of limit", "messages", "full on", "measured", rows=rows),
    ]
    if found.next_round_at is not None:
        shown.append(f"Next round: {at(found.next_round_at)}")
    shown += [f"! {at(alert.raised_at)}  {alert.id}  {sentence(alert)}" for alert in found.alerts]
    if found.alerts:
        shown.append("Once seen: rookery monitor acknowledge ID")
    return shown


def _day(time_ms: int | None) -> str:
    return "" if time_ms is None else (at(time_ms) or "")[:10]


@app.command()
def limit(
    context: typer.Context,
    name: Room,
    limit_bytes: Annotated[int, typer.Argument(metavar="BYTES", help="0: the limit of the settings again.", min=0)],
    as_json: AsJson = False,
) -> None:
    """Give a room a size limit of its own; the next round applies it.

    Example: rookery monitor limit lean 20000000000
    """
    with speaking(as_json=as_json) as output:
        if 0 < limit_bytes < shards.LIMIT_BYTES_MIN:
            raise CommandError(f"A limit is at least {shards.LIMIT_BYTES_MIN} bytes; an empty room has some already.")
        shard = interruption.run(_set_limit(options.of(context).existing(), name, limit_bytes or None))
        own = "that of the settings" if shard.size_limit_bytes is None else size(shard.size_limit_bytes)
        told = {"room_id": str(shard.room_id), "size_limit_bytes": shard.size_limit_bytes}
        output.give(told, f"The limit of room {shard.room_id} is {own}.")


async def _set_limit(settings: Settings, name: str, limit_bytes: int | None) -> Shard:
    async with composition.open_directory(settings) as directory:
        room_id = await _find(directory, name)
        async with directory.database.write() as writer:
            await shards.set_limit(writer, room_id, limit_bytes, by=None, now_ms=now_ms())
            return await shards.find(writer, room_id)


app.command()(alert_commands.acknowledge)


@app.command()
def optimize(context: typer.Context, name: Room, as_json: AsJson = False) -> None:
    """Optimize a room: query planner statistics, search index, free space, log.

    It takes small steps, each of which delays the room's writers by some milliseconds at most, and works beside a
    running server. It may be stopped at any time; running it again does the rest.

    Example: rookery monitor optimize lean
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        room_id, done = interruption.run(_optimize(settings, name, output))
        freed = f"{size(done.freed_bytes)} given back"
        took = f"{counted(done.steps, 'step')}, the longest {done.longest_seconds * 1_000:.1f} ms"
        output.give({"room_id": str(room_id)} | monitor.render_optimized(done), f"Room {room_id}: {freed} in {took}.")


async def _optimize(settings: Settings, name: str, output: Output) -> tuple[RoomId, Optimized]:
    async with composition.open_stores(settings) as stores:
        room_id = await _find(stores.directory, name)
        with output.progress() as progress:
            bar = progress.add_task("tidying up", total=None)

            async def show(done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total)

            done = await Optimizer(stores.directory, stores.pool, now_ms).optimize(room_id, show)
        await composition.size_walk(settings, stores.directory).measure(room_id)
        return room_id, done


@app.command()
def check(context: typer.Context, name: Room, as_json: AsJson = False) -> None:
    """Check a room for damage: pages, references, search index. A damaged room is put into quarantine.

    In quarantine the room answers 503 with the reason; all other rooms keep working. A room in quarantine that proves
    to be sound is released. It works beside a running server, and may delay the room's writes by one second at most.
    The exit code is 1 when something is wrong.

    Example: rookery monitor check lean
    """
    with speaking(as_json=as_json) as output:
        checked = interruption.run(_check(options.of(context).existing(), name))
        output.give({"room_id": str(checked.room_id)} | monitor.render_checked(checked), _sentence(checked))
        if checked.problems:
            raise typer.Exit(1)


async def _check(settings: Settings, name: str) -> Checked:
    async with composition.open_directory(settings) as directory:
        return await monitor.integrity_check(settings, directory).check(await _find(directory, name))


@app.command()
def release(
    context: typer.Context,
    name: Room,
    force: Annotated[bool, typer.Option("--force", help="Release it even if it is damaged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Release a room from quarantine, once it is sound.

    Restore the room from a backup first (docs/operations.md). The next round also releases a room whose files were
    replaced by sound ones. The exit code is 1 when the room is still damaged.

    Example: rookery monitor release lean
    """
    with speaking(as_json=as_json) as output:
        room_id, checked = interruption.run(_release(options.of(context).existing(), name, force=force))
        if checked is not None and checked.problems:
            raise CommandError(f"Room {room_id} is still broken: {'; '.join(checked.problems)}. Or use --force.")
        output.give({"room_id": str(room_id), "released": True}, f"Everybody is let into room {room_id} again.")


async def _release(settings: Settings, name: str, *, force: bool) -> tuple[RoomId, Checked | None]:
    async with composition.open_directory(settings) as directory:
        room_id = await _find(directory, name)
        return room_id, await monitor.integrity_check(settings, directory).release(room_id, force=force, by=None)


def _sentence(checked: Checked) -> str:
    if not checked.problems:
        return f"Room {checked.room_id} is sound{f'; {checked.left_out}' if checked.left_out else ''}."
    state = "It is in quarantine now." if checked.is_quarantined else "Too many are in quarantine: it is not closed."
    return f"✗ room {checked.room_id}: {clean('; '.join(checked.problems))}. {state}"


async def _find(directory: Directory, name: str) -> RoomId:
    async with directory.database.read() as reader:
        return (await rooms.find_named(reader, name)).id
