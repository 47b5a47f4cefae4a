"""SIGINT and SIGTERM end a command at any moment: promptly, with a last word, and without a traceback."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from tests.rookery.histories import encoded, history
from tests.rookery.terminal import PROJECT, environment, invoke, start

SECONDS_MAX = 120
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
PROGRAM = """
import asyncio, threading, time
from rookery import interruption
from rookery.outputs import speaking

interruption.GRACE_SECONDS = {grace}
interruption.install()

async def main():
    asyncio.get_running_loop().run_in_executor(None, {blocking})
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            {on_cancel}

with speaking(as_json=False):
    interruption.run(main())
"""


def program(
    *before: str, blocking: str = "time.sleep, 0", on_cancel: str = "raise", grace: float = 3600
) -> subprocess.Popen[bytes]:
    """Start a command that does nothing, and return when its loop runs."""
    code = PROGRAM.format(blocking=blocking, on_cancel=on_cancel, grace=grace)
    process = subprocess.Popen(
        [*before, sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end of a process, and return its code and its last words."""
    with process:
        try:
            _, errors = process.communicate(timeout=SECONDS_MAX)
        finally:
            process.kill()
    return process.returncode, errors.decode()


def handles_signals(pid: int) -> bool:
    """Tell whether a process has a handler for SIGTERM, which Python itself never has."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) & 1 << signal.SIGTERM - 1)


@pytest.mark.parametrize("number", CODES)
def test_a_signal_that_the_main_thread_does_not_feel_wakes_it(number: signal.Signals) -> None:
    """One that comes as the loop falls asleep, or that another thread receives, interrupts no system call of the main
    thread: it is heard all the same, at once."""
    process = program()
    threads = [int(path.name) for path in Path(f"/proc/{process.pid}/task").iterdir()]
    (other, *_) = (thread for thread in threads if thread != process.pid)
    assert ctypes.CDLL(None).tgkill(process.pid, other, int(number)) == 0
    assert ended(process) == (CODES[number], "Error: Stopped.\n")


def test_a_thread_that_never_ends_keeps_no_command() -> None:
    """What threads are in the middle of ends with the process, once the command has put itself in order."""
    process = program(blocking="time.sleep, 3600")
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (143, "Error: Stopped.\n")


def test_a_second_signal_ends_a_command_that_lingers() -> None:
    """A command that does not end by itself ends with the next signal, with the same last word."""
    process = program(on_cancel="print('lingering', flush=True)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    assert process.stdout.readline() == b"lingering\n"
    process.send_signal(signal.SIGINT)
    assert ended(process) == (143, "Error: Stopped.\n")


def test_a_command_that_lingers_ends_after_the_grace() -> None:
    """Without a second signal the end comes by itself."""
    process = program(on_cancel="pass", grace=0.2)
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "Error: Stopped.\n")


def test_a_signal_at_any_moment_of_a_start_is_told(tmp_path: Path) -> None:
    """While modules are imported, settings read, stores opened or rounds run: never a traceback, always the code."""
    words = ("--data", tmp_path / "data", "user", "create", "alice", "--password-stdin")
    assert invoke(*words, stdin="correct horse\n").code == 0
    processes = []
    for moment in range(4):
        process = start("--data", "data", "monitor", "run", "--json", cwd=tmp_path)
        while not handles_signals(process.pid):
            time.sleep(0.005)
        time.sleep(moment * 0.2)  # another moment each, whatever it is there
        number = (signal.SIGINT, signal.SIGTERM)[moment % 2]
        process.send_signal(number)
        processes.append((process, number))
    for process, number in processes:
        with process:
            out, errors = process.communicate(timeout=SECONDS_MAX)
        assert b"Traceback" not in errors
        assert process.returncode == CODES[number], errors
        assert orjson.loads(out.splitlines()[-1]) == {"error": "Stopped."}


def test_an_import_that_waits_for_its_input_ends(tmp_path: Path) -> None:
    """A thread that reads from a pipe on which nothing comes does not keep the command."""
    heard, told = os.pipe()
    words = ("--data", "data", "import", "-", "--room", "lean", "--json")
    process = start(*words, cwd=tmp_path, stdin=heard)
    os.close(heard)
    with os.fdopen(told, "wb") as pipe:
        pipe.write(encoded(history(3)))
        pipe.flush()
        while not (tmp_path / "data" / "shards").exists():
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        with process:
            out, errors = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, orjson.loads(out), errors) == (130, {"error": "Stopped."}, b"")


def test_signals_that_were_ignored_are_heard() -> None:
    """A shell that starts a command in the background has SIGINT ignored: a script can still stop it with that."""
    process = program("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "Error: Stopped.\n")
