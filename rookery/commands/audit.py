"""`rookery audit`: reading the audit logs, and verifying that they are unchanged."""

from typing import Annotated, Any

import orjson
import typer

from config.settings import Settings
from database import inspections
from directory import audit, rooms, users
from directory.audit import Entry, Filter
from directory.database import Reader
from directory.room_pages import ListedRoom
from ids import RoomId, UserId
from migrations import engine
from monitor import audit_check, doctor
from monitor.audit_check import VerifiedLog
from rookery import composition, interruption, options
from rookery.errors import CommandError
from rookery.outputs import AsJson, Output, at, counted, speaking, table
from shard import inspections as shards
from shard.tables.audit import Entry as RoomEntry
from shard.tables.audit import Filter as RoomFilter

LIST_MAX = 100
"""Entries that the command lists without `--limit`."""

app = typer.Typer(no_args_is_help=True, help="Read and verify the audit logs: the site's and every room's.")

Room = Annotated[
    str | None, typer.Option("--room", metavar="NAME", help="A community's name, or any room's id: only this room.")
]


@app.command()
def verify(context: typer.Context, room: Room = None, as_json: AsJson = False) -> None:
    """Verify the hash chains of the audit logs, and name the first wrong entry of each.

    Each entry's hash covers the one before it, so that a changed, removed or added entry is detected. Cutting off the
    newest entries is not: keep the number of entries and the newest hash (--json has both) somewhere else.

    It changes nothing and works beside a running server. The exit code is 1 when something is wrong.

    Example: rookery audit verify --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        found, chosen, hibernated = interruption.run(_read_directory(settings, room))
        folder = composition.shards_folder(settings)
        migrations = engine.load(composition.shard_migrations_folder(settings))
        with output.progress() as progress:
            bar = progress.add_task("following the rooms' logs", total=len(chosen))
            for log in audit_check.verify_rooms(folder, chosen, migrations):
                found.append(log)
                progress.advance(bar)
        _report(output, found)
        if hibernated:
            output.note(
                f"Left out: the logs of {counted(hibernated, 'hibernated room')}. rookery room wake brings one back."
            )
        if not all(log.is_sound for log in found):
            raise typer.Exit(1)


async def _read_directory(settings: Settings, room: str | None) -> tuple[list[VerifiedLog], list[ListedRoom], int]:
    """Return the directory's log, unless one room is named, the rooms to verify, and the number of hibernated rooms."""
    path, schema = composition.directory_path(settings), composition.directory_schema(settings)
    async with inspections.opened(path, schema) as reader:
        inventory = await doctor.take_inventory(reader, composition.shards_folder(settings))
        if room is not None:
            return [], [inventory.rooms[await _find(reader, room)]], 0
        # A room that was deleted keeps its record for as long as it keeps its file.
        wanted = {room.id for room in inventory.expected()} | inventory.files
        here = [each for each in inventory.rooms.values() if each.id in wanted and each.state != "hibernated"]
        return [await audit_check.verify_directory(reader)], here, len(inventory.hibernated())


async def _find(reader: Reader, name: str) -> RoomId:
    room = await rooms.find_named(reader, name)
    if room.state == "hibernated":
        raise CommandError(f"The room {name} is hibernated, its log with it. Wake it first: rookery room wake {name}")
    return room.id


def _report(output: Output, found: list[VerifiedLog]) -> None:
    wrong = [log for log in found if not log.is_sound]
    value = {
        "ok": not wrong,
        "logs": [
            {
                "name": log.name,
                "room_id": None if log.room_id is None else str(log.room_id),
                "entries": log.entries,
                "head": log.head.hex(),
                "broken_at": log.broken_at,
                "problem": log.problem,
            }
            for log in found
        ],
    }
    lines = [f"Followed {counted(len(found), 'log')}, {sum(log.entries for log in found):,} entries."]
    for log in wrong:
        broken = f"entry {log.broken_at} is not what was written" if log.problem is None else log.problem
        lines.append(f"✗ {log.name}: {broken}")
    lines.append("Compare with a backup: somebody changed a file by hand." if wrong else "All is as it was written.")
    output.give(value, *lines)


@app.command(name="list")
def list_(
    context: typer.Context,
    room: Room = None,
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="Only acts of this user.")] = None,
    action: Annotated[str | None, typer.Option(help="Only acts of this kind, such as user.banned.")] = None,
    limit: Annotated[int, typer.Option(help="List so many at most.", min=1, max=audit.PAGE_MAX)] = LIST_MAX,
    as_json: AsJson = False,
) -> None:
    """List the acts on the whole site, or with --room the moderators' acts in one room, newest first.

    Example: rookery audit list --action user.suspended
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        room_id, actor_id, acts = interruption.run(_read(settings, room, actor, action, limit))
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
    """Return the named room and user, and without a room the acts of the site."""
    path, schema = composition.directory_path(settings), composition.directory_schema(settings)
    async with inspections.opened(path, schema) as reader:
        actor_id = None if actor is None else (await users.find_named(reader, actor)).id
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
