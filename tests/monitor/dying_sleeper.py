"""A process that hibernates or wakes a room and is killed at a step of it, for tests of what it leaves.

`python -m tests.monitor.dying_sleeper FOLDER hibernate|wake STEP` ends by SIGKILL when the step is reached.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from tests.monitor import sleepers


async def main(folder: Path, wanted: str, step: str) -> None:
    """Do it until the step."""

    def die(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async with sleepers.made(folder, step=die) as bed:
        if wanted == "hibernate":
            await bed.hibernator.hibernate(bed.room_id)
        else:
            await bed.send("woken")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
