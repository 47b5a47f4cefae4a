"""What the operator's endpoints need of whoever does the work; the composition root passes it in."""

from collections.abc import Collection
from typing import Protocol

from directory.origins import Origin
from directory.runs import Run
from ids import RoomId, UserId


class Jobs(Protocol):
    """Begins jobs upon rooms, which go on by themselves, and cancels them."""

    @property
    def kinds(self) -> Collection[str]:
        """The kinds of jobs that there are."""

    async def start(self, kind: str, room_id: RoomId, *, by: UserId | None, origin: Origin) -> Run:
        """Begin a job of one of the kinds; raises RoomNotFoundError, RunningAlreadyError and TooManyRunsError."""

    async def cancel(self, run_id: int) -> Run:
        """Have a job end before its next step, and return it as it is then; raises RunNotFoundError."""


class Quarantine(Protocol):
    """Lets rooms out of quarantine."""

    async def release(self, room_id: RoomId, *, force: bool, by: UserId | None, origin: Origin) -> "Seen | None":
        """Let everybody into a room again if it is sound, or with `force`; return what was seen, None for `force`."""


class Seen(Protocol):
    """What looking a shard through showed: with problems, it is as closed as it was."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, nothing when it is sound."""
