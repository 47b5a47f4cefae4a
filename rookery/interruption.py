"""The end of a command by SIGINT or SIGTERM: at any moment, promptly, with a last word and without a traceback.

Python's own way leaves gaps. SIGTERM ends the process without a word. While modules are imported, and while the
interpreter ends, SIGINT is a traceback. A signal that comes right before the event loop falls asleep is noticed when
the loop wakes by itself, because `asyncio.run` sets no file descriptor that signals are written to. And a thread that
is in the middle of something keeps the process until it is done, if ever.

So one handler serves all of the process's life. What it does depends on where the command is: before it has begun
nothing is open, and the process ends at once; then the command's task is cancelled, or KeyboardInterrupt is raised
where there is none. A second signal, or GRACE_SECONDS after the first, ends the process wherever it is: that is no
worse than a crash, which every file here survives.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

import orjson

T = TypeVar("T")

GRACE_SECONDS: Final = 10.0
"""Time that a stopped command has for what it must put in order; then its process ends."""
LAST_WORD: Final = "Stopped."
_SHOW_CURSOR: Final = b"\x1b[?25h"
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Interruption:
    """The state of this process: there is one."""

    def __init__(self) -> None:
        self.is_installed = False
        self.is_begun = False
        self.is_told = False
        self.signal: int | None = None
        self.task: asyncio.Task[Any] | None = None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal, in the main thread between two steps of Python."""
        is_first, self.signal = self.signal is None, self.signal or number
        if not is_first or not self.is_begun:
            self.end_now()
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        if self.task is None:
            raise KeyboardInterrupt
        self.task.get_loop().call_soon_threadsafe(self.task.cancel)

    def end_now(self, *_handled: object) -> None:
        """End the process with the last word, whatever its threads do."""
        for descriptor in filter(os.isatty, (1, 2)):
            os.write(descriptor, _SHOW_CURSOR)  # a progress bar hides it
        if not self.is_told:
            if "--json" in sys.argv:
                os.write(1, orjson.dumps({"error": LAST_WORD}, option=orjson.OPT_APPEND_NEWLINE))
            else:
                os.write(2, f"Error: {LAST_WORD}\n".encode())
        os._exit(exit_code())


_state: Final = _Interruption()


def install() -> None:
    """Handle the signals from now on, also where whoever started the process had SIGINT ignored, as shells do for what
    runs in the background."""
    _state.is_installed = True
    for number in _SIGNALS:
        signal.signal(number, _state.handle)
    signal.signal(signal.SIGALRM, _state.end_now)


def begin() -> None:
    """Note that a command begins: from now on a signal is KeyboardInterrupt, or cancels what `run` runs."""
    _state.is_begun, _state.is_told = True, False


def end() -> None:
    """Note that a command has said its last word, and has nothing open any more: a signal ends the process at once."""
    _state.is_begun, _state.is_told = False, True


def exit_code() -> int:
    """Return the exit code of a stopped command, as shells have it: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + (_state.signal or signal.SIGINT)


def leave() -> None:
    """End the process of a stopped command that has said its last word and closed what it had open.

    Threads that are in the middle of something end with it. Where no signals are handled (tests) it returns.
    """
    end()
    if _state.is_installed and _state.signal is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine as `asyncio.run` does; a signal cancels it, and is KeyboardInterrupt when that has ended."""
    if not _state.is_installed or threading.current_thread() is not threading.main_thread():
        return asyncio.run(main)
    runner = asyncio.Runner()
    try:
        result = runner.run(_stoppable(main))
        _raise_if_stopped()
        return result
    except asyncio.CancelledError:
        _raise_if_stopped()
        raise
    finally:
        # The rest of a stopped command is `leave`: closing would wait for threads.
        if _state.signal is None:
            runner.close()


def _raise_if_stopped() -> None:
    if _state.signal is not None:
        raise KeyboardInterrupt


async def _stoppable(main: Coroutine[Any, Any, T]) -> T:
    with _woken_by_signals():
        _state.task = asyncio.current_task()
        try:
            return await main
        finally:
            _state.task = None


@contextmanager
def _woken_by_signals() -> Iterator[None]:
    """Have signals wake the event loop: a handler runs in the main thread, which may be about to sleep."""
    loop = asyncio.get_running_loop()
    heard, told = socket.socketpair()
    with heard, told:
        heard.settimeout(0)
        told.settimeout(0)
        before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        loop.add_reader(heard, heard.recv, 4_096)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(heard)
