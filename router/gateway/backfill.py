"""Backfill of one subscriber after another: what it missed, in blocks of the log, until it is live.

A block is rendered and framed once for all with the same audience and position.
"""

import asyncio
import logging
from typing import Final

from ids import RoomId, UserId
from router.gateway import broadcast, frames
from router.gateway.audience_cache import AudienceCache
from router.gateway.audience_group import split, visible_to
from router.gateway.broadcast import Broadcast, State
from router.gateway.connection import Connection
from router.gateway.event_buffer import BlockCache, EventBuffer, is_contiguous
from router.gateway.subscribers import Subscribers
from router.gateway.subscription import CatchingUp
from shard.errors import ShardError
from shard.visibility import Audience

log = logging.getLogger(__name__)

REPLAY_EVENTS_MAX: Final = 100_000
"""Events of one room that are replayed to a client; one that missed more reads the history instead.

Beyond it `resync`.
"""


class Backfill:
    """Backfill of connections from their positions to the broadcast: no event twice, none left out."""

    def __init__(
        self,
        room_id: RoomId,
        subscribers: Subscribers,
        audiences: AudienceCache,
        buffer: EventBuffer,
        cache: BlockCache,
        live: Broadcast,
    ) -> None:
        self._room_id = room_id
        self._subscribers = subscribers
        self._audiences = audiences
        self._buffer = buffer
        self._cache = cache
        self._live = live

    async def run_with_retries(self, connection: Connection, state: CatchingUp) -> None:
        """Bring a connection to the live ones, and retry whenever the shard fails meanwhile."""
        while True:
            try:
                return await self.run(connection, state)
            except ShardError as error:
                log.info("a subscriber waits for a room", extra={"room_id": self._room_id, "reason": str(error)})
                await asyncio.sleep(broadcast.RETRY_SECONDS)

    async def run(self, connection: Connection, state: CatchingUp) -> None:
        """Send a connection the events that it missed and that are visible to it now; then have it join the live ones.

        It ends early when the subscription ends. Raises what reading the shard raises; the state keeps its position, so
        that it can be run again.
        """
        while self._subscribers.has(connection, state):
            audience, stands = self._audiences.get(connection.user_id), self._live.state
            if audience is None or stands is State.UNREAD:
                await self._read_audience(connection.user_id)
            elif state.position < self._live.seq:
                await self._send_next(connection, state)
            elif stands is State.HELD:
                await self._live.wait_until_open()
            elif state.position == self._live.seq:
                self._join(connection, state, audience)
            else:
                await self._look_ahead(connection, state)

    def _join(self, connection: Connection, state: CatchingUp, audience: Audience) -> None:
        self._live.join(connection, audience)
        if state.announces:
            connection.write(frames.resumed(self._room_id, state.position, audience.seen))
        elif state.history_until is not None and self._live.visibility_changed_at > state.history_until:
            connection.write(frames.channels(self._room_id, audience.seen))

    async def _read_audience(self, user_id: UserId) -> None:
        """Read the audience of a user; the first result has the end of the log."""
        watch = await self._audiences.refresh([user_id])
        if watch is None:
            return
        if self._live.state is State.UNREAD:
            self._live.open_at(watch.last_seq)
        if user_id not in watch.audiences:
            self._subscribers.remove_user(user_id, "not_a_member")

    async def _look_ahead(self, connection: Connection, state: CatchingUp) -> None:
        """Check whether the log has events that were not published yet, as it does while a commit is on its way
        here."""
        watch = await self._audiences.refresh([connection.user_id])
        if watch is None:
            return
        if state.position > max(watch.last_seq, self._buffer.last):
            self._reset(connection, state, "ahead")
        else:
            self._live.extend(watch.last_seq)

    def _reset(self, connection: Connection, state: CatchingUp, reason: str) -> None:
        """Have a client read the history instead, and continue at the position of the live ones."""
        if self._subscribers.has(connection, state):
            state.passed_over += self._live.seq - state.position
            state.position = self._live.seq
            connection.write(frames.resync(self._room_id, state.position, reason))

    async def _send_next(self, connection: Connection, state: CatchingUp) -> None:
        """Send the events that follow the position, once the client has read what it was sent before."""
        watch = self._audiences.last
        assert watch is not None, "an audience is known from a watch"
        if state.position + 1 < watch.first_seq or self._buffer.last - state.position > REPLAY_EVENTS_MAX:
            self._reset(connection, state, "restored" if state.position < watch.branch_seq - 1 else "too_old")
            return
        await connection.drain()
        history_until = self._buffer.last if state.history_until is None else state.history_until
        # Events since the client subscribed are no history: they do not wait.
        async with self._cache.throttle.slot(gives_way=state.position < history_until):
            await self._send_block(connection, state)

    async def _send_block(self, connection: Connection, state: CatchingUp) -> None:
        position = state.position
        rendered = await self._buffer.next_events(position)
        audience = self._audiences.get(connection.user_id)
        if audience is None or not self._subscribers.has(connection, state) or state.position != position:
            return
        if state.history_until is None:
            state.history_until = self._buffer.last
        history_until, channels = state.history_until, audience.seen
        if position < history_until and audience.seen != audience.read:
            channels = audience.read
            rendered = [one for one in rendered if one.seq <= history_until]
        if not is_contiguous(rendered, position):
            self._reset(connection, state, "too_old")
            return
        last = rendered[-1].seq

        def make() -> bytes:
            return frames.events(self._room_id, *split(rendered, visible_to(audience, channels)))

        key = (self._room_id, self._buffer.edition, position, last, audience, channels)
        connection.write(self._cache.frames(key, make))
        state.position = last
