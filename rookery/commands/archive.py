"""`rookery archive`: moving old history into object storage, its status, policies and holds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Annotated, Any

import typer
from rich.progress import Progress

from config.settings import Settings
from directory import room_pages
from directory.room_pages import ListedRoom
from ids import ChannelId, RoomId
from monitor.archive_schedule import ArchiveSchedule, Limits
from monitor.archiver import Outcome
from rookery import composition, interruption, logs, options
from rookery.composition import Stores, now_ms
from rookery.errors import CommandError, UsageError
from rookery.object_storage import open_ownership
from rookery.outputs import AsJson, Output, counted, facts, size, speaking, table
from rookery.server.shard_limits import ShardLimits
from shard.actions import archive
from shard.actions.archive import Standing
from shard.archive import retention
from shard.archive.retention import Policy
from shard.errors import NotFoundError, ShardError
from shard.tables import channels

ROOMS_PAGE = 500
"""Rooms that the command reads from the directory at once."""

app = typer.Typer(no_args_is_help=True, help="Move old messages into object storage. They stay readable.")

Names = Annotated[list[str] | None, typer.Argument(metavar="ROOM", help="Communities by name, or rooms by id.")]
Name = Annotated[str, typer.Argument(metavar="ROOM", help="A community's name, or any room's id.")]
InChannel = Annotated[str | None, typer.Option("--channel", help="Only this channel, by name or id.")]


Visited = tuple[ListedRoom, Outcome]


@dataclass(frozen=True, slots=True)
class _Opened:
    stores: Stores
    schedule: ArchiveSchedule


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[_Opened]:
    async with (
        composition.open_stores(settings) as stores,
        open_ownership(settings, stores.directory, now_ms) as ownership,
        composition.open_archive(settings, ownership, cache_name=composition.COMMAND_ARCHIVE_CACHE) as archive,
    ):
        # A room may be larger than the settings allow, and a full one needs space while messages move.
        await ShardLimits(stores, settings.shards.size_limit_bytes).refresh()
        limits = Limits(settings.shards.size_limit_bytes, settings.history.archive_at_percent)
        archiver = composition.open_archiver(settings, stores, archive)
        yield _Opened(stores, ArchiveSchedule(stores.directory, archiver, limits))


async def _rooms(stores: Stores, names: list[str] | None) -> list[ListedRoom]:
    """Return the named rooms, or all."""
    found: list[ListedRoom] = []
    async with stores.directory.database.read() as reader:
        while page := await room_pages.all_rooms(reader, after=found[-1].id if found else RoomId(0), limit=ROOMS_PAGE):
            found += page
    if not names:
        return found
    by_name = {name: room for room in found for name in (room.name, str(room.id)) if name is not None}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise CommandError(f"There is no room {missing[0]}. See them all with: rookery room list")
    return [by_name[name] for name in names]


@app.command()
def run(
    context: typer.Context,
    names: Names = None,
    all_rooms: Annotated[bool, typer.Option("--all", help="Visit every room.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Move all messages older than 7 days, regardless of the policies.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Apply the retention policies now: archive, delete, rewrite segments and optimize. Running it again continues.

    The newest 1,000 messages of a channel are never moved, and old ones only once there are 2,000 of them. It works
    beside a running server.

    Example: rookery archive run lean
    """
    with speaking(as_json=as_json) as output:
        if bool(names) == all_rooms:
            raise UsageError("Name the rooms to visit, or say --all.")
        settings = options.of(context).existing()
        logs.configure(settings.server.log_level, settings.server.log_format)
        with output.progress() as bar:
            outcomes = interruption.run(_run(settings, names, bar, under_pressure=now))
        _report(output, outcomes)
        if any(outcome.error for _, outcome in outcomes):
            output.note("What is wrong: rookery doctor --all. Running it again goes on.")
            raise typer.Exit(1)


async def _run(settings: Settings, names: list[str] | None, bar: Progress, *, under_pressure: bool) -> list[Visited]:
    outcomes = []
    async with _opened(settings) as opened:
        for room in await _rooms(opened.stores, names):
            task = bar.add_task(room.name or str(room.id), total=room.message_count or None)
            advance = partial(bar.advance, task)
            outcome = await opened.schedule.visit(room, under_pressure=under_pressure, progress=advance)
            outcomes.append((room, outcome))
            bar.remove_task(task)
    return outcomes


def _report(output: Output, outcomes: list[Visited]) -> None:
    columns = ("room", "moved", "segments", "rewritten", "deleted", "stored", "error")
    rows = [
        (
            room.name or room.id, f"{one.messages_moved:,}", one.segments_made, one.segments_rewritten,
            f"{one.messages_deleted:,}", size(one.stored_bytes), one.error,
        )
        for room, one in outcomes
        if one != Outcome(one.room_id)
    ]  # fmt: skip
    idle = "Nothing was to be done. What moves when, and what is held: rookery archive policy ROOM"
    told = [{**asdict(one), "room_id": str(room.id), "name": room.name} for room, one in outcomes]
    output.give(told, table(*columns, rows=rows) if rows else idle)
    moved = sum(one.messages_moved for _, one in outcomes)
    output.note(f"Visited {counted(len(outcomes), 'room')}, moved {counted(moved, 'message')}.")


