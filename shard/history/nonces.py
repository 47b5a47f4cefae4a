"""Nonces of messages that moved: a repeated send is answered with its message from a segment."""

import asyncio
from collections.abc import Awaitable, Callable

from ids import RoomId
from shard.actions.messages import Sent
from shard.archive.manifest import MaybeSentError
from shard.archive.segment_cache import SegmentCache
from shard.history import merge, segments
from shard.rows import Message
from shard.tables import messages

_looking_back: set[asyncio.Future[Sent]] = set()
"""Reads of segments under way; the event loop itself holds none of its tasks."""


async def send(cache: SegmentCache, room_id: RoomId, act: Callable[[], Awaitable[Sent]]) -> Sent:
    """Send a message by `act`, and return it or the one that its nonce made, which may be in a segment."""

    async def attempt() -> Sent:
        try:
            return await act()
        except MaybeSentError as spent:
            return Sent(await _archived(cache, room_id, spent), is_new=False)

    return await merge.retry_replaced(attempt)


def watch(sent: Awaitable[Sent], look_back: Callable[[], Awaitable[Sent]]) -> asyncio.Future[Sent]:
    """Return a future of a send's outcome, which `look_back` gives when the nonce's message may be in a segment.

    It is no task: the gateway lets a client's next request begin beside a future, because that one is in its queue.
    """
    outcome: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()

    def settle(done: asyncio.Future[Sent]) -> None:
        _looking_back.discard(done)
        if outcome.done():
            return
        if done.cancelled():
            outcome.cancel()
        elif (error := done.exception()) is None:
            outcome.set_result(done.result())
        elif isinstance(error, MaybeSentError) and done is first:
            looking = asyncio.ensure_future(look_back())
            _looking_back.add(looking)
            looking.add_done_callback(settle)
        else:
            outcome.set_exception(error)

    first = asyncio.ensure_future(sent)
    first.add_done_callback(settle)
    return outcome


async def find(cache: SegmentCache, room_id: RoomId, act: Callable[[], Awaitable[Message | None]]) -> Message | None:
    """Return the message that `act` finds by its nonce, which may be in a segment; None where there is none."""

    async def attempt() -> Message | None:
        try:
            return await act()
        except MaybeSentError as spent:
            return await _archived(cache, room_id, spent)

    try:
        return await merge.retry_replaced(attempt)
    except MaybeSentError:
        return None


async def _archived(cache: SegmentCache, room_id: RoomId, spent: MaybeSentError) -> Message:
    """Return the message of a nonce from the segments that may have it; raises `spent` if none has."""
    for segment in spent.segments:
        message = await cache.ask(room_id, segment, messages.sent_with, spent.channel.user_id, spent.nonce)
        if message is not None and segments.valid(segment, [message]):
            return message
    raise spent
