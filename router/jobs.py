"""Interface between the operator's endpoints and the monitor's jobs; the composition root passes it in."""

from collections.abc import Collection
from typing import Protocol

from directory.client_info import ClientInfo
from directory.runs import Run
from ids import RoomId, UserId


class Jobs(Protocol):
    """Starter and canceller of jobs on rooms; a job continues in the background."""

    @property
    def kinds(self) -> Collection[str]:
        """Known kinds of jobs."""

    async def start(self, kind: str, room_id: RoomId, *, by: UserId | None, client: ClientInfo) -> Run:
        """Start a job of a known kind; raises RoomNotFoundError, RunningAlreadyError and TooManyRunsError."""

    async def cancel(self, run_id: int) -> Run:
        """Cancel a job, so that it ends before its next step, and return its current state; raises RunNotFoundError."""


class Quarantine(Protocol):
    """Release of rooms from quarantine."""

    async def release(self, room_id: RoomId, *, force: bool, by: UserId | None, client: ClientInfo) -> "Seen | None":
        """Release a room if its shard is sound, or with `force`; return the result of the inspection, None with
        `force`."""


class Seen(Protocol):
    """Result of the inspection of a shard: with problems, the room stays in quarantine."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Problems found; empty if the shard is sound."""