@app.command()
def status(context: typer.Context, names: Names = None, as_json: AsJson = False) -> None:
    """Show how much of each room's history is in its shard and in the archive, and the pending work.

    Example: rookery archive status --json
    """
    with speaking(as_json=as_json) as output:
        found = interruption.run(_status(options.of(context).existing(), names))
        rows = [
            (
                room.name or room.id, f"{one.live_messages:,}", size(one.live_bytes), f"{one.archived_messages:,}",
                size(one.stored_bytes), one.segments, one.hidden, one.unfinished,
            )
            for room, one in found
            if isinstance(one, Standing)
        ]  # fmt: skip
        columns = ("room", "live", "size", "archived", "stored", "segments", "to rewrite", "unfinished")
        output.give([_render(room, one) for room, one in found], table(*columns, rows=rows))
        broken = [(room, one) for room, one in found if isinstance(one, ShardError)]
        for room, error in broken:
            output.note(f"Left out: {room.name or room.id}. {error}")
        if broken:
            raise typer.Exit(1)


def _render(room: ListedRoom, one: Standing | ShardError) -> dict[str, Any]:
    told = asdict(one) if isinstance(one, Standing) else {"error": str(one)}
    return {"room_id": str(room.id), "name": room.name, **told}


async def _status(settings: Settings, names: list[str] | None) -> list[tuple[ListedRoom, Standing | ShardError]]:
    """Return the standing of each room's history, or the error of a shard that cannot be read."""
    found: list[tuple[ListedRoom, Standing | ShardError]] = []
    async with composition.open_stores(settings) as stores:
        for room in await _rooms(stores, names):
            if room.state in ("creating", "deleted", "hibernated"):
                continue
            try:
                found.append((room, await stores.pool.read(room.id, archive.standing)))
            except ShardError as error:
                if names:
                    raise
                found.append((room, error))
    return found


@app.command()
def policy(
    context: typer.Context,
    name: Name,
    channel: InChannel = None,
    archive_after: Annotated[
        int | None,
        typer.Option("--archive-after", help="Days after which messages move, at least 7; 0 is never.", min=0),
    ] = None,
    delete_after: Annotated[
        int | None, typer.Option("--delete-after", help="Days after which messages are deleted for good.", min=1)
    ] = None,
    as_settings: Annotated[
        bool, typer.Option("--as-settings", help="Follow the settings for all rooms again; a hold stays.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show or change the retention policy of a room, or of one of its channels.

    Without options it shows the policy. Values that are not given stay as they are.

    Example: rookery archive policy lean --channel general --archive-after 90
    """
    changes = {"archive_after_days": archive_after, "delete_after_days": delete_after}
    given = {key: value for key, value in changes.items() if value is not None}

    if given and as_settings:
        with speaking(as_json=as_json):
            raise UsageError("Give days, or --as-settings alone: it takes the room's own days away.")

    def change(now: Policy) -> Policy:
        return replace(now, **(changes if as_settings else given))

    _change(context, name, channel, change if given or as_settings else None, as_json=as_json)


@app.command()
def hold(
    context: typer.Context,
    name: Name,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the hold and in the room's record.")],
    channel: InChannel = None,
    as_json: AsJson = False,
) -> None:
    """Place a hold on a room or channel: nothing in it is archived or deleted by age until it is released.

    Example: rookery archive hold lean --reason "Case 12/2026"
    """
    _change(context, name, channel, lambda now: replace(now, is_held=True, hold_reason=reason[:512]), as_json=as_json)


@app.command()
def release(context: typer.Context, name: Name, channel: InChannel = None, as_json: AsJson = False) -> None:
    """End a hold.

    Example: rookery archive release lean
    """
    _change(context, name, channel, lambda now: replace(now, is_held=False, hold_reason=None), as_json=as_json)


def _change(context: typer.Context, name: str, channel: str | None, change: Any, *, as_json: bool) -> None:
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        own, effective = interruption.run(_changed(settings, name, channel, change))
        shown = facts(
            [
                ("archived after", _days(effective.archive_after_days or None)),
                ("deleted after", _days(effective.delete_after_days)),
                ("held", (effective.hold_reason or "yes") if effective.is_held else "no"),
                ("says so", "its own policy" if own not in (None, Policy()) else _above(channel)),
            ]
        )
        output.give({"own": None if own is None else asdict(own), "effective": asdict(effective)}, shown)


def _above(channel: str | None) -> str:
    return "the settings" if channel is None else "the room's policy, or the settings"


def _days(days: int | None) -> str:
    return "never" if days is None else counted(days, "day")


async def _changed(settings: Settings, name: str, channel: str | None, change: Any) -> tuple[Policy | None, Policy]:
    async with composition.open_stores(settings) as stores:
        (room,) = await _rooms(stores, [name])
        place: ChannelId = retention.ROOM
        if channel is not None:
            try:
                place = await stores.pool.read(room.id, channels.named, channel)
            except NotFoundError:
                raise CommandError(f"Room {name} has no channel {channel}.") from None
        own = await stores.pool.read(room.id, retention.own, place)
        if change is not None:
            own = change(own or Policy())
            await stores.pool.write(room.id, archive.set_policy, place, own, now_ms=now_ms())
        default = composition.archive_policy(settings)
        return own, await stores.pool.read(room.id, retention.of_channel, place, default)
