"""One client behind a socket: who it is, which rooms it listens to and how far it has heard each of them."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from directory.sessions import Viewer
from ids import RoomId, UserId
from router.gateway import closing
from router.gateway.closing import Close
from router.gateway.frames import Ref
from router.gateway.sockets import Socket

log = logging.getLogger(__name__)

LIVE = -1
"""The place of a connection that hears a room's events as they come."""


@dataclass(slots=True, eq=False)
class Connection:
    """A client. `places` has the last event number that it was told of in each room that it listens to; LIVE once it
    hears everything as it comes."""

    socket: Socket
    peer: str
    opened_at: float
    heard_at: float
    """When anything last came, as `opened_at` on the loop's clock."""
    frames_left: float
    """What is left in the bucket of incoming frames, as of `heard_at`."""
    viewer: Viewer | None = None
    is_identifying: bool = False
    is_ready: bool = False
    """Whether it was told which rooms it hears."""
    places: dict[RoomId, int] = field(default_factory=dict)
    left: set[RoomId] = field(default_factory=set)
    """Rooms that its person is not in any more."""
    muted: set[RoomId] = field(default_factory=set)
    """Rooms that the client does not want to hear."""
    came: dict[RoomId, int] = field(default_factory=dict)
    """Rooms that it came into before it was ready, and their places."""
    waiting: "deque[tuple[str, Ref, Any, int]]" = field(default_factory=deque)
    """What came while an earlier request had to wait, each with the length of its frame; done in order."""
    waiting_bytes: int = 0
    pending: int = 0
    """Requests that are being done."""
    is_held: bool = False
    """Whether what is being done must be finished before anything else is begun."""
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    drained: "asyncio.Future[None] | None" = None

    @property
    def user_id(self) -> UserId:
        assert self.viewer is not None, "only who has identified gets here"
        return self.viewer.user_id

    @property
    def token_hash(self) -> bytes | None:
        """What is known of the token that it identified with."""
        return None if self.viewer is None else self.viewer.token_hash

    def is_gone(self) -> bool:
        """Tell whether nobody is there any more."""
        return not self.socket.is_open

    def write(self, frame: bytes) -> None:
        """Send a frame; one that does not go out waits, within bounds."""
        self.socket.write(frame)

    def close(self, close: Close) -> None:
        """End the connection and say why."""
        self.socket.close(close)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for this client alone; it ends with the connection."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error in a connection", exc_info=error)
            self.close(closing.UNEXPECTED)

    async def drain(self) -> None:
        """Wait until the client has read what was written; returns at once if it has, or is gone."""
        if self.socket.is_paused and self.socket.is_open:
            if self.drained is None:
                self.drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self.drained)

    def release(self) -> None:
        """Let those go on who wait for the client to read."""
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
