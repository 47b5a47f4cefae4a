"""Password hashing: its floor, its bound, and equal work for people who do not exist."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import argon2
import pytest

from directory import errors
from directory.credentials import Passwords

PASSWORD = "correct horse battery"


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(1, 2, memory_kib=8, time_cost=1)
    yield made
    await made.close()


class Slow:
    """Holds the hashing threads until told to go on, and counts what they verify."""

    def __init__(self, passwords: Passwords) -> None:
        self.began, self.go, self.verified = threading.Event(), threading.Event(), 0
        self._matches: Callable[[str, bytes], bool] = passwords._matches
        passwords._matches = self._slow  # type: ignore[method-assign]

    def _slow(self, password_hash: str, password: bytes) -> bool:
        self.verified += 1
        self.began.set()
        assert self.go.wait(10)
        return self._matches(password_hash, password)


async def test_the_defaults_are_the_owasp_floor() -> None:
    """Without arguments a hash is argon2id with 19 MiB, two passes and one lane."""
    passwords = Passwords(1, 0)
    parameters = argon2.extract_parameters(await passwords.hash(PASSWORD))
    await passwords.close()
    assert parameters.type is argon2.Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)


async def test_the_hash_of_nobody_costs_what_others_do(passwords: Passwords) -> None:
    """It has the parameters and lengths of a real hash, so that the same work is done, and no password matches it."""
    nobody = passwords._nobodys_hash
    assert argon2.extract_parameters(nobody) == argon2.extract_parameters(await passwords.hash(PASSWORD))
    assert not passwords.is_outdated(nobody)
    assert not await passwords.verify(nobody, PASSWORD)
    assert nobody != Passwords(1, 0, memory_kib=8, time_cost=1)._nobodys_hash


async def test_hash_and_verify(passwords: Passwords) -> None:
    """The right password verifies, in either Unicode spelling; others do not; equal ones hash differently."""
    composed, decomposed = "Sch\u00f6nes Wetter", "Scho\u0308nes Wetter"
    hashed = await passwords.hash(composed)
    assert await passwords.verify(hashed, decomposed)
    assert not await passwords.verify(hashed, composed + "!")
    assert await passwords.hash(composed) != hashed


@pytest.mark.parametrize(
    ("password", "good"), [("x" * 9, False), ("x" * 10, True), ("x" * 256, True), ("x" * 257, False)]
)
async def test_lengths(passwords: Passwords, password: str, good: bool) -> None:
    """Ten to 256 characters are a password, of any kind."""
    if good:
        assert await passwords.verify(await passwords.hash(password), password)
    else:
        with pytest.raises(errors.BadPasswordError):
            await passwords.hash(password)


async def test_what_is_cut_does_not_match(passwords: Passwords) -> None:
    """A password that only begins like the right one is wrong."""
    hashed = await passwords.hash("x" * 256)
    assert not await passwords.verify(hashed, "x" * 257)


async def test_unknown_users_cost_a_verification(passwords: Passwords) -> None:
    """Nobody's hash is verified like somebody's, against the same parameters, and never matches."""
    slow = Slow(passwords)
    slow.go.set()
    hashed = await passwords.hash(PASSWORD)
    assert await passwords.verify(hashed, PASSWORD)
    assert not await passwords.verify(None, PASSWORD)
    assert slow.verified == 2
    assert argon2.extract_parameters(passwords._nobodys_hash) == argon2.extract_parameters(hashed)


async def test_the_queue_is_bounded(passwords: Passwords) -> None:
    """Beyond the threads and the queue a password is refused at once, and accepted when there is room again."""
    hashed = await passwords.hash(PASSWORD)
    slow = Slow(passwords)
    waiting = [asyncio.create_task(passwords.verify(hashed, PASSWORD)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(errors.HashingBusyError) as caught:
        await passwords.verify(hashed, PASSWORD)
    assert caught.value.retry_after_seconds >= 1
    slow.go.set()
    assert await asyncio.gather(*waiting) == [True, True, True]
    assert await passwords.verify(hashed, PASSWORD)


async def test_callers_who_leave_free_nothing_early(passwords: Passwords) -> None:
    """A cancelled caller's hash still counts while its thread works on it; one that only waited is dropped."""
    hashed = await passwords.hash(PASSWORD)
    slow = Slow(passwords)
    waiting = [asyncio.create_task(passwords.verify(hashed, PASSWORD)) for _ in range(3)]
    assert await asyncio.to_thread(slow.began.wait, 10)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    again = [asyncio.create_task(passwords.verify(hashed, PASSWORD)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(errors.HashingBusyError):
        await passwords.verify(hashed, PASSWORD)
    slow.go.set()
    assert await asyncio.gather(*again) == [True, True]
    assert slow.verified == 3


async def test_outdated_hashes_are_told(passwords: Passwords) -> None:
    """A hash made with weaker parameters verifies, and is known as outdated."""
    stronger = Passwords(1, 0, memory_kib=16, time_cost=1)
    hashed: Any = await passwords.hash(PASSWORD)
    assert await stronger.verify(hashed, PASSWORD)
    assert stronger.is_outdated(hashed)
    assert not passwords.is_outdated(hashed)
    await stronger.close()
