"""Live room: the subscriptions to one room, from idle through the backfill to the broadcast of its commits.

A subscription begins idle, at a position in the log; the first commit wakes it. It then catches up to the live ones and
joins them.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence

from ids import ChannelId, RoomId, UserId
from router.gateway import broadcast
from router.gateway.audience_cache import AudienceCache
from router.gateway.backfill import Backfill
from router.gateway.broadcast import Broadcast
from router.gateway.connection import Connection
from router.gateway.event_buffer import BlockCache, EventBuffer
from router.gateway.metrics import GatewayMetrics
from router.gateway.subscribers import Subscribers
from router.gateway.subscription import CatchingUp, Idle, Live
from shard.actions import gateway
from shard.engine.pool import ShardPool
from shard.errors import ShardError
from shard.rows import Event

log = logging.getLogger(__name__)


class LiveRoom:
    """Room and its subscribers. Lives on the event loop; only `resume` and `send_ephemeral` wait for anything."""

    def __init__(self, room_id: RoomId, pool: ShardPool, cache: BlockCache, metrics: GatewayMetrics) -> None:
        self.room_id = room_id
        self._metrics = metrics
        self._audiences = AudienceCache(lambda user_ids: pool.read(room_id, gateway.watch, user_ids))
        self._subscribers = Subscribers(room_id, self._audiences)
        buffer = EventBuffer(room_id, cache, lambda after, until: pool.read(room_id, gateway.replay, after, until))
        self._broadcast = Broadcast(room_id, self._subscribers, self._audiences, buffer, metrics)
        self._backfill = Backfill(room_id, self._subscribers, self._audiences, buffer, cache, self._broadcast)
        self._reconciliations: set[asyncio.Task[None]] = set()

    @property
    def is_empty(self) -> bool:
        """Flag: the room has no subscriber."""
        return not self._subscribers.users

    def users(self) -> Collection[UserId]:
        """Return the users with a subscribed connection."""
        return self._subscribers.users

    def connections_of(self, user_id: UserId) -> Collection[Connection]:
        """Return the subscribed connections of a user."""
        return self._subscribers.of_user(user_id)

    def subscribe(self, connection: Connection, position: int, *, is_idle: bool = True) -> None:
        """Subscribe a connection to the events after a position: idle until the next commit, or about to `resume`."""
        self._subscribers.add(connection, Idle(position) if is_idle else CatchingUp(position))

    def unsubscribe(self, connection: Connection) -> None:
        """Unsubscribe a connection."""
        self._subscribers.remove(connection)

    def remove_user(self, user_id: UserId, reason: str) -> None:
        """Unsubscribe the connections of a user who is no longer a member, for a reason that `removed` will have."""
        self._subscribers.remove_user(user_id, reason)

    def publish(self, events: Sequence[Event]) -> None:
        """Send a commit to the live subscribers and wake the idle ones."""
        self._broadcast.publish(events)
        self._wake(events[0].seq - 1)

    def _wake(self, history_until: int) -> None:
        """Have the idle ones catch up; events up to `history_until` are history to them."""
        for connection in list(self._subscribers.idle):
            state = self._subscribers.wake(connection, history_until)
            connection.start(self._backfill.run_with_retries(connection, state))

    def catch_up(self, connection: Connection) -> None:
        """Have an idle connection receive what the log has after its position, as live events."""
        state = connection.subscriptions.get(self.room_id)
        if isinstance(state, Idle):
            woken = self._subscribers.wake(connection, state.position)
            connection.start(self._backfill.run_with_retries(connection, woken))

    async def resume(self, connection: Connection) -> None:
        """Bring a connection from its position to the live ones, and send `resumed` then; if the shard fails, this
        continues in the background."""
        state = connection.subscriptions.get(self.room_id)
        if state is None or isinstance(state, Live):
            return
        if isinstance(state, Idle):
            state = self._subscribers.wake(connection, state.position)
        state.announces, position = True, state.position
        try:
            await self._backfill.run(connection, state)
        except ShardError:
            connection.start(self._backfill.run_with_retries(connection, state))
        else:
            self._metrics.resumed(max(0, state.position - position - state.passed_over))

    async def send_ephemeral(self, frame: bytes, channel_id: ChannelId, *, except_user_id: UserId) -> None:
        """Send a frame that is not stored to all users who can see a channel but one, including the idle ones.

        Raises what reading the shard raises.
        """
        idle = {connection.user_id for connection in self._subscribers.idle}
        unknown = {user_id for user_id in idle if self._audiences.get(user_id) is None}
        if unknown:
            await self._audiences.refresh(unknown)
        for user_id in self._subscribers.users:
            audience = self._audiences.get(user_id)
            if user_id != except_user_id and audience is not None and channel_id in audience.seen:
                for connection in self._subscribers.of_user(user_id):
                    connection.write(frame)

    def flush_skipped(self) -> None:
        """Send the live ones the spans of hidden events that are held back."""
        self._broadcast.flush_skipped()

    def reconcile(self) -> None:
        """Read the end of the log as soon as it can be read: it may have what was never published.

        Until then no audience that was read before is relied on.
        """
        self._audiences.invalidate_all()
        task = asyncio.ensure_future(self._reconcile())
        self._reconciliations.add(task)
        task.add_done_callback(self._reconciliations.discard)

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(broadcast.RETRY_SECONDS)
            try:
                watch = await self._audiences.refresh(())
            except ShardError as error:
                log.info("a room cannot be reconciled yet", extra={"room_id": self.room_id, "reason": str(error)})
            else:
                if watch is not None:
                    self._broadcast.extend(watch.last_seq)
                    self._wake(0)
                    return

    def close(self) -> None:
        """Cancel the tasks under way; nothing more is sent."""
        self._broadcast.close()
        for task in self._reconciliations:
            task.cancel()
