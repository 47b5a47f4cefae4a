"""Frames to clients: JSON in WebSocket text frames, encoded once and shared as bytes by all their receivers.

Frames of a server are not masked (RFC 6455, section 5.1), so the same bytes are right for every client.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson

from ids import ChannelId, RoomId

BYTES_MAX: Final = 786_432
"""Size limit of a frame of events; a larger commit takes several. Most clients refuse a message above 1 MiB."""

Ref = str | int | None
Span = tuple[int, int]
"""Event numbers that follow each other: the first and the last."""


class Rendered(NamedTuple):
    """Event as clients receive it, and the facts that decide which of them do."""

    seq: int
    type: str
    channel_id: ChannelId | None
    created_at: int
    body: bytes


def text(payload: bytes) -> bytes:
    """Return a text frame (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81%c%b" % (length, payload)
    if length < 65_536:
        return b"\x81\x7e%b%b" % (length.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (length.to_bytes(8), payload)


def message(op: str, d: Any) -> bytes:
    """Return a frame that is not a reply."""
    return text(orjson.dumps({"op": op, "d": d}, option=orjson.OPT_UTC_Z))


def removed(room_id: RoomId, reason: str) -> bytes:
    """Return the frame that ends a subscription."""
    return message("removed", {"room_id": str(room_id), "reason": reason})


def resync(room_id: RoomId, seq: int, reason: str) -> bytes:
    """Return the frame after which a client reads the room again, and continues at a number."""
    return message("resync", {"room_id": str(room_id), "seq": seq, "reason": reason})


def resumed(room_id: RoomId, seq: int, channel_ids: Iterable[ChannelId]) -> bytes:
    """Return the frame that follows the last event that was missed."""
    return message("resumed", {**_channels(room_id, channel_ids), "seq": seq})


def channels(room_id: RoomId, channel_ids: Iterable[ChannelId]) -> bytes:
    """Return the frame with the channels that a client sees from now on."""
    return message("channels", _channels(room_id, channel_ids))


def _channels(room_id: RoomId, channel_ids: Iterable[ChannelId]) -> dict[str, Any]:
    return {"room_id": str(room_id), "channel_ids": [str(channel_id) for channel_id in sorted(channel_ids)]}


def reply(op: str, ref: Ref, d: Any) -> bytes:
    """Return the frame of a reply, with the `ref` of its request."""
    return text(orjson.dumps({"op": op, "ref": ref, "d": d}, option=orjson.OPT_UTC_Z))


def events(room_id: RoomId, rendered: Sequence[Rendered], skipped: Sequence[Span]) -> bytes:
    """Return the frames of some events of a room, in order, and of the spans of numbers that are not this client's.

    It is one frame if that is not too large. Each frame has the spans that end before its last event, the last one has
    the rest: a client that received a frame has everything up to the highest number in it.
    """
    if sum(len(one.body) for one in rendered) <= BYTES_MAX:
        return _events(room_id, rendered, skipped)
    parts: list[list[Rendered]] = [[]]
    size = 0
    for one in rendered:
        if parts[-1] and size + len(one.body) > BYTES_MAX:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += len(one.body)
    framed, left = [], list(skipped)
    for part in parts[:-1]:
        framed.append(_events(room_id, part, [span for span in left if span[1] < part[-1].seq]))
        left = [span for span in left if span[1] > part[-1].seq]
    return b"".join([*framed, _events(room_id, parts[-1], left)])


def _events(room_id: RoomId, rendered: Sequence[Rendered], skipped: Sequence[Span]) -> bytes:
    bodies = b",".join([one.body for one in rendered])
    payload = b'{"op":"events","d":{"room_id":"%d","events":[%b],"skipped":%b}}'
    return text(payload % (room_id, bodies, orjson.dumps(skipped) if skipped else b"[]"))
