"""The key that signs addresses of files in a store on disk: one file in the data folder, the same after a restart.

Who has it can read and send files of that store by addresses of their own making, so its file is for its owner alone.
Without the file a server makes a new key, and addresses that were signed before end: that is how to replace it.
"""

import logging
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from rookery.errors import CommandError

log = logging.getLogger(__name__)

NAME: Final = "link.key"
BYTES: Final = 32
"""Bytes of the key: as many as an HMAC of SHA-256 uses."""
_OWNER_ONLY: Final = 0o600


def read_or_make(folder: Path) -> bytes:
    """Return the key of a data folder, made if missing; processes that start at once get the same.

    A file that others may read is closed to them, with a warning. Raises CommandError for a file that is no key,
    OSError when it cannot be read or made.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        _make(folder, path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        mode, key = stat.S_IMODE(os.fstat(descriptor).st_mode), file.read(BYTES + 1)
        if mode & 0o077:
            os.fchmod(descriptor, _OWNER_ONLY)
            log.warning("others could read the link key; remove it and restart for a new one", extra={"mode": mode})
    if len(key) != BYTES:
        raise CommandError(
            f"{path} is not a key of {BYTES} bytes. Remove it and start again: a new key is made, and addresses of "
            "files that were given out before end."
        )
    return key


def _make(folder: Path, path: Path) -> None:
    """Write a new key beside its place, and link it there unless another process was faster."""
    made = folder / f"{NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(made, path)
        except FileExistsError:
            return
    finally:
        made.unlink()
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
