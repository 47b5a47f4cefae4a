"""Guesses at passwords: how many one account takes, and a log line for each that fails.

An address has few sign-ins already (the limit `credentials`); these limits are for guesses at one account from many
addresses. They count by the name that was typed, whether or not somebody has it, so they tell nothing about that.
Nobody is locked out: while the guesses of others have used up a name's sign-ins, the right password works from an
address where that account was used before, and with one of its sessions; all others hear the same 429 as a wrong one.
"""

import logging
import time
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from directory.errors import BadCredentialsError
from directory.sessions import Viewer
from ids import UserId
from router.errors import TooManyRequestsError
from router.rate_limits import Buckets, Rate, network_of

log = logging.getLogger(__name__)

FAILED: Final = "failed sign-in"
"""Message of the log line. It and its fields never change: filters of operators read them."""
USERNAME_SHOWN_MAX: Final = 64
"""Characters of a typed username that the log line has; the rest is cut."""
NAME_RATE: Final = Rate(1 / 60, 20)
"""Failed sign-ins with one name from all addresses; successful ones are free."""
PLACE_RATE: Final = Rate(1 / 30, 10)
"""Failed sign-ins with one name from one address, and wrong passwords given by one signed-in user.

A burst below that of NAME_RATE: what one address hears is the same for every name."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that is under way. `wait_seconds` is 0, or the time until the name takes a guess from anywhere."""

    network: str
    viewer: Viewer | None
    prefix_length: int
    wait_seconds: int = 0

    def admits(self, user_id: UserId | None, addresses: Collection[str]) -> bool:
        """Tell whether the right password is accepted now, given where the account was used before."""
        if not self.wait_seconds:
            return True
        knows_session = self.viewer is not None and self.viewer.user_id == user_id
        return knows_session or any(network_of(each, self.prefix_length) == self.network for each in addresses)


class SignIns:
    """The limits on guesses, by name and by place."""

    def __init__(self, ipv6_prefix_length: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefix_length = ipv6_prefix_length
        self._clock = clock
        self._names = Buckets("name", NAME_RATE)
        self._places = Buckets("place", PLACE_RATE)

    @contextmanager
    def attempt(self, name: str, address: str, network: str, viewer: Viewer | None) -> Iterator[Attempt]:
        """Count one sign-in while the block lasts, unless it succeeds; raises TooManyRequestsError.

        In the block BadCredentialsError means that it failed.
        """
        # As NOCASE of SQLite folds names, and further: no spelling of a name has guesses of its own.
        key = name.lower()
        with self._guess(self._places, (key, network), name, address):
            wait_seconds = 0
            try:
                self._names.take(key, self._clock())
            except TooManyRequestsError as error:
                wait_seconds = error.retry_after_seconds
            try:
                yield Attempt(network, viewer, self._prefix_length, wait_seconds)
            except BadCredentialsError:
                if wait_seconds:
                    raise TooManyRequestsError(wait_seconds) from None
                raise
            except BaseException:
                self._give_back(wait_seconds, key)
                raise
            self._give_back(wait_seconds, key)

    def _give_back(self, wait_seconds: int, key: Hashable) -> None:
        if not wait_seconds:
            self._names.give_back(key)

    @contextmanager
    def confirmation(self, viewer: Viewer, address: str) -> Iterator[None]:
        """Count one password that a signed-in user gives once more, unless it is right; raises TooManyRequestsError."""
        with self._guess(self._places, viewer.user_id, viewer.username, address):
            yield

    @contextmanager
    def _guess(self, buckets: Buckets, key: Hashable, name: str, address: str) -> Iterator[None]:
        """Take a token, and give it back unless the guess fails; a failure has its line in the log."""
        try:
            buckets.take(key, self._clock())
            yield
        except (BadCredentialsError, TooManyRequestsError):
            log.warning(FAILED, extra={"address": address, "username": _shown(name)})
            raise
        except BaseException:
            buckets.give_back(key)
            raise
        buckets.give_back(key)


def _shown(name: str) -> str:
    """Return a typed name for the log: cut, and without characters that are no text."""
    cut = name[:USERNAME_SHOWN_MAX]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)
