"""Broadcast of a room's commits to its live subscribers, in order, each with the events that are visible to it at that
moment.

Visibility is read from the shard. A commit that changes it holds the broadcast, so that nothing is sent before it was
read again: a subscriber that loses access receives nothing of that commit or of later ones.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from ids import RoomId, UserId
from router.gateway import frames
from router.gateway.audience_cache import AudienceCache
from router.gateway.connection import Connection
from router.gateway.event_buffer import EventBuffer, is_contiguous
from router.gateway.frames import Rendered
from router.gateway.metrics import GatewayMetrics
from router.gateway.subscribers import Subscribers
from router.gateway.subscription import Live
from shard.errors import ShardError
from shard.event_types import CHANGES_SIGHT_OF_NOBODY, CHANGES_SIGHT_OF_ONE_MEMBER, EventType
from shard.rows import Event
from shard.visibility import Audience

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Pause before a shard that failed is read again."""


class State(Enum):
    """State of a broadcast, which decides when a commit is sent.

    UNREAD ── open_at ──▶ OPEN ◀── _send_held ── HELD
                            └────── _hold ───────▶
    """

    UNREAD = "unread"
    """The end of the log is not known yet: no subscriber is live."""
    OPEN = "open"
    """The live ones have everything up to the end of the log: a commit is sent as it is published."""
    HELD = "held"
    """Commits wait until the audience of every live subscriber is read again; a task sends them."""


