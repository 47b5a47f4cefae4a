"""The installation that a data folder is: whether it still is the one whose objects it names, or a copy.

Three things tell a copy. The marker in the data folder names its own file (inode and time of creation) and the machine:
a file that was copied is another one. Each bucket has a claim with a number that the server counts up every five
minutes, and the directory knows the last: a higher one means that somebody else went on from the same state. A copy
begins a new prefix, reads what is under the old one and never changes it.
"""

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from database.errors import DatabaseError
from directory import installations
from directory.directory import Directory
from directory.installations import Installation
from objects.errors import ObjectError, ObjectExistsError
from objects.store import Content, Store
from shard.engine import branches

log = logging.getLogger(__name__)

NAME: Final = "installation.json"
OPEN_SECONDS_MAX: Final = 5.0
"""Time that a start waits for the buckets: one that does not answer must not keep the rooms closed."""
CLAIM_SECONDS: Final = 300.0
"""Interval of the claims: a clone of the whole machine is noticed after so long at most."""
_MACHINE_ID: Final = Path("/etc/machine-id")
_OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True)
class Marker:
    """Content of the file in the data folder: the own prefix, the file itself, and the machine, "" without an id."""

    prefix: str
    file: str
    machine: str


def read_marker(folder: Path) -> Marker | None:
    """Return the marker of a data folder; None when it has none that can be read."""
    try:
        said = orjson.loads((folder / NAME).read_bytes())
        return Marker(said["prefix"], said["file"], said["machine"])
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        log.warning("the marker of the data folder is damaged", extra={"reason": str(error)})
        return None


def write_marker(folder: Path, prefix: str) -> None:
    """Write the marker, which names its own file; raises OSError."""
    made = folder / f"{NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        said = {"prefix": prefix, "file": branches.identity_of(made), "machine": machine()}
        file.write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
        file.flush()
        os.fsync(descriptor)
    made.rename(folder / NAME)


def machine() -> str:
    """Return a digest of the machine's id; "" where it has none, as in most containers."""
    try:
        said = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"rookery" + said).hexdigest()[:32] if said else ""


def is_of(marker: Marker, folder: Path, prefix: str) -> bool:
    """Tell whether a marker was written for this folder, on this machine, for this prefix."""
    same_machine = machine() in ("", marker.machine) or not marker.machine
    return marker.prefix == prefix and marker.file == branches.identity_of(folder / NAME) and same_machine


async def find(directory: Directory, folder: Path, *, now_ms: int) -> Installation:
    """Return the installation of a data folder, a new one for a new folder and for a copy; raises OSError."""
    async with directory.database.read() as reader:
        found = await installations.find(reader)
    marker = read_marker(folder)
    # A directory of an earlier release has a prefix and no marker yet.
    is_first = found is not None and marker is None and not found.prefix and not found.claim
    if found is not None and (is_first or (marker is not None and is_of(marker, folder, found.prefix))):
        if is_first:
            write_marker(folder, found.prefix)
        return found
    if found is not None:
        log.warning(
            "this data folder is a copy: in buckets it puts objects under a new prefix, and removes nothing under the "
            "old one (if it replaces the original for good: rookery adopt)",
            extra={"former": found.prefix},
        )
    return await _begin(directory, folder, now_ms=now_ms)


async def look(directory: Directory) -> Installation:
    """Return the installation that the directory names, and begin none: for a drill; one without a prefix if there is
    none."""
    async with directory.database.read() as reader:
        return await installations.find(reader) or Installation("", 0, ())


async def _begin(directory: Directory, folder: Path, *, now_ms: int) -> Installation:
    async with directory.database.write() as writer:
        begun = await installations.begin(writer, now_ms=now_ms)
    write_marker(folder, begun.prefix)
    return begun


def claim_key(prefix: str, number: int) -> str:
    """Return the key of a claim."""
    return f"{_claims(prefix)}{number:015}"


