"""`rookery start-anew`: sets aside what is left of an installation whose directory is lost."""

import os
import time
from typing import Annotated, Final

import typer

import sqlite
from config.settings import Settings
from monitor.disk_space import RESERVE
from rookery import composition, data_folder, options, server_lock
from rookery.errors import CommandError
from rookery.outputs import AsJson, speaking
from rookery.store_list import FORMER, STORES

KEPT: Final = (server_lock.NAME, composition.MONITOR_LOCK, composition.MAINTENANCE_LOCK, RESERVE)
"""Files of the data folder that belong to processes, not to an installation."""


def start_anew(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal it never asks.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set aside what is left of an installation whose directory is lost, so that the next start makes a new one.

    Accounts, sessions and the list of rooms were in the directory: if a backup has it, restore it instead. Rooms, files
    and the archive move into a folder former-TIME in the data folder, and nothing is removed. It refuses while there is
    a directory, and while a server runs.

    Example: rookery --data /srv/rookery start-anew
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        composition.refuse_other_user(settings)
        found = _leftovers(settings)
        if not (yes or as_json) and os.isatty(0):
            typer.confirm(f"{'; '.join(found)}. Move all of it aside?", abort=True)
        with composition.serving_alone(settings, checks_data=False):
            target, moved = _set_aside(settings)
        lines = [f"Moved {', '.join(moved)} to {target}.", "The next start makes a new installation: rookery serve"]
        if settings.archive.endpoint is not None or settings.files.endpoint is not None:
            lines.append("Give it buckets of its own: those in the settings have the objects of the former one.")
        output.give({"folder": str(target), "moved": moved}, *lines)


def _leftovers(settings: Settings) -> list[str]:
    directory, data = composition.directory_path(settings), settings.server.data_dir
    if os.path.lexists(directory):
        raise CommandError(f"{directory} is there; only an installation without its directory is started anew.")
    shards, objects = composition.shards_folder(settings), composition.object_folders(settings)
    found = data_folder.leftovers(directory, shards, objects)
    if not found:
        raise CommandError(f"Nothing is left of an installation in {data}. Start a server there: rookery serve")
    return found


def _set_aside(settings: Settings) -> tuple[str, list[str]]:
    data = settings.server.data_dir
    target = data / f"{FORMER}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(composition.now_ms() / 1000))}"
    target.mkdir(mode=0o700)
    patterns = (pattern for store in STORES for pattern in store.paths(settings))
    tops = {pattern.partition("/")[0] for pattern in patterns if not pattern.startswith(FORMER)} - set(KEPT)
    moved = []
    for path in sorted({path for top in tops for path in data.glob(top)}):
        try:
            path.rename(target / path.name)
        except OSError as error:
            raise CommandError(
                f"{path} cannot be moved ({error.strerror}): a mounted volume is emptied by hand."
            ) from error
        moved.append(path.name)
    sqlite.sync_folder(target)
    sqlite.sync_folder(data)
    return str(target), moved
