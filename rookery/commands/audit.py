"""`rookery audit`: what was done, by whom, and whether the logs still say what was written."""

import asyncio
from typing import Annotated, Any

import orjson
import typer

from config.settings import Settings
from directory import audit, inspections, rooms, users
from directory.audit import Entry, Filter
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId, UserId
from migrations import engine
from monitor import checkups, records
from monitor.records import Record
from rookery import composition, options
from rookery.errors import CommandError
from rookery.outputs import AsJson, Output, at, counted, speaking, table
from shard import inspections as shards
from shard.audit import Entry as RoomEntry
from shard.audit import Filter as RoomFilter

LIST_MAX = 100

app = typer.Typer(no_args_is_help=True, help="Read and verify the audit logs: the site's and every room's.")

Room = Annotated[
    str | None, typer.Option("--room", metavar="NAME", help="A community's name, or any room's id: only this room.")
]


@app.command()
def verify(context: typer.Context, room: Room = None, as_json: AsJson = False) -> None:
    """Follow the chains of the audit logs, and name the first entry of each that is not what was written there.

    Each entry's hash covers the one before it, so that a changed, removed or added one shows. Newest entries that were
    cut off do not: keep the number of entries and the newest hash (--json has both) somewhere else.

    It changes nothing and works beside a running server. The exit code is 1 when something is wrong.

    Example: rookery audit verify --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        found, chosen, asleep = asyncio.run(_look_at_directory(settings, room))
        folder = composition.shards_folder(settings)
        migrations = engine.load(composition.shard_migrations_folder(settings))
        with output.progress() as progress:
            bar = progress.add_task("following the rooms' logs", total=len(chosen))
            for record in records.of_rooms(folder, chosen, migrations):
                found.append(record)
                progress.advance(bar)
        _tell(output, found)
        if asleep:
            output.note(
                f"Left out: the logs of {counted(asleep, 'hibernated room')}. rookery room wake brings one back."
            )
        if not all(record.is_sound for record in found):
            raise typer.Exit(1)


async def _look_at_directory(settings: Settings, room: str | None) -> tuple[list[Record], list[ListedRoom], int]:
    """Return the directory's own log, if all are wanted, the rooms whose logs are, and how many are out of reach."""
    async with inspections.opened(composition.directory_path(settings)) as reader:
        stock = await checkups.take_stock(reader, composition.shards_folder(settings))
        if room is not None:
            return [], [stock.rooms[await _find(reader, room)]], 0
        # A room that was deleted keeps its record for as long as it keeps its file.
        wanted = {room.id for room in stock.expected()} | stock.files
        here = [each for each in stock.rooms.values() if each.id in wanted and each.state != "hibernated"]
        return [await records.of_directory(reader)], here, len(stock.hibernated())


async def _find(reader: Reader, name: str) -> RoomId:
    room = await rooms.find_named(reader, name)
    if room.state == "hibernated":
        raise CommandError(f"The room {name} is hibernated, its log with it. Wake it first: rookery room wake {name}")
    return room.id


def _tell(output: Output, found: list[Record]) -> None:
    wrong = [record for record in found if not record.is_sound]
    value = {
        "ok": not wrong,
        "logs": [
            {
                "name": record.name,
                "room_id": None if record.room_id is None else str(record.room_id),
                "entries": record.entries,
                "head": record.head.hex(),
                "broken_at": record.broken_at,
                "problem": record.problem,
            }
            for record in found
        ],
    }
    lines = [f"Followed {counted(len(found), 'log')}, {sum(record.entries for record in found):,} entries."]
    for record in wrong:
        broken = f"entry {record.broken_at} is not what was written" if record.problem is None else record.problem
        lines.append(f"✗ {record.name}: {broken}")
    lines.append("Compare with a backup: somebody changed a file by hand." if wrong else "All is as it was written.")
    output.give(value, *lines)


@app.command(name="list")
def list_(
    context: typer.Context,
    room: Room = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this user did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only acts of this kind, such as user.banned.")] = None,
    limit: Annotated[int, typer.Option(help="List so many at most.", min=1, max=audit.PAGE_MAX)] = LIST_MAX,
    as_json: AsJson = False,
) -> None:
    """List what was done on the whole site, or with --room what moderators did in one room, newest first.

    Example: rookery audit list --action user.suspended
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        room_id, actor_id, acts = asyncio.run(_read(settings, room, actor, action, limit))
        if room_id is None:
            rows = [_site_row(entry) for entry in acts]
        else:
            migrations = engine.load(composition.shard_migrations_folder(settings))
            wanted = RoomFilter(actor_id=actor_id, action=action)
            entries = shards.read_audit(composition.shards_folder(settings), room_id, migrations, wanted, limit=limit)
            rows = [_room_row(entry) for entry in entries]
        cells = [(row["created_at"], row["actor_id"], row["action"], row["target"], row["reason"]) for row in rows]
        output.give(rows, table("at", "by", "action", "upon", "reason", rows=cells))


async def _read(
    settings: Settings, room: str | None, actor: str | None, action: str | None, limit: int
) -> tuple[RoomId | None, UserId | None, list[Entry]]:
    """Return which room and whom it is about, and without a room the acts of the site."""
    async with inspections.opened(composition.directory_path(settings)) as reader:
        actor_id = None if actor is None else (await users.find_by_username(reader, actor)).id
        if room is not None:
            return await _find(reader, room), actor_id, []
        return None, actor_id, await audit.list_page(reader, Filter(actor_id, action), limit=limit)


def _site_row(entry: Entry) -> dict[str, Any]:
    reason = entry.metadata.get("reason")
    return {
        "id": entry.id,
        "created_at": at(entry.created_at),
        "actor_id": None if entry.user_id is None else str(entry.user_id),
        "action": entry.action,
        "target": None if entry.resource_type is None else f"{entry.resource_type} {entry.resource_id}",
        "reason": reason,
        "facts": {name: value for name, value in entry.metadata.items() if name != "reason"},
    }


def _room_row(entry: RoomEntry) -> dict[str, Any]:
    facts = {"before": entry.before, "after": entry.after}
    return {
        "id": entry.id,
        "created_at": at(entry.created_at),
        "actor_id": None if entry.actor_id is None else str(entry.actor_id),
        "action": entry.action,
        "target": None if entry.target_type is None else f"{entry.target_type} {entry.target_id}",
        "reason": entry.reason,
        "facts": {name: orjson.loads(value) for name, value in facts.items() if value is not None},
    }
