"""Rows of `credentials`, and the hashing of passwords: slow by design, so bounded, off the event loop, and equally
slow for people who do not exist.

Argon2id at the OWASP floor (OWASP Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane). Lengths, not composition
rules, as NIST SP 800-63B section 5.1.1.2 asks.
"""

import asyncio
import base64
import secrets
import threading
import unicodedata
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import argon2

import ids
from directory import errors
from directory.database import Reader, Writer

T = TypeVar("T")

MEMORY_KIB: Final = 19_456
"""Memory of one password hash, as OWASP recommends for Argon2id."""
TIME_COST: Final = 2
PARALLELISM: Final = 1
CHARS_MIN: Final = 10
"""Characters of a password. Below it 422."""
CHARS_MAX: Final = 256
"""Characters of a password. Beyond it 422, so that nobody sends megabytes to be hashed."""


class Passwords:
    """Hashes and verifies on `threads` threads, with at most `queue_max` passwords waiting for one."""

    def __init__(
        self,
        threads: int,
        queue_max: int,
        *,
        memory_kib: int = MEMORY_KIB,
        time_cost: int = TIME_COST,
        parallelism: int = PARALLELISM,
    ) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._nobodys_hash = _unmatched(self._hasher)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._pending_max = threads + queue_max
        self._pending = 0
        self._lock = threading.Lock()

    async def hash(self, password: str) -> str:
        """Return the encoded hash of a new password; raises BadPasswordError and HashingBusyError."""
        if len(password) > CHARS_MAX or len(_normal(password)) < CHARS_MIN:
            raise errors.BadPasswordError(CHARS_MIN, CHARS_MAX)
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """Return the hash of a password that was accepted before, without checking today's rules."""
        return await self._run(lambda: self._hasher.hash(_encoded(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Return whether a password is right. None stands for an unknown user: never right, and as slow as a known one.

        Raises HashingBusyError.
        """
        matches = await self._run(
            lambda: self._matches(password_hash or self._nobodys_hash, _encoded(password[:CHARS_MAX]))
        )
        return matches and password_hash is not None and len(password) <= CHARS_MAX

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        with self._lock:
            if self._pending >= self._pending_max:
                raise errors.HashingBusyError
            self._pending += 1
        try:
            future = self._threads.submit(work)
        except BaseException:
            self._forget()
            raise
        # Counted until the thread is free: a cancelled caller does not make the hash any cheaper.
        future.add_done_callback(self._forget)
        return await asyncio.wrap_future(future)

    def _forget(self, _future: Future[T] | None = None) -> None:
        with self._lock:
            self._pending -= 1

    async def close(self) -> None:
        """Finish the hashes under way, drop the waiting ones, and end the threads."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


def _unmatched(hasher: argon2.PasswordHasher) -> str:
    """Return a hash that no password has, as slow to verify as any of the hasher's.

    It is made up, since to compute one delayed every start, and every command, by 28 ms and 19 MiB.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${cost}${salt}${digest}"


def _normal(password: str) -> str:
    """Return a password in its one normal form, the same from every keyboard (NIST SP 800-63B: NFKC or NFKD)."""
    return unicodedata.normalize("NFKC", password)


def _encoded(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")


Admits = Callable[[ids.UserId | None, Collection[str]], bool]
"""Returns whether a user, None for an unknown one, may sign in now; given the addresses from which the account was used
before."""


@dataclass(frozen=True, slots=True)
class Login:
    """The facts that decide a login. Deleted users have none."""

    user_id: ids.UserId
    password_hash: str
    is_suspended: bool


async def find_login(reader: Reader, name: str) -> Login | None:
    """Return the facts that decide a login, by username or e-mail address; None for unknown ones, and without a
    password."""
    if "@" in name:
        row = await reader.fetch_one(
            "SELECT u.id, c.password_hash, u.status = 'suspended' FROM users u JOIN credentials c ON c.user_id = u.id "
            "WHERE u.email = ? AND u.status <> 'deleted'",
            (name,),
        )
    else:
        row = await reader.fetch_one(
            "SELECT u.id, c.password_hash, u.status = 'suspended' FROM users u JOIN credentials c ON c.user_id = u.id "
            "WHERE u.username = ? AND u.status <> 'deleted'",
            (name,),
        )
    return None if row is None else Login(row[0], row[1], bool(row[2]))


async def find(reader: Reader, user_id: ids.UserId) -> str | None:
    """Return a user's password hash; None for users without a password."""
    row = await reader.fetch_one("SELECT password_hash FROM credentials WHERE user_id = ?", (user_id,))
    return None if row is None else str(row[0])


async def store(writer: Writer, user_id: ids.UserId, password_hash: str, *, now_ms: int) -> None:
    """Set or replace a user's password hash; raises ConstraintError for an unknown user."""
    await writer.execute(
        "INSERT INTO credentials (user_id, password_hash, changed_at) VALUES (?1, ?2, ?3) "
        "ON CONFLICT (user_id) DO UPDATE SET password_hash = ?2, changed_at = ?3",
        (user_id, password_hash, now_ms),
    )
