"""The user whose data folder it is: a process of another one would make files in it that the server cannot open.

A file that root makes beside the server's belongs to root, and its room answers 503 from then on. So no process of
another user opens the folder.
"""

import os
import pwd
import shlex
import tempfile
from pathlib import Path
from typing import Final

from rookery.errors import CommandError

ROOT: Final = 0


def refuse_other_user(directory: Path) -> None:
    """Raise CommandError when the folder of the directory's file, or that file, belongs to another user."""
    folder, me = directory.parent, os.geteuid()
    foreign = _foreign(directory, me)
    # Some mounts tell one owner for all files, whoever makes them: then there is no other user's file.
    if foreign is None or _owner_of_new(folder) == foreign.stat().st_uid:
        return
    owner = foreign.stat().st_uid
    told = f"{foreign} belongs to the user {_name(owner)}, and this command runs as {_name(me)}"
    hand_over = f"as root: chown -R {shlex.quote(_name(me))} {shlex.quote(str(folder))}"
    if me != ROOT and folder.stat().st_uid == me:
        raise CommandError(f"{told}, whose folder it is in. Give the files back, {hand_over}")
    raise CommandError(
        f"{told}: each could not open files that the other makes, and rooms would answer 503. "
        f"Run it as the owner: sudo -u {shlex.quote(_sudo_name(owner))} rookery …"
        + ("" if me == ROOT else f" Or give the folder to this user, {hand_over}")
    )


def _foreign(directory: Path, me: int) -> Path | None:
    """Return the directory's file or its folder, whichever belongs to another user; None when all is well.

    Only root minds a folder of somebody else without a directory: others may have been let into it by their group.
    """
    try:
        if directory.stat().st_uid != me:
            return directory
        has_directory = True
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        has_directory = False
    try:
        is_foreign = directory.parent.stat().st_uid != me
    except FileNotFoundError:
        return None
    is_open = me != ROOT and (has_directory or os.access(directory.parent, os.W_OK | os.X_OK, effective_ids=True))
    return directory.parent if is_foreign and not is_open else None


def _owner_of_new(folder: Path) -> int | None:
    """Return whose file it is that this process makes in a folder; None where it cannot make one."""
    try:
        with tempfile.TemporaryFile(dir=folder) as made:
            return os.fstat(made.fileno()).st_uid
    except OSError:
        return None


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _sudo_name(user: int) -> str:
    """Return how sudo takes a user: one without a name is written #1000."""
    name = _name(user)
    return f"#{user}" if name == str(user) else name