class Broadcast:
    """Broadcast to the live ones. Lives on the event loop; only `wait_until_open` waits for anything."""

    def __init__(
        self,
        room_id: RoomId,
        subscribers: Subscribers,
        audiences: AudienceCache,
        buffer: EventBuffer,
        metrics: GatewayMetrics,
    ) -> None:
        self._room_id = room_id
        self._subscribers = subscribers
        self._audiences = audiences
        self._buffer = buffer
        self._metrics = metrics
        self._seq: int | None = None
        self._sending_held: asyncio.Task[None] | None = None
        self.visibility_changed_at = 0
        """Number of the last event that changed a subscriber's visibility."""

    @property
    def state(self) -> State:
        """State of the broadcast: it follows from `_seq` and the task that sends what is held."""
        if self._seq is None:
            return State.UNREAD
        return State.OPEN if self._sending_held is None else State.HELD

    @property
    def seq(self) -> int:
        """Number of the last event that the live ones were sent; undefined before the log was read."""
        assert self._seq is not None, "an unread broadcast has sent nothing"
        return self._seq

    def open_at(self, seq: int) -> None:
        """Begin at the end of the log."""
        assert self.state is State.UNREAD
        self._seq = self._buffer.last = seq

    def _hold(self) -> None:
        assert self.state is not State.UNREAD
        if self._sending_held is None:
            self._sending_held = asyncio.ensure_future(self._send_held())

    async def _send_held(self) -> None:
        """Bring the live ones to the end of the log, each with the events that are visible to it now; then open."""
        try:
            while await self._step():
                pass
            assert self._seq == self._buffer.last, "an open broadcast is at the end of the log"
        finally:
            self._sending_held = None
            self._forget_revoked()

    def _forget_revoked(self) -> None:
        """Bring the connections that lost channels together with all others of their audience."""
        for group in [group for group in self._subscribers.groups if group.state.revoked]:
            group.flush_skipped(self._room_id, self.seq)
            for connection in list(group.members):
                self._subscribers.make_live(connection, Live(group.state.audience))

    async def wait_until_open(self) -> None:
        """Wait while the broadcast is held."""
        if self._sending_held is not None:
            await asyncio.wait([self._sending_held])

    def close(self) -> None:
        """Send nothing more of what is held."""
        if self._sending_held is not None:
            self._sending_held.cancel()

    def publish(self, events: Sequence[Event]) -> None:
        """Send a commit, at once unless the broadcast is held or the commit changes a subscriber's visibility."""
        if self._seq is None:
            self.open_at(events[0].seq - 1)
        new = [event for event in events if event.seq > self._buffer.last]
        if new and new[0].seq - 1 != self._buffer.last:
            self._doubt(new[0].seq - 1)
        # Those that the log was found to have already can still be newer than an audience that was read before.
        changes_visibility = self._invalidate(events)
        if changes_visibility:
            self.visibility_changed_at = events[-1].seq
        rendered = self._buffer.add(new) if new else []
        if changes_visibility or self._sending_held is not None or (new and new[0].seq - 1 != self._seq):
            self._hold()
        elif new:
            self._send(rendered)

    def extend(self, last_seq: int) -> None:
        """Send what the log has up to a number and was not published."""
        if self._seq is None:
            self._audiences.invalidate_all()
        elif last_seq > self._buffer.last:
            self._doubt(last_seq)
            self._buffer.last = last_seq
            self._hold()

    def _doubt(self, last_seq: int) -> None:
        """Read again whatever events that were not published may have changed: visibility, and words that are gone."""
        self._audiences.invalidate_all()
        self._buffer.invalidate()
        self.visibility_changed_at = last_seq

    def join(self, connection: Connection, audience: Audience) -> None:
        """Make a connection live that has everything up to `seq`."""
        assert self.state is State.OPEN
        self._subscribers.make_live(connection, Live(audience))

    def flush_skipped(self) -> None:
        """Send the spans of hidden events that are held back."""
        if self.state is State.OPEN:
            for group in self._subscribers.groups:
                group.flush_skipped(self._room_id, self.seq)

    def _send(self, rendered: Sequence[Rendered]) -> None:
        self._seq = rendered[-1].seq
        delivered = 0
        for group in self._subscribers.groups:
            delivered += group.publish(self._room_id, rendered) * len(group.members)
        self._metrics.published(rendered, delivered)

    def _invalidate(self, events: Iterable[Event]) -> bool:
        """Forget the audiences that some events change, and return whether a subscriber's is among them."""
        changes_visibility = False
        for event in events:
            if event.type in CHANGES_SIGHT_OF_ONE_MEMBER:
                user_id = UserId(int((event.payload or {}).get("user_id") or event.actor_id or 0))
                self._audiences.invalidate(user_id)
                changes_visibility |= user_id in self._subscribers.users
            elif event.type not in CHANGES_SIGHT_OF_NOBODY:
                self._audiences.invalidate_all()
                changes_visibility = True
        return changes_visibility

    async def _step(self) -> bool:
        """Do the next step while the broadcast is held, and return whether there are more."""
        try:
            if unknown := self._unknown():
                await self._regroup(unknown)
            elif self.seq == self._buffer.last:
                return False
            else:
                rendered = await self._buffer.next_events(self.seq)
                if not self._unknown():
                    self._send_block(rendered)
        except ShardError as error:
            log.warning("live subscribers wait for a room", extra={"room_id": self._room_id, "reason": str(error)})
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:  # the log is the truth: the step is repeated
            log.exception("a commit could not be sent", extra={"room_id": self._room_id})
            await asyncio.sleep(RETRY_SECONDS)
        return True

    def _send_block(self, rendered: Sequence[Rendered]) -> None:
        if not is_contiguous(rendered, self.seq):
            # The log no longer has the events that the live ones need, or never had them in this branch.
            watch, before = self._audiences.last, self.seq
            reason = "restored" if watch is not None and before < watch.branch_seq - 1 else "too_old"
            self._seq = self._buffer.last
            for group in self._subscribers.groups:
                group.write(frames.resync(self._room_id, self.seq, reason))
            return
        self._send(rendered)
        if any(one.type == EventType.ROOM_DELETED for one in rendered):
            for user_id in list(self._subscribers.users):
                self._subscribers.remove_user(user_id, "room_deleted")

    def _unknown(self) -> set[UserId]:
        """Return the users with a live connection whose audience is not known."""
        return {user_id for user_id in self._subscribers.live_users() if self._audiences.get(user_id) is None}

    async def _regroup(self, unknown: set[UserId]) -> None:
        """Read the audiences of some users, and move every live connection to the group of its audience."""
        watch = await self._audiences.refresh(unknown)
        if watch is None:
            return
        for group in self._subscribers.groups:
            group.flush_skipped(self._room_id, self.seq)
        members = [(connection, group.state) for group in self._subscribers.groups for connection in group.members]
        for connection, state in members:
            before = state.audience
            # An audience that changed since this read is read again.
            now = self._audiences.get(connection.user_id) or before
            if now == before:
                continue
            self._subscribers.make_live(connection, Live(now, state.revoked | (before.seen - now.seen)))
            if before.seen != now.seen:
                connection.write(frames.channels(self._room_id, now.seen))
        for user_id in unknown - watch.audiences.keys():
            self._subscribers.remove_user(user_id, "not_a_member")
