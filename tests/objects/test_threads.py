"""The threads of a store are bounded, and a cancelled caller leaves none of them working behind its back."""

import asyncio
import threading
import time

import pytest

from objects.errors import StoreUnavailableError
from objects.threads import Threads


async def test_operations_are_bounded() -> None:
    """So many operations are admitted, the next is refused with a time to come back, and ended ones make room."""
    threads = Threads("test", count=1, operations_max=2)
    with threads.operation():
        with threads.operation(), pytest.raises(StoreUnavailableError) as refusal, threads.operation():
            pass
        assert refusal.value.retry_after_seconds == 1
        with threads.operation():
            pass
    await threads.close()


async def test_a_cancelled_step_is_waited_for() -> None:
    """Cancelling, even twice, returns only when the thread is done, and its error is nobody's any more."""
    threads = Threads("test", count=1, operations_max=1)
    begun, done = threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        time.sleep(0.2)
        done.set()
        raise OSError

    task = asyncio.create_task(threads.run(step))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    await threads.close()
