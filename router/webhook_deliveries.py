"""Deliveries of events to outgoing webhooks: at least once, to each webhook in the order of the log.

The log is the truth, and a webhook's `last_seq` in the shard is the last event that its receiver accepted. It advances
only after the receiver's response: however the server ends, unaccepted events are sent again. A commit only hints that
there is work; a sweep visits all rooms in turn, so a lost hint costs time and no event.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from database.errors import DatabaseError
from directory import webhooks
from directory.directory import Directory
from directory.errors import DirectoryError
from ids import RoomId
from router.outbound import Outbound, Outcome
from router.schemas import webhooks as schemas
from shard.actions import webhook_deliveries
from shard.actions.webhook_deliveries import Batch
from shard.engine.pool import ShardPool
from shard.errors import ShardError
from shard.rows import Event
from shard.tables.webhooks import Webhook

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 262_144
"""Size limit of a delivery's body; a single event is always sent whole, and is smaller."""
SKIPPED_MAX: Final = 5_000
"""Events that a webhook skips before that is stored: a restart reads them again."""
SLOW_SECONDS: Final = 2.0
"""A receiver that takes longer waits its turn among its like, so that it holds up nobody else.

32 such wait at once.
"""
SWEPT_AT_ONCE: Final = 100
"""Rooms visited between two pauses, once all were visited: a visit opens the room."""
NOTED_MS: Final = 600_000
"""Time for which skipped events may be unstored: history that the webhook may still need is not archived."""
GONE: Final = 410
KEEPER_LOST: Final = "keeper_lost"
RECEIVER_GONE: Final = "receiver_gone"
RECEIVER_FAILS: Final = "receiver_fails"