def _claims(prefix: str) -> str:
    return f"{prefix}/owner/" if prefix else "owner/"


async def latest_claim(bucket: Store, prefix: str) -> int:
    """Return the number of the latest claim in a bucket, 0 for none; raises what a store raises."""
    found = 0
    async for page in bucket.pages(_claims(prefix)):
        found = max([found, *(int(key.rpartition("/")[2]) for key in page)])
    return found


class Ownership:
    """The hold of a process on its prefix in some buckets. Until it is certain, nothing is removed.

    A drill holds nothing: it only reads.
    """

    def __init__(
        self,
        directory: Directory,
        folder: Path,
        buckets: Sequence[Store],
        installation: Installation,
        clock: Callable[[], int],
        *,
        is_drill: bool = False,
    ) -> None:
        self._directory = directory
        self._folder = folder
        self._buckets = tuple(buckets)
        self._clock = clock
        self._is_lost = False
        self._claiming = asyncio.Lock()
        self._opening: asyncio.Task[None] | None = None
        self.installation = installation
        self.is_drill = is_drill
        self.is_certain = not buckets and not is_drill
        """Flag: nobody else claimed the prefix when it was looked last."""

    def may_remove(self) -> bool:
        """Tell whether objects under the own prefix may be removed."""
        return self.is_certain

    async def check(self) -> None:
        """Look whether somebody else claimed the prefix, without a claim of one's own: for a command."""
        try:
            latest = [await latest_claim(bucket, self.installation.prefix) for bucket in self._buckets]
        except ObjectError as error:
            log.warning("it is uncertain who holds the prefix in object storage", extra={"reason": str(error)})
            return
        self.is_certain = all(number <= self.installation.claim for number in latest)

    async def open(self) -> None:
        """Claim the prefix for a server that starts; a new one when somebody else went on with it.

        Buckets that do not answer in OPEN_SECONDS_MAX are claimed later, and nothing is removed until then.
        """
        self._opening = asyncio.create_task(self.claim())
        await asyncio.wait([self._opening], timeout=OPEN_SECONDS_MAX)
        if not self._opening.done():
            log.warning("the buckets do not answer yet; nothing is removed from object storage until they do")
        elif self._is_lost:
            self.installation = await _begin(self._directory, self._folder, now_ms=self._clock())
            self._is_lost = False
            await self.claim()

    async def claim(self) -> None:
        """Claim the prefix once more, under the next number; nothing is removed any more once that fails."""
        try:
            async with self._claiming:
                if not self._is_lost:
                    await self._claim()
        except (ObjectError, DatabaseError) as error:
            # It stays as it was: another one that claims it meanwhile is noticed at the next claim.
            log.warning("the prefix in object storage could not be claimed", extra={"reason": str(error)})

    async def close(self) -> None:
        """End a claim that is under way."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    async def _claim(self) -> None:
        prefix, known = self.installation.prefix, self.installation.claim
        latest = [await latest_claim(bucket, prefix) for bucket in self._buckets]
        if any(number > known for number in latest):
            self._lose(prefix)
            return
        async with self._directory.database.write() as writer:
            await installations.note_claim(writer, prefix, known + 1)
        self.installation = Installation(prefix, known + 1, self.installation.former)
        said = orjson.dumps({"claim": known + 1, "at": self._clock()})
        content = Content("application/json", len(said), hashlib.sha256(said).hexdigest())
        try:
            for bucket in self._buckets:
                await bucket.put(claim_key(prefix, known + 1), said, content)
        except ObjectExistsError:
            self._lose(prefix)
            return
        self.is_certain = True
        for bucket, number in zip(self._buckets, latest, strict=True):
            if number:
                await bucket.delete(claim_key(prefix, number))

    def _lose(self, prefix: str) -> None:
        self._is_lost, self.is_certain = True, False
        log.error(
            "another installation goes on with the objects of this one: nothing is removed from object storage",
            extra={"prefix": prefix},
        )
