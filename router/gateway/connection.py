"""Connection of one client: its session, its subscriptions, the memberships that it was told of, and its waiting
requests."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from directory.sessions import Viewer
from ids import RoomId, UserId
from router.gateway import close_codes, frames
from router.gateway.close_codes import Close
from router.gateway.frames import Ref
from router.gateway.subscription import Subscription
from router.gateway.websocket import Socket

log = logging.getLogger(__name__)

REMOVAL_SECONDS: Final = 5.0
"""Time for which `removed` waits until the directory no longer lists the room; after a failed request it may list it
until the request is repeated."""


@dataclass(slots=True, eq=False)
class Connection:
    """Connection of a client, from its handshake to its end."""

    socket: Socket
    peer: str
    opened_at: float
    received_at: float
    """Time of the last frame, as `opened_at` on the loop's clock."""
    frames_left: float
    """Rest of the bucket of incoming frames, as of `received_at`."""
    viewer: Viewer | None = None
    is_identifying: bool = False
    is_ready: bool = False
    """Flag: `ready` was sent."""
    subscriptions: dict[RoomId, Subscription] = field(default_factory=dict)
    """State of each subscription; each room's `Subscribers` changes its own."""
    left_rooms: set[RoomId] = field(default_factory=set)
    """Rooms that the directory has listed for its user no longer since it connected."""
    removals: dict[RoomId, tuple[str, float]] = field(default_factory=dict)
    """Rooms whose events ended and that the directory still lists: reason, and time on the loop's clock."""
    unsubscribed: set[RoomId] = field(default_factory=set)
    """Rooms that the client unsubscribed from."""
    joined_rooms: dict[RoomId, int] = field(default_factory=dict)
    """Rooms that its user joined and that it was not told of yet, each with the position to subscribe at."""
    notices: list[bytes] = field(default_factory=list)
    """Frames that wait for `ready`."""
    waiting: "deque[tuple[str, Ref, Any, int]]" = field(default_factory=deque)
    """Requests that wait for earlier ones, each with the length of its frame; begun in order."""
    waiting_bytes: int = 0
    pending: int = 0
    """Requests under way."""
    is_blocked: bool = False
    """Flag: a request under way must be finished before the next is begun."""
    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    drained: "asyncio.Future[None] | None" = None

    @property
    def user_id(self) -> UserId:
        assert self.viewer is not None, "only identified connections have a user"
        return self.viewer.user_id

    @property
    def token_hash(self) -> bytes | None:
        """Hash of the token that it identified with."""
        return None if self.viewer is None else self.viewer.token_hash

    def is_closed(self) -> bool:
        """Tell whether the socket is closed."""
        return not self.socket.is_open

    def write(self, frame: bytes) -> None:
        """Send a frame; one that cannot be sent now waits, within limits."""
        self.socket.write(frame)

    def notify(self, frame: bytes) -> None:
        """Send a frame about the user's own state; one that comes before `ready` follows it."""
        if self.is_ready:
            self.write(frame)
        else:
            self.notices.append(frame)

    def become_ready(self, ready: bytes) -> None:
        """Send `ready`, and what waited for it."""
        self.socket.write_whole(ready)
        self.is_ready = True
        for frame in self.notices:
            self.write(frame)
        self.notices.clear()

    def remove(self, room_id: RoomId, reason: str) -> None:
        """Send `removed` for a room whose events ended, once the directory no longer lists it."""
        self.removals[room_id] = (reason, asyncio.get_running_loop().time())
        if room_id in self.left_rooms:
            self.send_removed(room_id)

    def send_removed(self, room_id: RoomId) -> None:
        """Send `removed` for a room if it waits to be sent."""
        if (removal := self.removals.pop(room_id, None)) is not None:
            self.write(frames.removed(room_id, removal[0]))

    def send_overdue_removals(self, now: float) -> None:
        """Send every `removed` that waited for REMOVAL_SECONDS."""
        for room_id in [room_id for room_id, (_, since) in self.removals.items() if now - since >= REMOVAL_SECONDS]:
            self.send_removed(room_id)

    def close(self, close: Close) -> None:
        """Close the connection with a close code."""
        self.socket.close(close)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task for this client alone; it is cancelled with the connection."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unexpected error in a connection", exc_info=error)
            self.close(close_codes.UNEXPECTED)

    async def drain(self) -> None:
        """Wait until the client has read everything written; returns at once if it has, or is disconnected."""
        if self.socket.is_paused and self.socket.is_open:
            if self.drained is None:
                self.drained = asyncio.get_running_loop().create_future()
            await asyncio.shield(self.drained)

    def release(self) -> None:
        """End every `drain` that waits."""
        drained, self.drained = self.drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
