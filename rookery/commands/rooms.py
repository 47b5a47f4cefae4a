"""`rookery room`: the registry of rooms, for operators."""

from pathlib import Path
from typing import Annotated, Any

import typer

from config.settings import Settings
from directory import room_pages, rooms, shards, users
from directory.room_pages import ListedRoom
from directory.rooms import Room
from directory.shards import Shard
from rookery import composition, interruption, options
from rookery.commands import hibernation
from rookery.outputs import AsJson, at, facts, size, speaking, table

LIST_MAX = 1_000
"""Rooms that the command lists without `--limit`."""

app = typer.Typer(no_args_is_help=True, help="Look up rooms and their shards; hibernate and wake rooms.")
app.command()(hibernation.hibernate)
app.command()(hibernation.wake)


@app.command(name="list")
def list_(
    context: typer.Context,
    after: Annotated[int, typer.Option(help="Begin after the room with this id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="List so many at most.", min=1, max=100_000)] = LIST_MAX,
    as_json: AsJson = False,
) -> None:
    """List rooms in every state, the oldest first, with the last measured sizes of their shards.

    Example: rookery room list --json
    """
    with speaking(as_json=as_json) as output:
        found = interruption.run(_list(options.of(context).existing(), after, limit))
        rows = [
            (room.id, room.kind, room.name, room.state, room.member_count, room.message_count, size(room.size_bytes))
            for room in found
        ]
        shown = table("id", "kind", "name", "state", "members", "messages", "size", rows=rows)
        output.give([_listed(room) for room in found], shown)
        if len(found) == limit:
            output.note(f"There may be more: --after {found[-1].id}")


async def _list(settings: Settings, after: int, limit: int) -> list[ListedRoom]:
    found: list[ListedRoom] = []
    async with composition.open_directory(settings) as directory, directory.database.read() as reader:
        while len(found) < limit:
            last = found[-1].id if found else after
            page = await room_pages.all_rooms(reader, after=last, limit=limit - len(found))
            if not page:
                break
            found += page
    return found


def _listed(room: ListedRoom) -> dict[str, Any]:
    return {
        "id": str(room.id),
        "kind": room.kind,
        "name": room.name,
        "display_name": room.display_name,
        "state": room.state,
        "member_count": room.member_count,
        "message_count": room.message_count,
        "size_bytes": room.size_bytes,
        "level": room.level,
        "created_at": at(room.created_at),
        "checked_at": at(room.checked_at),
    }


@app.command()
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A community's name, or any room's id.")],
    as_json: AsJson = False,
) -> None:
    """Show a room: its owner, its state, and the file of its shard.

    Example: rookery room show lean
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        room, shard, owner = interruption.run(_show(settings, name))
        path = composition.shards_folder(settings) / f"{shard.database_id}.db"
        shown = facts(
            [
                ("id", room.id),
                ("kind", room.kind),
                ("name", room.name),
                ("shown as", room.display_name),
                ("owner", owner),
                ("state", room.state),
                ("listed", "for everyone to join" if room.is_public else "no"),
                ("members", room.member_count),
                ("messages", f"{room.message_count:,} when last measured"),
                ("file", "in object storage" if room.state == "hibernated" else f"{path} ({_size(path)})"),
                ("schema", f"version {shard.schema_version}"),
                ("measured", at(shard.checked_at) or "not yet"),
                ("since", at(room.created_at)),
            ]
        )
        output.give(_render(room, shard, owner, path), shown)


def _size(path: Path) -> str:
    try:
        return size(path.stat().st_size)
    except FileNotFoundError:
        return "missing"


async def _show(settings: Settings, name: str) -> tuple[Room, Shard, str | None]:
    async with composition.open_directory(settings) as directory, directory.database.read() as reader:
        room = await rooms.find_named(reader, name)
        owner = None if room.owner_id is None else (await users.find(reader, room.owner_id)).username
        return room, await shards.find(reader, room.id), owner


def _render(room: Room, shard: Shard, owner: str | None, path: Path) -> dict[str, Any]:
    return {
        "id": str(room.id),
        "kind": room.kind,
        "name": room.name,
        "display_name": room.display_name,
        "description": room.description,
        "owner": owner,
        "state": room.state,
        "is_public": room.is_public,
        "member_count": room.member_count,
        "message_count": room.message_count,
        "file": str(path),
        "file_exists": path.exists(),
        "schema_version": shard.schema_version,
        "size_bytes": shard.size_bytes,
        "level": shard.level,
        "created_at": at(room.created_at),
        "checked_at": at(shard.checked_at),
    }
