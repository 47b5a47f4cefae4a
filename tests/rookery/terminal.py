"""The command line as people and scripts meet it: a process of its own, or this process where that is enough."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from rookery.cli import app

PROJECT = Path(__file__).parents[2]
SECONDS_MAX = 60
READY_SECONDS_MAX = 30


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command: this one's, without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    return kept | {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1"} | more


def start(*words: object, cwd: Path, stdin: int = subprocess.DEVNULL, **more: str) -> subprocess.Popen[bytes]:
    """Start a command."""
    command = [sys.executable, "-m", "rookery", *map(str, words)]
    # Unbuffered: what is read ahead of a line would be lost to `communicate`.
    return subprocess.Popen(
        command,
        bufsize=0,
        cwd=cwd,
        env=environment(**more),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*words: object, cwd: Path, stdin: bytes = b"", **more: str) -> Ended:
    """Run a command to its end."""
    command = [sys.executable, "-m", "rookery", *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=environment(**more), input=stdin, capture_output=True, timeout=SECONDS_MAX
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def invoke(*words: object, stdin: str = "") -> Ended:
    """Run a command in this process, on a thread without an event loop of its own; a fault of ours is raised."""
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(CliRunner().invoke, app, [*map(str, words)], input=stdin, catch_exceptions=False)
        result = running.result(SECONDS_MAX)
    return Ended(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    told: dict[str, Any]
    process: subprocess.Popen[bytes]


@contextmanager
def serving(data: Path, *flags: str, cwd: Path, **more: str) -> Iterator[Served]:
    """Run a server on a free port until the block ends, and see that it ends well; `data` is a folder or a file of
    settings."""
    words = ("--config" if data.is_file() else "--data", data, "serve", "--port", 0, "--json", *flags)
    process = start(*words, cwd=cwd, stdin=subprocess.DEVNULL, **more)
    try:
        assert process.stdout is not None
        told = orjson.loads(process.stdout.readline())
        yield Served(told["url"], told, process)
        process.terminate()
        _, errors = process.communicate(timeout=READY_SECONDS_MAX)
        assert process.returncode == 0, errors.decode()
    finally:
        process.kill()
        process.communicate()
