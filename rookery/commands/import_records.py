"""Reader of the JSON lines of an import: it checks each, and gives each a nonce that is the same at every reading.

The nonce is a digest of the line's fields, with a number for each repetition of an equal line, so that loading a file
twice stores nothing twice, and two equal messages stay two. Digests are counted in a file that is unlinked at once, so
that memory does not grow with the history.

A text above the limit becomes several messages, each marked (1/3), (2/3) and so on. A name above it is cut; a digest of
the whole keeps it apart from others that begin alike.
"""

import codecs
import gzip
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedIOBase, BufferedReader
from typing import Any, Final, Literal, NamedTuple

import orjson

from shard.tables.messages import CONTENT_LENGTH_MAX
from shard.text import graphemes, visible_text
from sqlite import KeyCounts

LINE_BYTES_MAX: Final = 1_048_576
"""The longest message takes 100 kB when every character is escaped. A longer line is a bad line."""
PART_LENGTH_MAX: Final = CONTENT_LENGTH_MAX - 20
"""Characters of one part of a long message, beside its mark."""
CHANNEL_LENGTH_MAX: Final = 100
"""Characters of a channel's name. Beyond it the name is cut."""
TOPIC_LENGTH_MAX: Final = 200
"""Characters of a topic, the schema's bound (migrations/shard). Beyond it the topic is cut."""
USER_LENGTH_MAX: Final = 100
"""Characters of an author's name. Beyond it the name is cut."""
FUTURE_MS_MAX: Final = 60_000
"""Time that another machine's clock may be ahead of ours."""
NONCE_BYTES: Final = 16
"""Bytes of the hash that is an imported message's nonce."""
FIELDS: Final = ("channel", "topic", "user", "timestamp", "content")


class Line(NamedTuple):
    """One message as it is loaded; `sent_at` in milliseconds UTC. A long message of the file is several of these."""

    number: int
    channel: str
    topic: str | None
    user: str
    sent_at: int
    content: str
    nonce: str


Kind = Literal["left out", "split", "cut"]


@dataclass(frozen=True, slots=True)
class Note:
    """A line that is not loaded as the file has it, and the reason; never its text."""

    number: int
    reason: str
    kind: Kind = "left out"

    @property
    def is_loaded(self) -> bool:
        """Flag: all of it is loaded, only not in one piece or under its whole name."""
        return self.kind != "left out"


def unpacked(stream: "BufferedReader[Any]") -> BufferedIOBase:
    """Return the content of a stream, unpacked if it is gzip, regardless of the file's name."""
    # RFC 1952, 2.3.1: every gzip member begins with these bytes.
    is_gzip = stream.peek(2)[:2] == b"\x1f\x8b"
    return gzip.GzipFile(fileobj=stream) if is_gzip else stream


def read(stream: BufferedIOBase, *, now_ms: int) -> Iterator[Line | Note]:
    """Yield every line of a file, empty ones left out, and before it what is to be noted about it.

    Raises OSError and EOFError where the file cannot be read.
    """
    with closing(KeyCounts()) as counts:
        reader = _Reader(now_ms, counts)
        number = 0
        while raw := stream.readline(LINE_BYTES_MAX + 1):
            number += 1
            if number == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if len(raw) > LINE_BYTES_MAX:
                while raw and not raw.endswith(b"\n"):
                    raw = stream.readline(LINE_BYTES_MAX)
                yield Note(number, f"longer than {LINE_BYTES_MAX} bytes")
            elif raw.strip():
                try:
                    found = reader.parse(number, raw)
                except ValueError as error:
                    yield Note(number, str(error))
                else:
                    yield from found


class _Reader:
    def __init__(self, now_ms: int, counts: KeyCounts) -> None:
        self._latest_ms = now_ms + FUTURE_MS_MAX
        self._counts = counts

    def parse(self, number: int, raw: bytes) -> Iterator[Line | Note]:
        """Return a line's messages, and notes about them; raises ValueError with the problem."""
        try:
            fields = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg})") from None
        if not isinstance(fields, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - the line is wrong, not a type of ours
        missing = [name for name in FIELDS if name not in fields]
        if missing:
            raise ValueError(f"without {', '.join(missing)}")
        channel, user, content = _text(fields, "channel"), _text(fields, "user"), _text(fields, "content")
        topic = _text(fields, "topic") if fields["topic"] else None
        sent_at = self._milliseconds(fields["timestamp"])
        nonce = self._nonce(channel, topic, user, sent_at, content)  # of what the file says, so that it never changes
        channel, topic = visible_text.clean_name(channel), topic and visible_text.clean_name(topic)
        line = Line(
            number, _shortened(channel, CHANNEL_LENGTH_MAX), topic and _shortened(topic, TOPIC_LENGTH_MAX),
            _shortened(user, USER_LENGTH_MAX), sent_at, content, nonce,
        )  # fmt: skip
        return self._parts(line, cut=[
            f"{name} is longer than {length_max} characters"
            for name, whole, kept, length_max in (
                ("channel", channel, line.channel, CHANNEL_LENGTH_MAX),
                ("topic", topic, line.topic, TOPIC_LENGTH_MAX),
                ("user", user, line.user, USER_LENGTH_MAX),
            )
            if whole != kept
        ])  # fmt: skip

    @staticmethod
    def _parts(line: Line, *, cut: Sequence[str]) -> Iterator[Line | Note]:
        if cut:
            yield Note(line.number, ", ".join(cut), "cut")
        if len(line.content) <= CONTENT_LENGTH_MAX:
            yield line
            return
        parts = _split(line.content)
        yield Note(
            line.number, f"content is longer than {CONTENT_LENGTH_MAX} characters: {len(parts)} messages", "split"
        )
        for position, part in enumerate(parts, 1):
            nonce = line.nonce if position == 1 else f"{line.nonce}-{position}"
            yield line._replace(content=f"{part}\n({position}/{len(parts)})", nonce=nonce)

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
        count = self._counts.add(digest.digest())
        if count > 1:
            digest.update(b"%d" % count)
        return f"import-{digest.hexdigest()}"


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a string")  # noqa: TRY004
    if not visible_text.is_visible(value):
        raise ValueError(f"{name} is empty")
    if "\0" in value:
        raise ValueError(f"{name} has the character U+0000")
    return value


def _shortened(name: str, length_max: int) -> str:
    """Return a name that fits, still another one than all that begin like it."""
    if len(name) <= length_max:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{name[: _end(name, length_max - len(digest) - 4)]}… ({digest})"


def _split(content: str) -> list[str]:
    """Return the parts of a text, each short enough to be marked, cut behind a line, a word, or a character as it is
    seen; together they are the whole text."""
    parts: list[str] = []
    begin = 0
    while begin < len(content):
        rest = content[begin : begin + CONTENT_LENGTH_MAX]
        end = _end(rest, PART_LENGTH_MAX) if len(content) - begin > PART_LENGTH_MAX else len(rest)
        parts.append(rest[:end])
        begin += end
    return parts


def _end(text: str, length_max: int) -> int:
    """Return where to cut a text that is longer than `length_max`."""
    for mark in ("\n", " "):
        at = text.rfind(mark, length_max * 3 // 4, length_max)
        if at >= 0:
            return graphemes.end_within(text, at + 1)  # a mark may stand on the space
    return graphemes.end_within(text, length_max)
