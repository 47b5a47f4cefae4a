"""`rookery room hibernate` and `rookery room wake`: a room's move into object storage and back, by hand.

Only one process may move a room's file: beside a running server the command orders it from the server, and waits.
"""

import asyncio
import time
from typing import Annotated, Any

import typer

from config.settings import Settings
from directory import audit, errors, hibernations, room_orders, rooms
from directory.database import Reader
from directory.directory import Directory
from directory.hibernations import Hibernation
from directory.room_orders import Wanted
from directory.rooms import Room
from ids import RoomId
from monitor.hibernation_schedule import HibernationSchedule
from monitor.hibernator import NotIdleError
from objects.errors import ObjectError
from rookery import composition, interruption, options
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.object_storage import open_ownership
from rookery.outputs import AsJson, Output, size, speaking

LOOK_SECONDS = 0.1
"""Interval between two looks at a running server's progress."""
NAME = typer.Argument(metavar="ROOM", help="A community's name, or any room's id.")


def hibernate(context: typer.Context, name: Annotated[str, NAME], as_json: AsJson = False) -> None:
    """Hibernate a room: store it as one compressed object in object storage, and remove its local file.

    Nothing is lost, and members notice nothing: the first request wakes the room. Works beside a running server.

    Example: rookery room hibernate lean
    """
    with speaking(as_json=as_json) as output:
        room, kept = _run(output, options.of(context).existing(), name, "hibernate")
        assert kept is not None, "a room that was put away has an object"
        shown = f"{_label(room)} is hibernated: {size(kept.file_bytes)} became {size(kept.size_bytes)}."
        output.give(_render(room, kept), shown)


def wake(context: typer.Context, name: Annotated[str, NAME], as_json: AsJson = False) -> None:
    """Wake a hibernated room now: fetch it from object storage before the first request needs it.

    A room that is not hibernated stays as it is. Works beside a running server.

    Example: rookery room wake lean
    """
    with speaking(as_json=as_json) as output:
        room, kept = _run(output, options.of(context).existing(), name, "wake")
        output.give(_render(room, kept), f"{_label(room)} is awake.")


def _run(output: Output, settings: Settings, name: str, wanted: Wanted) -> tuple[Room, Hibernation | None]:
    began = time.perf_counter()
    with output.progress() as progress:
        progress.add_task(f"{'hibernating' if wanted == 'hibernate' else 'waking'} {name}", total=None)
        try:
            found = interruption.run(_do(settings, name, wanted))
        except NotIdleError as error:
            raise CommandError(f"The room stays where it is: {error}.") from error
        except ObjectError as error:
            raise CommandError(f"Nothing was changed: {error}") from error
    output.note(f"Done in {time.perf_counter() - began:.2f} s.")
    return found


async def _do(settings: Settings, name: str, wanted: Wanted) -> tuple[Room, Hibernation | None]:
    if composition.has_server(settings):
        async with composition.open_directory(settings) as directory:
            room_id = (await _checked(directory, name, wanted)).id
            await _ask_server(settings, directory, room_id, wanted)
            return await _outcome(directory, room_id, wanted)
    with composition.serving_alone(settings):
        async with (
            composition.open_stores(settings) as stores,
            open_ownership(settings, stores.directory, now_ms) as ownership,
            composition.open_hibernator(settings, stores, ownership) as hibernator,
        ):
            room_id = (await _checked(stores.directory, name, wanted)).id
            schedule = HibernationSchedule(stores.directory, stores.pool, hibernator, idle_ms=0, clock=now_ms)
            await (schedule.hibernate if wanted == "hibernate" else schedule.wake)(room_id)
            return await _outcome(stores.directory, room_id, wanted)


async def _checked(directory: Directory, name: str, wanted: Wanted) -> Room:
    async with directory.database.read() as reader:
        room = await _find(reader, name)
    if room.state in ("creating", "deleted"):
        raise CommandError(f"{_label(room)} is {room.state}: there is nothing to {wanted}.")
    if wanted == "hibernate" and room.state == "readonly":
        raise CommandError(f"{_label(room)} is read-only. Only a room that is open for writing is hibernated.")
    return room


async def _find(reader: Reader, name: str) -> Room:
    try:
        return await rooms.find_by_name(reader, name)
    except errors.RoomNotFoundError:
        if not (name.isascii() and name.isdecimal() and len(name) < 20):
            raise
        return await rooms.find(reader, RoomId(int(name)))


async def _ask_server(settings: Settings, directory: Directory, room_id: RoomId, wanted: Wanted) -> None:
    """Order it from the running server, and wait; raises CommandError with the reason of a failure."""
    async with directory.database.write() as writer:
        await room_orders.place(writer, room_id, wanted, now_ms=now_ms())
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            async with directory.database.read() as reader:
                order = await room_orders.find(reader, room_id)
            if order is None or not composition.has_server(settings):
                raise CommandError("The server ended meanwhile; run the same command again.")
            if order.outcome:
                raise CommandError(order.outcome)
            if order.outcome is not None:
                return
    finally:
        async with directory.database.write() as writer:
            await room_orders.forget(writer, room_id)


async def _outcome(directory: Directory, room_id: RoomId, wanted: Wanted) -> tuple[Room, Hibernation | None]:
    action = audit.Action.ROOM_HIBERNATED if wanted == "hibernate" else audit.Action.ROOM_WOKEN
    async with directory.database.write() as writer:
        await audit.append(writer, action, by=None, resource=("room", room_id), metadata={}, now_ms=now_ms())
    async with directory.database.read() as reader:
        found = await hibernations.find_asleep(reader, room_id)
        room = await rooms.find(reader, room_id)
    if wanted == "hibernate" and found is None:
        raise CommandError(f"{_label(room)} was hibernated, and woken again at once: somebody asked for it.")
    return room, found


def _label(room: Room) -> str:
    return f"Room {room.name or room.kind} ({room.id})"


def _render(room: Room, kept: Hibernation | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"id": str(room.id), "name": room.name, "state": room.state}
    if kept is not None:
        facts |= {"object_key": kept.object_key, "size_bytes": kept.size_bytes, "file_bytes": kept.file_bytes}
    return facts
