"""Reads the JSON lines of an import: checks each, and gives each a nonce that is the same at every reading.

The nonce is a digest of what the line says, with a number for each repetition of the very same line, so that loading
a file twice stores nothing twice, and two equal messages stay two.
"""

import gzip
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple

import orjson

from shard.messages import CONTENT_LENGTH_MAX

LINE_BYTES_MAX: Final = 1_048_576
"""The longest message takes 100 kB when every character is escaped; what is longer is no line of ours."""
CHANNEL_LENGTH_MAX: Final = 100
TOPIC_LENGTH_MAX: Final = 200
"""The schema's bounds (migrations/shard)."""
USER_LENGTH_MAX: Final = 100
FUTURE_MS_MAX: Final = 60_000
"""How far another machine's clock may be ahead of ours."""
NONCE_BYTES: Final = 16
FIELDS: Final = ("channel", "topic", "user", "timestamp", "content")


class Line(NamedTuple):
    """One message as the file has it; `sent_at` in milliseconds UTC."""

    number: int
    channel: str
    topic: str | None
    user: str
    sent_at: int
    content: str
    nonce: str


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no message, and why; never what it says."""

    number: int
    reason: str


def unpacked(stream: IO[bytes]) -> IO[bytes]:
    """Return what a stream holds, unpacked if it is gzip, whatever its name says."""
    # RFC 1952, 2.3.1: what every gzip member begins with.
    is_gzip = stream.peek(2)[:2] == b"\x1f\x8b"  # type: ignore[attr-defined]
    return gzip.GzipFile(fileobj=stream) if is_gzip else stream  # type: ignore[return-value]


def read(stream: IO[bytes], *, now_ms: int) -> Iterator[Line | BadLine]:
    """Yield every line of a file, empty ones left out; raises OSError and EOFError where the file cannot be read."""
    reader = _Reader(now_ms)
    number = 0
    while raw := stream.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(raw) > LINE_BYTES_MAX:
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(LINE_BYTES_MAX)
            yield BadLine(number, f"longer than {LINE_BYTES_MAX} bytes")
        elif raw.strip():
            try:
                yield reader.parse(number, raw)
            except ValueError as error:
                yield BadLine(number, str(error))


class _Reader:
    def __init__(self, now_ms: int) -> None:
        self._latest_ms = now_ms + FUTURE_MS_MAX
        self._seen: dict[bytes, int] = {}

    def parse(self, number: int, raw: bytes) -> Line:
        """Return what a line says; raises ValueError with what is wrong with it."""
        try:
            fields = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg})") from None
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - the line is wrong, not a type of ours
        missing = [name for name in FIELDS if name not in fields]
        if missing:
            raise ValueError(f"without {', '.join(missing)}")
        channel = _text(fields, "channel", CHANNEL_LENGTH_MAX)
        topic = _text(fields, "topic", TOPIC_LENGTH_MAX) if fields["topic"] else None
        user = _text(fields, "user", USER_LENGTH_MAX)
        content = _text(fields, "content", CONTENT_LENGTH_MAX)
        sent_at = self._milliseconds(fields["timestamp"])
        return Line(number, channel, topic, user, sent_at, content, self._nonce(channel, topic, user, sent_at, content))

    def _milliseconds(self, seconds: object) -> int:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise ValueError("timestamp is not a number of seconds")
        milliseconds = round(seconds * 1_000)
        if milliseconds < 0:
            raise ValueError("timestamp is before 1970")
        if milliseconds > self._latest_ms:
            raise ValueError("timestamp is in the future (it is in seconds, not milliseconds)")
        return milliseconds

    def _nonce(self, *said: str | int | None) -> str:
        digest = hashlib.blake2b(orjson.dumps(said), digest_size=NONCE_BYTES)
        count = self._seen[digest.digest()] = self._seen.get(digest.digest(), 0) + 1
        if count > 1:
            digest.update(b"%d" % count)
        return f"import-{digest.hexdigest()}"


def _text(fields: Mapping[str, Any], name: str, length_max: int) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004
    if not value or value.isspace():
        raise ValueError(f"{name} is empty")
    if len(value) > length_max:
        raise ValueError(f"{name} is longer than {length_max} characters")
    if "\0" in value:
        raise ValueError(f"{name} has the character U+0000")
    return value
