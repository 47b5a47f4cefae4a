"""Dispatch of clients' requests: one per frame, in order, within rate limits; those with a `ref` are answered.

A failure is answered with the problem document that HTTP would return.
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
from router.gateway import close_codes, frames, surrogates
from router.gateway.close_codes import Close
from router.gateway.connection import Connection
from router.gateway.frames import Ref
from router.gateway.hub import Hub
from router.gateway.identify import Identification
from router.gateway.metrics import GatewayMetrics
from router.gateway.presence import Presences
from router.rate_limits import Buckets, Rate
from router.schemas.fields import Wire
from router.schemas.gateway import Identify
from router.scopes import Scope

WAITING_MAX: Final = 256
"""Requests of one client that wait for earlier ones; a client that reads the answers sends fewer. Beyond it 4006."""
WAITING_BYTES_MAX: Final = 524_288
"""Of their frames, likewise; parsed, they take several times as much memory. Beyond it 4006."""
PENDING_MAX: Final = 64
"""Requests of one client under way at the same time."""
REF_LENGTH_MAX: Final = 64
"""Characters of a `ref`."""
HEARTBEAT: Final = frames.message("heartbeat", None)

Run = Callable[[Connection, Any, int], Awaitable[Any]]
"""Function that carries out a request and returns its result; takes the time in milliseconds UTC."""


@dataclass(frozen=True, slots=True)
class Op:
    """A kind of request: the model of its `d`, its function, the scope that a bot's token needs, and how the result is
    rendered."""

    model: type[Wire]
    run: Run
    scope: Scope
    render: Callable[[Any], Any] = lambda result: result


@dataclass(frozen=True, slots=True)
class Rates:
    """Rate limits: frames of one connection, and requests of one user and in one room."""

    frames: Rate
    user: Buckets
    room: Buckets


class Dispatcher:
    """Handler of the frames of all connections; `websocket.Handler` says when each method is called."""

    def __init__(
        self,
        hub: Hub,
        presences: Presences,
        identification: Identification,
        ops: Mapping[str, Op],
        rates: Rates,
        metrics: GatewayMetrics,
        clock: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._presences = presences
        self._identification = identification
        self._ops = dict(ops)
        self._rates = rates
        self._clock = clock
        self._metrics = metrics
        self._time = asyncio.get_running_loop().time

    def count_frame(self, connection: Connection) -> bool:
        """Count a frame, and return whether the client may send so many."""
        self._metrics.received += 1
        now, rate = self._time(), self._rates.frames
        left = min(rate.burst, connection.frames_left + (now - connection.received_at) * rate.per_second) - 1.0
        connection.frames_left, connection.received_at = left, now
        return left >= 0.0

    def received(self, connection: Connection, message: bytes) -> None:
        """Begin one request of a client, or have it wait."""
        try:
            parsed = orjson.loads(message)
            op, ref, d = parsed["op"], parsed.get("ref"), parsed.get("d")
        except (orjson.JSONDecodeError, TypeError, KeyError, AttributeError):
            self._refuse_malformed(connection, message)
            return
        if not _is_ref(ref):
            self._fail(connection, None, MalformedError(f"ref is a number, or text of at most {REF_LENGTH_MAX}."))
        elif op == "heartbeat":
            connection.write(HEARTBEAT)
        elif op == "identify":
            self._identify(connection, d)
        elif not connection.is_ready:
            connection.close(close_codes.NOT_IDENTIFIED)
        elif connection.waiting or connection.is_blocked or connection.pending >= PENDING_MAX:
            connection.waiting.append((op, ref, d, len(message)))
            connection.waiting_bytes += len(message)
            if len(connection.waiting) > WAITING_MAX or connection.waiting_bytes > WAITING_BYTES_MAX:
                connection.close(close_codes.TOO_CHATTY)
        else:
            self._begin(connection, op, ref, d)

    def _refuse_malformed(self, connection: Connection, message: bytes) -> None:
        """Answer a request that has half a surrogate pair, and close the connection for everything else."""
        request = surrogates.parse_replaced(message) if connection.is_ready else None
        if isinstance(request, dict) and "op" in request:
            ref = request.get("ref")
            error = MalformedError("The frame is not JSON: a text in it has half of a surrogate pair.")
            self._fail(connection, ref if _is_ref(ref) else None, error)
        else:
            connection.close(close_codes.MALFORMED if _is_utf8(message) else close_codes.NOT_UTF8)

    def _identify(self, connection: Connection, d: Any) -> None:
        if connection.is_identifying:
            connection.close(close_codes.IDENTIFIED_TWICE)
            return
        try:
            request = Identify.model_validate(d, strict=True)
        except ValidationError as error:
            self._fail(connection, None, problems.explain(error, "d"))
            connection.close(close_codes.MALFORMED)
            return
        connection.is_identifying = True
        connection.start(self._identification.identify(connection, request))

    def _begin(self, connection: Connection, op: Any, ref: Ref, d: Any) -> None:
        """Begin a request; it is answered when it is done."""
        try:
            known = self._ops.get(op) if isinstance(op, str) else None
            if known is None:
                raise MalformedError(f"There is no such op; there are heartbeat, {', '.join(self._ops)}.")
            self._check(connection, known)
            request = known.model.model_validate(d, strict=True)
            if (room_id := getattr(request, "room_id", None)) is not None:
                self._rates.room.take(room_id, time.monotonic())
            running = asyncio.ensure_future(known.run(connection, request, self._clock()))
        except ValidationError as error:
            self._fail(connection, ref, problems.explain(error, "d"))
        except Exception as error:  # every request is answered; an unexpected error is logged there
            self._fail(connection, ref, error)
        else:
            connection.pending += 1
            # Requests in the queue of a shard keep their order; one that is not there yet must not be overtaken.
            connection.is_blocked = isinstance(running, asyncio.Task)
            running.add_done_callback(partial(self._answer, connection, known, ref))

    def _check(self, connection: Connection, op: Op) -> None:
        viewer = connection.viewer
        assert viewer is not None
        if viewer.scopes is not None and op.scope not in viewer.scopes:
            raise NotAllowedError(f"This token lacks the scope {op.scope}.")
        self._rates.user.take(str(viewer.user_id), time.monotonic())

    def _answer(self, connection: Connection, op: Op, ref: Ref, done: "asyncio.Future[Any]") -> None:
        connection.pending -= 1
        connection.is_blocked = False
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, Exception):
            self._fail(connection, ref, error)
        elif ref is not None:
            connection.write(frames.reply("ok", ref, op.render(done.result())))
        while connection.waiting and not connection.is_blocked and connection.pending < PENDING_MAX:
            op_name, its_ref, d, size = connection.waiting.popleft()
            connection.waiting_bytes -= size
            self._begin(connection, op_name, its_ref, d)

    def _fail(self, connection: Connection, ref: Ref, error: Exception) -> None:
        _, document = problems.describe(error, os.urandom(8).hex())
        seconds = problems.retry_after_seconds(error)
        if seconds is not None:
            document["retry_after_seconds"] = seconds
        connection.write(frames.reply("error", ref, document))

    def drained(self, connection: Connection) -> None:
        """Resume the work that waits for the client to read."""
        connection.release()

    def closed(self, connection: Connection, close: Close | None) -> None:
        """Forget a disconnected client. Its requests under way are still finished."""
        if close is not None:
            self._metrics.endings[close.name] += 1
        self._presences.disconnect(connection)
        self._hub.unregister(connection)
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
