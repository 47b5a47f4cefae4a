"""The S3 server of the tests leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.objects.radosgw import Radosgw

KEEPER = """
import sys, time
from pathlib import Path
from tests.objects.radosgw import running
with running(Path(sys.argv[1])) as server:
    print(server.endpoint, flush=True)
    time.sleep(600)
"""


def daemons(folder: Path) -> list[str]:
    """Return the living processes that were started with a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and path.parent.name != str(os.getpid()):
            found.append(command)
    return found


def is_listening(port: int) -> bool:
    """Say whether somebody takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.crash
def test_the_server_dies_with_its_tests(radosgw: Radosgw, tmp_path: Path) -> None:
    """When the process of the tests is killed, every daemon that it started is gone at once."""
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as keeper:
        assert keeper.stdout is not None
        endpoint = keeper.stdout.readline().decode().strip()
        assert len(daemons(tmp_path)) == 4
        keeper.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    # A dying process loses its command line before its sockets.
    while daemons(tmp_path) or is_listening(int(endpoint.rpartition(":")[2])):
        assert time.monotonic() < deadline, daemons(tmp_path)
        time.sleep(0.05)
