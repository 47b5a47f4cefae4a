"""Takes what clients say: one frame, one request, in their order, each within its rates; answers those with a `ref`.

What fails is told with the problem document that HTTP would answer.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson
from pydantic import ValidationError

from router import problems
from router.errors import MalformedError, NotAllowedError
from router.gateway import closing, frames
from router.gateway.closing import Close
from router.gateway.connections import Connection
from router.gateway.frames import Ref
from router.gateway.hub import Hub
from router.gateway.identifying import Identification
from router.gateway.presence import Presences
from router.gateway.tallies import Tallies
from router.limits import Buckets, Rate
from router.scopes import Scope
from router.wire.fields import Wire
from router.wire.gateway import Identify

WAITING_MAX: Final = 256
"""Requests of one client that wait for others of it; more than that nobody sends who reads the answers."""
WAITING_BYTES_MAX: Final = 524_288
"""Of the frames that they came in, likewise; what is made of them takes some times as much memory."""
PENDING_MAX: Final = 64
"""Requests of one client that are done at the same time."""
REF_LENGTH_MAX: Final = 64
HEARTBEAT: Final = frames.told("heartbeat", None)

Act = Callable[[Connection, Any, int], Awaitable[Any]]
"""Does what a request asks and returns what its answer carries; takes the time in milliseconds UTC."""


@dataclass(frozen=True, slots=True)
class Op:
    """A kind of request: what it takes, what it does, what a bot's token must be allowed, how its result is shown."""

    takes: type[Wire]
    act: Act
    scope: Scope
    shown: Callable[[Any], Any] = lambda result: result


@dataclass(frozen=True, slots=True)
class Rates:
    """How often clients may ask: frames of one connection, and requests of one user and in one room."""

    frames: Rate
    user: Buckets
    room: Buckets


class Desk:
    """Everything that comes in from clients goes through here."""

    def __init__(
        self,
        hub: Hub,
        presences: Presences,
        identification: Identification,
        ops: Mapping[str, Op],
        rates: Rates,
        tallies: Tallies,
        clock: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._presences = presences
        self._identification = identification
        self._ops = dict(ops)
        self._rates = rates
        self._clock = clock
        self._tallies = tallies
        self._time = asyncio.get_running_loop().time

    def ticked(self, connection: Connection) -> bool:
        """Count a frame, and return whether this client may send so many."""
        self._tallies.received += 1
        now, rate = self._time(), self._rates.frames
        left = min(rate.burst, connection.frames_left + (now - connection.heard_at) * rate.per_second) - 1.0
        connection.frames_left, connection.heard_at = left, now
        return left >= 0.0

    def received(self, connection: Connection, message: bytes) -> None:
        """Take one message of a client."""
        try:
            said = orjson.loads(message)
            op, ref, d = said["op"], said.get("ref"), said.get("d")
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            connection.close(closing.MALFORMED if _is_utf8(message) else closing.NOT_UTF8)
            return
        if not _is_ref(ref):
            self._fail(connection, None, MalformedError(f"ref is a number, or text of at most {REF_LENGTH_MAX}."))
        elif op == "heartbeat":
            connection.write(HEARTBEAT)
        elif op == "identify":
            self._identify(connection, d)
        elif not connection.is_ready:
            connection.close(closing.NOT_IDENTIFIED)
        elif connection.waiting or connection.is_held or connection.pending >= PENDING_MAX:
            connection.waiting.append((op, ref, d, len(message)))
            connection.waiting_bytes += len(message)
            if len(connection.waiting) > WAITING_MAX or connection.waiting_bytes > WAITING_BYTES_MAX:
                connection.close(closing.TOO_CHATTY)
        else:
            self._do(connection, op, ref, d)

    def _identify(self, connection: Connection, d: Any) -> None:
        if connection.is_identifying:
            connection.close(closing.IDENTIFIED_TWICE)
            return
        try:
            asked = Identify.model_validate(d, strict=True)
        except ValidationError as error:
            self._fail(connection, None, problems.explain(error, "d"))
            connection.close(closing.MALFORMED)
            return
        connection.is_identifying = True
        connection.start(self._identification.identify(connection, asked))

    def _do(self, connection: Connection, op: Any, ref: Ref, d: Any) -> None:
        """Begin a request; its answer comes when it is done."""
        try:
            known = self._ops.get(op) if isinstance(op, str) else None
            if known is None:
                raise MalformedError(f"There is no such op; there are heartbeat, {', '.join(self._ops)}.")
            self._admit(connection, known)
            asked = known.takes.model_validate(d, strict=True)
            if (room_id := getattr(asked, "room_id", None)) is not None:
                self._rates.room.take(room_id, time.monotonic())
            doing = asyncio.ensure_future(known.act(connection, asked, self._clock()))
        except ValidationError as error:
            self._fail(connection, ref, problems.explain(error, "d"))
        except Exception as error:  # every request is answered; what nobody foresaw is logged there
            self._fail(connection, ref, error)
        else:
            connection.pending += 1
            # What is in the queue of a shard keeps its order; what is not there yet must not be overtaken.
            connection.is_held = isinstance(doing, asyncio.Task)
            doing.add_done_callback(partial(self._answer, connection, known, ref))

    def _admit(self, connection: Connection, op: Op) -> None:
        viewer = connection.viewer
        assert viewer is not None
        if viewer.scopes is not None and op.scope not in viewer.scopes:
            raise NotAllowedError(f"This token lacks the scope {op.scope}.")
        self._rates.user.take(str(viewer.user_id), time.monotonic())

    def _answer(self, connection: Connection, op: Op, ref: Ref, done: "asyncio.Future[Any]") -> None:
        connection.pending -= 1
        connection.is_held = False
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Exception):
            self._fail(connection, ref, error)
        elif ref is not None:
            connection.write(frames.reply("ok", ref, op.shown(done.result())))
        while connection.waiting and not connection.is_held and connection.pending < PENDING_MAX:
            op_name, its_ref, d, size = connection.waiting.popleft()
            connection.waiting_bytes -= size
            self._do(connection, op_name, its_ref, d)

    def _fail(self, connection: Connection, ref: Ref, error: Exception) -> None:
        _, document = problems.described(error, os.urandom(8).hex())
        seconds = problems.retry_after_seconds(error)
        if seconds is not None:
            document["retry_after_seconds"] = seconds
        connection.write(frames.reply("error", ref, document))

    def lost(self, connection: Connection, close: Close | None) -> None:
        """Forget a client that is gone. What it asked for and is under way is done all the same."""
        if close is not None:
            self._tallies.endings[close.name] += 1
        self._presences.leave(connection)
        self._hub.dismiss(connection)
        connection.waiting.clear()
        connection.release()
        for task in connection.tasks:
            task.cancel()


def _is_utf8(message: bytes) -> bool:
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_ref(ref: Any) -> bool:
    if isinstance(ref, str):
        return len(ref) <= REF_LENGTH_MAX
    return ref is None or (isinstance(ref, int) and abs(ref) <= 2**53)
