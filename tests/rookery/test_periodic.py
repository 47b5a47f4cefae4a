"""Periodic tasks: each row of the table by itself, again after a failure, until the server stops."""

import asyncio
import logging

import pytest

from rookery.server import periodic


async def test_a_task_that_fails_is_logged_by_name_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A failed run leaves a line with the task's name, and the next run comes after the interval."""
    runs: list[float] = []

    async def run() -> None:
        runs.append(asyncio.get_running_loop().time())
        if len(runs) < 3:
            raise RuntimeError("no disk")

    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(5), periodic.running(periodic.repeat(("sweeping", 0.02, run))):
        while len(runs) < 3:  # noqa: ASYNC110 - another task does it
            await asyncio.sleep(0.005)
    failed = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [(record.getMessage(), vars(record)["task"]) for record in failed] == [("a chore failed", "sweeping")] * 2
    assert all(later - earlier >= 0.019 for earlier, later in zip([began, *runs], runs, strict=False))


async def test_a_slow_task_holds_up_no_other_and_ends_with_the_block() -> None:
    """While one row waits for ever the others go on; at the end each is cancelled, and its end awaited."""
    quick, ended = 0, False

    async def wait() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(3_600)
        finally:
            await asyncio.sleep(0.01)
            ended = True

    async def count() -> None:
        nonlocal quick
        quick += 1

    rows = (("slow", 0.0, wait), ("quick", 0.0, count))
    async with asyncio.timeout(5), periodic.running(*map(periodic.repeat, rows)):
        while quick < 5:  # noqa: ASYNC110 - another task does it
            await asyncio.sleep(0.001)
    assert ended
    after = quick
    await asyncio.sleep(0.01)
    assert quick == after
