"""Half an installation: a data folder in which the directory, the shards or the volume of either is missing.

A server over the missing half would make it anew, empty, and then hide what is left: accounts would be taken by whoever
comes first, and rooms written beside their own files. So it is refused with what was found and the ways on.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from directory import room_pages, shards
from directory.database import Reader
from rookery.errors import CommandError
from shard.inspections import room_ids

BESIDE_DIRECTORY: Final = ("-wal", "-journal")
"""Suffixes of files that have acknowledged writes of a directory."""


def leftovers(directory: Path, shards_folder: Path, objects: Iterable[Path]) -> list[str]:
    """Return what a missing directory left behind: files of its log, rooms, objects in folders; none without any."""
    found = [f"{path} exists" for path in _logs(directory)]
    rooms = len(_rooms_in(shards_folder))
    if rooms:
        found.append(f"{rooms} {'room is' if rooms == 1 else 'rooms are'} in {shards_folder}")
    found += [f"objects are in {folder}" for folder in objects if has_objects(folder)]
    return found


def _logs(directory: Path) -> Iterator[Path]:
    for suffix in BESIDE_DIRECTORY:
        log = directory.with_name(directory.name + suffix)
        if log.exists() and log.stat().st_size > 0:
            yield log


def has_objects(folder: Path) -> bool:
    """Tell whether a folder of object storage has an object; hidden folders are those of its own work."""
    if not folder.is_dir():
        return False
    return any(
        path.is_file() for child in folder.iterdir() if not child.name.startswith(".") for path in (child, *_in(child))
    )


def _in(folder: Path) -> Iterator[Path]:
    return folder.rglob("*") if folder.is_dir() else iter(())


def refuse_lost_directory(directory: Path, shards_folder: Path, objects: Iterable[Path]) -> None:
    """Raise CommandError for a directory that was lost: what is beside it shows that there was one."""
    for path in (directory, shards_folder):
        if path.is_symlink() and not path.exists():
            raise CommandError(
                f"{path} is a link to {path.readlink()}, which is not there. Mount it, or correct the link."
            )
    if directory.exists():
        return
    found = leftovers(directory, shards_folder, objects)
    if found:
        raise CommandError(
            f"{directory} is missing, but {' and '.join(found)}: accounts, sessions and the list of rooms were in it. "
            "Restore it from a backup, or mount its volume. Or give up accounts and rooms: `rookery start-anew` moves "
            "everything that is left into a folder of its own, and removes nothing."
        )


async def refuse_lost_shards(reader: Reader, folder: Path) -> None:
    """Raise CommandError when not one room of the directory has its file: the folder is not the one of this directory.

    Single files that are missing are left to their rooms, which answer 503, and to the doctor.
    """
    expected = last = 0
    while page := await shards.walk(reader, after=last):
        if any((folder / f"{shard.room_id}.db").exists() for shard in page):
            return
        expected += len(page)
        last = page[-1].room_id
    here = _rooms_in(folder)
    if not expected and not here:
        return
    if here and here & await _known(
        reader
    ):  # files of rooms that are hibernated or deleted: the server sets them aside
        return
    named = f"the directory names {expected} {'room' if expected == 1 else 'rooms'}"
    if here:
        raise CommandError(
            f"{folder} belongs to another installation: {named}, and none of the {len(here)} in the folder. "
            f"Put the shards and the directory of one installation together. {_WITHOUT}"
        )
    raise CommandError(
        f"{_state(folder)}, and {named} in it. Mount its volume, or restore the folder from a backup. {_WITHOUT}"
    )


def _rooms_in(folder: Path) -> frozenset[int]:
    return frozenset(room_ids(folder)) if folder.is_dir() else frozenset()


def _state(folder: Path) -> str:
    return f"{folder} {'is empty' if folder.is_dir() else 'is missing'}"


_WITHOUT: Final = (
    "Or start without these rooms, which answer 503 until their files are back: `rookery serve --without-shards`."
)


async def _known(reader: Reader) -> set[int]:
    known: set[int] = set()
    last = 0
    while page := await room_pages.all_rooms(reader, after=last):
        known |= {room.id for room in page}
        last = page[-1].id
    return known
