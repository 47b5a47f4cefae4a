"""Creates a shard again and again, each time in a process that is killed one step later than the one before.

Run as `python -m tests.shard.dying_founder FOLDER STRIDE`; every try has a folder of its own, named by its step.
"""

import os
import signal
import sys
from pathlib import Path

from ids import RoomId
from shard.actions import rooms
from shard.engine import files
from tests.shard import disks, stage

STEPS = {"open", "os.rename", "os.remove"}
"""What Python itself does to files on the way; SQLite's own calls come from the disk."""
STARTED = Path("started")


class Death:
    """Kills this process at the `number`-th step."""

    def __init__(self, number: int) -> None:
        self._left = number

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def in_python(self, event: str, _arguments: object) -> None:
        if event in STEPS:
            self.step()

    def on_disk(self, operation: str, _path: Path) -> None:
        if operation != "xRead":
            self.step()


def found(folder: Path) -> None:
    """Create room 1 in a folder."""
    files.create(
        folder,
        RoomId(1),
        stage.MIGRATIONS,
        lambda writer: rooms.found_room(writer, "community", stage.OWNER, stage.CHANNELS, now_ms=stage.NOW_MS),
        now_ms=stage.NOW_MS,
    )


def is_killed_at(number: int, folder: Path) -> bool:
    """Create a shard in a child process and tell whether it was killed before it had finished."""
    child = os.fork()
    if child == 0:
        death = Death(number)
        with disks.inserted(death.on_disk):
            sys.addaudithook(death.in_python)
            found(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def main() -> None:
    """Try until a child lives to the end."""
    home, stride = Path(sys.argv[1]), int(sys.argv[2])
    number = 1
    while True:
        folder = home / str(number)
        folder.mkdir()
        if not is_killed_at(number, folder):
            return
        number += stride


if __name__ == "__main__":
    main()
