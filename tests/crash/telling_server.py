"""A server in a process of its own that delivers to webhooks on this machine, and retries failed ones soon."""

import functools
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rookery.server import application
from router.webhook_deliveries import Pace
from tests.router import serving
from tests.router.serving import Place, Process

SETTINGS = "[webhooks]\nallow_private_networks = true\n"


@dataclass
class TellingServer:
    """A data folder whose server is started and ended repeatedly; its port stays."""

    folder: Path
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        self.process = Process(Place(self.folder, more=SETTINGS))

    def start(self) -> None:
        """Start, and return when it answers."""
        self.process.place.settings()
        descriptor = self.process._listening.fileno()
        command = [sys.executable, "-m", "tests.crash.telling_server", str(self.folder), str(descriptor)]
        self.process.popen = subprocess.Popen(
            command, cwd=serving.PROJECT, pass_fds=[descriptor], stdout=subprocess.PIPE
        )
        assert self.process.popen.stdout is not None
        assert self.process.popen.stdout.readline() == b"ready\n", "the server did not start"


if __name__ == "__main__":
    soon = functools.partial(Pace, first_retry_seconds=0.02, longest_retry_seconds=0.1)
    setattr(application, "Pace", soon)  # noqa: B010 - the type is another
    serving._serve(Path(sys.argv[1]), int(sys.argv[2]))
