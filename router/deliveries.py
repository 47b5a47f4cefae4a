"""Tells outgoing webhooks what happens in their rooms: at least once, each in the order of the log.

The log is the truth, and a webhook's `last_seq` in the shard is how far its receiver got. It moves only after the
receiver said so: whatever ends the server, what was not taken is told again. Being woken by a commit is a hint; rooms
are also looked at one after the other, so a hint that is lost costs time and no event.
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

from directory import hooks
from directory.directory import Directory
from directory.errors import DirectoryError
from ids import RoomId
from router.outbound import Answered, Outbound
from router.views import hooks as views
from shard.acts import delivering
from shard.acts.delivering import Batch
from shard.errors import ShardError
from shard.pool import ShardPool
from shard.rows import Event
from shard.webhooks import Webhook

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 262_144
"""Of a delivery; a single event is always sent whole, and is smaller."""
SKIPPED_MAX: Final = 5_000
"""Events that a webhook passes over before that is written down: a restart reads them again."""
SLOW_SECONDS: Final = 2.0
"""A receiver that takes longer waits its turn among its like, so that it holds up nobody else."""
SWEPT_AT_ONCE: Final = 100
"""Rooms looked at between two pauses, once all were: a room that is looked at is opened."""
NOTED_MS: Final = 600_000
"""How long what a webhook passed over may be unwritten: history that it may still want does not move."""
GONE: Final = 410
KEEPER_LOST: Final = "keeper_lost"
RECEIVER_GONE: Final = "receiver_gone"
RECEIVER_FAILS: Final = "receiver_fails"


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a receiver that fails is tried again, and how many are told at once, those that are slow apart."""

    first_retry_seconds: float = 2.0
    longest_retry_seconds: float = 3_600.0
    give_up_seconds: float = 259_200.0
    again_seconds: float = 5.0
    sweep_seconds: float = 60.0
    at_once: int = 32

    def retry_seconds(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row: twice as long each time, more or less a quarter."""
        wait: float = min(self.longest_retry_seconds, self.first_retry_seconds * 2.0 ** min(failures - 1, 30))
        return wait * random.SystemRandom().uniform(0.75, 1.25)


def signed(webhook_id: str, secret: bytes, body: bytes, *, now_ms: int) -> list[tuple[bytes, bytes]]:
    """Return the headers by which a receiver knows that a body is ours, and whether it had it before.

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
    """Who is told what, and when. Lives on one event loop; `run` works until it is cancelled."""

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
        self._wanted: dict[RoomId, None] = {}
        self._is_wanted = asyncio.Event()
        self._couriers: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()
        self._places: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._noted: dict[int, int] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._slow: set[int] = set()
        self._turns = {is_slow: asyncio.Semaphore(pace.at_once) for is_slow in (False, True)}

    @property
    def backlog_seconds(self) -> float:
        """For how long the oldest event that a receiver should have had has been waiting."""
        oldest = min(self._waiting.values(), default=None)
        return 0.0 if oldest is None else max(0.0, (self._clock() - oldest) / 1000)

    def takes(self, url: str) -> None:
        """Raise BadTargetError for a URL that nothing is delivered to."""
        self._outbound.reach.takes(url)

    def publish(self, room_id: RoomId, events: Sequence[Event]) -> None:
        """Note that a room has more to tell."""
        if room_id in self._rooms:
            self.look(room_id)

    def watch(self, room_id: RoomId) -> None:
        """Deliver what happens in a room from now on, too."""
        self._rooms.add(room_id)
        self.look(room_id)

    def look(self, room_id: RoomId) -> None:
        """See soon whether a room has something to tell."""
        self._wanted[room_id] = None
        self._is_wanted.set()

    async def ping(self, room_id: RoomId, hook: Webhook) -> Answered:
        """Send a webhook an event that is in no log, now, and return how that went."""
        now_ms = self._clock()
        body = views.body(room_id, hook.id, [views.ping(hook, now_ms)])
        answered = await self._send(hook, f"{hook.id}_ping_{now_ms}", body)
        self._count("pinged")
        return answered

    async def run(self) -> None:
        """Deliver until cancelled."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            while True:
                await self._is_wanted.wait()
                self._is_wanted.clear()
                wanted, self._wanted = self._wanted, {}
                for room_id in wanted:
                    await self._look_into(room_id)
        finally:
            tasks = [sweeping, *self._couriers.values()]
            for timer in self._timers.values():
                timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        """Look into every room that tells somebody, again and again; the first time without pauses."""
        is_first = True
        while True:
            try:
                self._rooms |= set(rooms := await self._telling_rooms())
                for number, room_id in enumerate(rooms, 1):
                    await self._look_into(room_id)
                    if not is_first and number % SWEPT_AT_ONCE == 0:
                        await asyncio.sleep(self._pace.sweep_seconds)
                is_first = False
            except Exception:  # tried again after the pause
                log.exception("looking for rooms with webhooks failed")
            await asyncio.sleep(self._pace.sweep_seconds)

    async def _telling_rooms(self) -> list[RoomId]:
        found: list[RoomId] = []
        while True:
            async with self._directory.database.read() as reader:
                page = await hooks.telling_rooms(reader, after=found[-1] if found else 0)
            found += page
            if len(page) < hooks.ROOMS_PAGE:
                return found

    async def _look_into(self, room_id: RoomId) -> None:
        """Set a courier going for each webhook of a room that has none under way and is due.

        A room that is hibernated has nothing to tell, and is not woken to say so; it is looked into when it is back.
        """
        if self._pool.is_away(room_id):
            return
        try:
            enabled = await self._pool.read(room_id, delivering.list_enabled)
        except Exception as error:  # whatever it is, the other rooms go on
            facts = {"room_id": room_id, "reason": str(error)}
            log.warning("a room's webhooks could not be read", exc_info=not isinstance(error, ShardError), extra=facts)
            self._later(-room_id, room_id, self._pace.again_seconds)
            return
        now_ms = self._clock()
        for webhook_id, next_try_at in enabled:
            if webhook_id in self._couriers:
                self._again.add(webhook_id)
            elif next_try_at is None or next_try_at <= now_ms:
                self._couriers[webhook_id] = asyncio.create_task(self._carry(room_id, webhook_id))
            else:
                self._later(webhook_id, room_id, (next_try_at - now_ms) / 1000)

    def _later(self, key: int, room_id: RoomId, seconds: float) -> None:
        """Look into a room again after some time, once for each key, and at the end of the longest retry at last: a
        clock that jumps delays nothing for longer."""

        def fire() -> None:
            del self._timers[key]
            self.look(room_id)

        if key not in self._timers:
            wait = min(seconds, self._pace.longest_retry_seconds * 1.25)
            self._timers[key] = asyncio.get_running_loop().call_later(wait, fire)

    async def _carry(self, room_id: RoomId, webhook_id: int) -> None:
        """Tell one webhook everything, batch after batch, until it has all or fails."""
        try:
            while await self._carry_one(room_id, webhook_id):
                pass
        except (ShardError, DirectoryError) as error:
            facts = {"room_id": room_id, "webhook_id": webhook_id, "reason": str(error)}
            log.warning("a webhook has to wait for its room", extra=facts)
            self._later(webhook_id, room_id, self._pace.again_seconds)
        except Exception:
            log.exception("delivering to a webhook failed", extra={"room_id": room_id, "webhook_id": webhook_id})
            self._later(webhook_id, room_id, self._pace.longest_retry_seconds)
        finally:
            del self._couriers[webhook_id]
            if webhook_id in self._again:
                self._again.discard(webhook_id)
                self.look(room_id)

    async def _carry_one(self, room_id: RoomId, webhook_id: int) -> bool:
        """Tell one webhook its next batch, and return whether there may be another one now."""
        place = self._places.get(webhook_id, 0)
        batch = await self._pool.read(room_id, delivering.next_batch, webhook_id, after_seq=place, now_ms=self._clock())
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
        body, reached = views.bounded(room_id, batch, BODY_BYTES_MAX)
        name = f"{webhook_id}_{batch.events[0].seq}_{reached}"
        return await self._conclude(room_id, batch.hook, reached, await self._send(batch.hook, name, body))

    async def _may_keep(self, hook: Webhook) -> bool:
        assert hook.keeper_id is not None
        async with self._directory.database.read() as reader:
            return await hooks.may_keep(reader, hook.keeper_id, now_ms=self._clock())

    async def _pass_over(self, room_id: RoomId, batch: Batch) -> None:
        self._places[batch.hook.id] = batch.reached
        self._waiting.pop(batch.hook.id, None)
        passed, now_ms = batch.reached - batch.hook.last_seq, self._clock()
        is_due = abs(now_ms - self._noted.get(batch.hook.id, 0)) >= NOTED_MS
        if passed >= SKIPPED_MAX or (passed and is_due):
            await self._pool.write(room_id, delivering.note_passed, batch.hook.id, batch.reached)
            self._noted[batch.hook.id] = now_ms

    async def _send(self, hook: Webhook, name: str, body: bytes) -> Answered:
        assert hook.url is not None
        assert hook.secret is not None
        async with self._turns[hook.id in self._slow]:
            headers = signed(name, hook.secret, body, now_ms=self._clock())
            answered = await self._outbound.post(hook.url, headers, body)
        (self._slow.add if answered.seconds > SLOW_SECONDS else self._slow.discard)(hook.id)
        return answered

    async def _conclude(self, room_id: RoomId, hook: Webhook, reached: int, answered: Answered) -> bool:
        """Write down how a delivery went, and return whether to go on."""
        now_ms = self._clock()
        if answered.status is not None and 200 <= answered.status < 300:
            self._count("taken")
            # Even where it cannot be written down, in a room that is full, this receiver has it.
            self._places[hook.id] = reached
            self._waiting.pop(hook.id, None)
            await self._pool.write(room_id, delivering.note_taken, hook.id, reached, answered.status, now_ms=now_ms)
            return True
        self._count("failed")
        wait_seconds = self._pace.retry_seconds(hook.failures + 1)
        await self._pool.write(
            room_id,
            delivering.note_failed,
            hook.id,
            answered.status,
            answered.error or f"the answer was {answered.status}",
            next_try_at=now_ms + int(wait_seconds * 1000),
            now_ms=now_ms,
        )
        if answered.status == GONE:
            await self._give_up(room_id, hook.id, RECEIVER_GONE)
        elif hook.failing_since is not None and now_ms - hook.failing_since >= self._pace.give_up_seconds * 1000:
            await self._give_up(room_id, hook.id, RECEIVER_FAILS)
        else:
            self._later(hook.id, room_id, wait_seconds)
        return False

    async def _give_up(self, room_id: RoomId, webhook_id: int, reason: str) -> None:
        if await self._pool.write(room_id, delivering.give_up, webhook_id, reason, now_ms=self._clock()):
            self._count("given_up")
            log.info("a webhook is disabled", extra={"room_id": room_id, "webhook_id": webhook_id, "reason": reason})
        self._forget(webhook_id)

    def _forget(self, webhook_id: int) -> None:
        self._places.pop(webhook_id, None)
        self._waiting.pop(webhook_id, None)
        self._noted.pop(webhook_id, None)
        self._slow.discard(webhook_id)
        with contextlib.suppress(KeyError):
            self._timers.pop(webhook_id).cancel()