@dataclass(frozen=True, slots=True)
class Pace:
    """Schedule of retries, and the number of concurrent deliveries, counted separately for slow receivers."""

    first_retry_seconds: float = 2.0
    longest_retry_seconds: float = 3_600.0
    give_up_seconds: float = 259_200.0
    again_seconds: float = 5.0
    sweep_seconds: float = 60.0
    at_once: int = 32

    def retry_seconds(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row: doubled each time, plus or minus a quarter."""
        wait: float = min(self.longest_retry_seconds, self.first_retry_seconds * 2.0 ** min(failures - 1, 30))
        return wait * random.SystemRandom().uniform(0.75, 1.25)


def signed(webhook_id: str, secret: bytes, body: bytes, *, now_ms: int) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a receiver verifies that a body comes from this server, and detects repeats.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    sent_at = str(now_ms // 1000)
    mac = hmac.digest(secret, f"{webhook_id}.{sent_at}.".encode() + body, hashlib.sha256)
    return [
        (b"webhook-id", webhook_id.encode()),
        (b"webhook-timestamp", sent_at.encode()),
        (b"webhook-signature", b"v1," + base64.b64encode(mac)),
    ]


class Deliveries:
    """Deliveries of all rooms' webhooks. Lives on one event loop; `run` works until it is cancelled."""

    def __init__(
        self,
        directory: Directory,
        pool: ShardPool,
        outbound: Outbound,
        *,
        clock: Callable[[], int],
        pace: Pace = Pace(),
        count: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._outbound = outbound
        self._clock = clock
        self._pace = pace
        self._count = count
        self._rooms: set[RoomId] = set()
        self._scheduled: dict[RoomId, None] = {}
        self._is_scheduled = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._to_revisit: set[int] = set()
        self._positions: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._stored_at: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._slow: set[int] = set()
        self._slots = {is_slow: asyncio.Semaphore(pace.at_once) for is_slow in (False, True)}

    @property
    def backlog_seconds(self) -> float:
        """Age of the oldest event that is due for a receiver, in seconds."""
        oldest = min(self._waiting.values(), default=None)
        return 0.0 if oldest is None else max(0.0, (self._clock() - oldest) / 1000)

    def check_url(self, url: str) -> None:
        """Raise BadTargetError for a URL that no delivery may go to."""
        self._outbound.reach.check_url(url)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Note that a room has new events."""
        if room_id in self._rooms:
            self.schedule_visit(room_id)

    def watch(self, room_id: RoomId) -> None:
        """Include a room in the deliveries from now on."""
        self._rooms.add(room_id)
        self.schedule_visit(room_id)

    def schedule_visit(self, room_id: RoomId) -> None:
        """Schedule a visit of a room."""
        self._scheduled[room_id] = None
        self._is_scheduled.set()

    async def ping(self, room_id: RoomId, hook: Webhook) -> Outcome:
        """Send a webhook an event that is in no log, immediately, and return the result."""
        now_ms = self._clock()
        body = schemas.body(room_id, hook.id, [schemas.ping(hook, now_ms)])
        outcome = await self._send(hook, f"{hook.id}_ping_{now_ms}", body)
        self._count("pinged")
        return outcome

    async def run(self) -> None:
        """Deliver until cancelled."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            while True:
                await self._is_scheduled.wait()
                self._is_scheduled.clear()
                scheduled, self._scheduled = self._scheduled, {}
                for room_id in scheduled:
                    await self._visit(room_id)
        finally:
            tasks = [sweeping, *self._tasks.values()]
            for timer in self._timers.values():
                timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        """Visit every room with outgoing webhooks, again and again; the first time without pauses."""
        is_first = True
        while True:
            try:
                self._rooms |= set(rooms := await self._webhook_rooms())
                for number, room_id in enumerate(rooms, 1):
                    await self._visit(room_id)
                    if not is_first and number % SWEPT_AT_ONCE == 0:
                        await asyncio.sleep(self._pace.sweep_seconds)
                is_first = False
            except Exception:  # tried again after the pause
                log.exception("looking for rooms with webhooks failed")
            await asyncio.sleep(self._pace.sweep_seconds)

    async def _webhook_rooms(self) -> list[RoomId]:
        found: list[RoomId] = []
        while True:
            async with self._directory.database.read() as reader:
                page = await webhooks.telling_rooms(reader, after=found[-1] if found else 0)
            found += page
            if len(page) < webhooks.ROOMS_PAGE:
                return found

    async def _visit(self, room_id: RoomId) -> None:
        """Start a task for each webhook of a room that has none and is due.

        A hibernated room has no new events and is not woken for this; it is visited when it is awake again.
        """
        if self._pool.is_away(room_id):
            return
        try:
            enabled = await self._pool.read(room_id, webhook_deliveries.list_enabled)
        except Exception as error:  # whatever it is, the other rooms must not stop
            facts = {"room_id": room_id, "reason": str(error)}
            log.warning("a room's webhooks could not be read", exc_info=not isinstance(error, ShardError), extra=facts)
            self._visit_later(-room_id, room_id, self._pace.again_seconds)
            return
        now_ms = self._clock()
        for webhook_id, next_try_at in enabled:
            if webhook_id in self._tasks:
                self._to_revisit.add(webhook_id)
            elif next_try_at is None or next_try_at <= now_ms:
                self._tasks[webhook_id] = asyncio.create_task(self._deliver_all(room_id, webhook_id))
            else:
                self._visit_later(webhook_id, room_id, (next_try_at - now_ms) / 1000)

    def _visit_later(self, key: int, room_id: RoomId, seconds: float) -> None:
        """Visit a room again after some time, once for each key, and at the latest after the longest retry: a clock
        that jumps causes no longer delay."""

        def fire() -> None:
            del self._timers[key]
            self.schedule_visit(room_id)

        if key not in self._timers:
            wait = min(seconds, self._pace.longest_retry_seconds * 1.25)
            self._timers[key] = asyncio.get_running_loop().call_later(wait, fire)

    async def _deliver_all(self, room_id: RoomId, webhook_id: int) -> None:
        """Deliver to one webhook, batch after batch, until it has everything or fails."""
        try:
            while await self._deliver_batch(room_id, webhook_id):
                pass
        except (ShardError, DatabaseError, DirectoryError) as error:
            facts = {"room_id": room_id, "webhook_id": webhook_id, "reason": str(error)}
            log.warning("a webhook has to wait for its room", extra=facts)
            self._visit_later(webhook_id, room_id, self._pace.again_seconds)
        except Exception:
            log.exception("delivering to a webhook failed", extra={"room_id": room_id, "webhook_id": webhook_id})
            self._visit_later(webhook_id, room_id, self._pace.longest_retry_seconds)
        finally:
            del self._tasks[webhook_id]
            if webhook_id in self._to_revisit:
                self._to_revisit.discard(webhook_id)
                self.schedule_visit(room_id)

    async def _deliver_batch(self, room_id: RoomId, webhook_id: int) -> bool:
        """Deliver the next batch to one webhook, and return whether there may be another one now."""
        position = self._positions.get(webhook_id, 0)
        batch = await self._pool.read(
            room_id, webhook_deliveries.next_batch, webhook_id, after_seq=position, now_ms=self._clock()
        )
        if batch is None:
            self._forget(webhook_id)
            return False
        if not batch.may_tell or not await self._may_keep(batch.hook):
            await self._give_up(room_id, webhook_id, KEEPER_LOST)
            return False
        if not batch.events:
            await self._pass_over(room_id, batch)
            return not batch.is_last
        self._waiting.setdefault(webhook_id, batch.events[0].created_at)
        body, reached = schemas.bounded(room_id, batch, BODY_BYTES_MAX)
        name = f"{webhook_id}_{batch.events[0].seq}_{reached}"
        return await self._record_outcome(room_id, batch.hook, reached, await self._send(batch.hook, name, body))

    async def _may_keep(self, hook: Webhook) -> bool:
        assert hook.keeper_id is not None
        async with self._directory.database.read() as reader:
            return await webhooks.may_keep(reader, hook.keeper_id, now_ms=self._clock())

    async def _pass_over(self, room_id: RoomId, batch: Batch) -> None:
        self._positions[batch.hook.id] = batch.reached
        self._waiting.pop(batch.hook.id, None)
        passed, now_ms = batch.reached - batch.hook.last_seq, self._clock()
        is_due = abs(now_ms - self._stored_at.get(batch.hook.id, 0)) >= NOTED_MS
        if passed >= SKIPPED_MAX or (passed and is_due):
            await self._pool.write(room_id, webhook_deliveries.note_passed, batch.hook.id, batch.reached)
            self._stored_at[batch.hook.id] = now_ms

    async def _send(self, hook: Webhook, name: str, body: bytes) -> Outcome:
        assert hook.url is not None
        assert hook.secret is not None
        async with self._slots[hook.id in self._slow]:
            headers = signed(name, hook.secret, body, now_ms=self._clock())
            outcome = await self._outbound.post(hook.url, headers, body)
        (self._slow.add if outcome.seconds > SLOW_SECONDS else self._slow.discard)(hook.id)
        return outcome

    async def _record_outcome(self, room_id: RoomId, hook: Webhook, reached: int, outcome: Outcome) -> bool:
        """Store the result of a delivery, and return whether to continue."""
        now_ms = self._clock()
        if outcome.status is not None and 200 <= outcome.status < 300:
            self._count("taken")
            # Even if it cannot be stored, in a full room, this receiver has it.
            self._positions[hook.id] = reached
            self._waiting.pop(hook.id, None)
            await self._pool.write(
                room_id, webhook_deliveries.note_taken, hook.id, reached, outcome.status, now_ms=now_ms
            )
            return True
        self._count("failed")
        wait_seconds = self._pace.retry_seconds(hook.failures + 1)
        await self._pool.write(
            room_id,
            webhook_deliveries.note_failed,
            hook.id,
            outcome.status,
            outcome.error or f"the answer was {outcome.status}",
            next_try_at=now_ms + int(wait_seconds * 1000),
            now_ms=now_ms,
        )
        if outcome.status == GONE:
            await self._give_up(room_id, hook.id, RECEIVER_GONE)
        elif hook.failing_since is not None and now_ms - hook.failing_since >= self._pace.give_up_seconds * 1000:
            await self._give_up(room_id, hook.id, RECEIVER_FAILS)
        else:
            self._visit_later(hook.id, room_id, wait_seconds)
        return False

    async def _give_up(self, room_id: RoomId, webhook_id: int, reason: str) -> None:
        if await self._pool.write(room_id, webhook_deliveries.give_up, webhook_id, reason, now_ms=self._clock()):
            self._count("given_up")
            log.info("a webhook is disabled", extra={"room_id": room_id, "webhook_id": webhook_id, "reason": reason})
        self._forget(webhook_id)

    def _forget(self, webhook_id: int) -> None:
        self._positions.pop(webhook_id, None)
        self._waiting.pop(webhook_id, None)
        self._stored_at.pop(webhook_id, None)
        self._slow.discard(webhook_id)
        with contextlib.suppress(KeyError):
            self._timers.pop(webhook_id).cancel()
