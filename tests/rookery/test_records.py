"""Lines of an import: what is a message, what is not and why, and the nonce that makes it arrive once."""

import gzip
import io
from typing import Any

import orjson
import pytest

from rookery import records
from rookery.records import BadLine, Line

NOW_MS = 1_760_000_000_000
GOOD = {"channel": "general", "topic": "hello", "user": "ada", "timestamp": 1_600_000_000, "content": "Hi."}


def read(*lines: Any) -> list[Line | BadLine]:
    """Read lines, encoded unless they are bytes."""
    raw = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    return list(records.read(io.BytesIO(b"\n".join(raw)), now_ms=NOW_MS))


def test_a_line_is_a_message_with_its_time_in_milliseconds() -> None:
    """Whole and fractional seconds become milliseconds, an empty topic none, and empty lines are no lines."""
    first, second = read(GOOD, b"", GOOD | {"timestamp": 1_600_000_000.2504, "topic": ""}, b"  ")
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert first[:6] == (1, "general", "hello", "ada", 1_600_000_000_000, "Hi.")
    assert second[:6] == (3, "general", None, "ada", 1_600_000_000_250, "Hi.")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b'{"content": "\\ud800"}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        ([GOOD], "not a JSON object"),
        ({"channel": "general"}, "without topic, user, timestamp, content"),
        (GOOD | {"content": 7}, "content is not a string"),
        (GOOD | {"content": ""}, "content is empty"),
        (GOOD | {"content": " \n"}, "content is empty"),
        (GOOD | {"content": "x" * 8_001}, "content is longer than 8000 characters"),
        (GOOD | {"content": "a\0b"}, "content has the character U+0000"),
        (GOOD | {"topic": 7}, "topic is not a string"),
        (GOOD | {"topic": "x" * 201}, "topic is longer than 200 characters"),
        (GOOD | {"channel": "x" * 101}, "channel is longer than 100 characters"),
        (GOOD | {"channel": None}, "channel is not a string"),
        (GOOD | {"user": ""}, "user is empty"),
        (GOOD | {"timestamp": "1600000000"}, "timestamp is not a number of seconds"),
        (GOOD | {"timestamp": True}, "timestamp is not a number of seconds"),
        (GOOD | {"timestamp": -1}, "timestamp is before 1970"),
        (GOOD | {"timestamp": 1_600_000_000_000}, "timestamp is in the future"),
        (b'{"content": "' + b"x" * records.LINE_BYTES_MAX + b'"}', "longer than 1048576 bytes"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_the_next_one_is_read(line: Any, reason: str) -> None:
    """Whatever is no message is told by number and reason, never by what it says, and harms no other line."""
    before, bad, after = read(GOOD, line, GOOD)
    assert isinstance(before, Line)
    assert isinstance(bad, BadLine)
    assert isinstance(after, Line)
    assert bad.number == 2
    assert bad.reason.startswith(reason)
    assert after.number == 3


@pytest.mark.parametrize(
    "change", [{"content": "x" * 8_000}, {"topic": "x" * 200}, {"channel": "x" * 100}, {"timestamp": NOW_MS // 1000}]
)
def test_what_is_just_within_the_bounds_is_a_message(change: dict[str, Any]) -> None:
    """The longest texts and the latest time are accepted."""
    assert isinstance(read(GOOD | change)[0], Line)


def nonces(*lines: dict[str, Any]) -> list[str]:
    return [line.nonce for line in read(*lines) if isinstance(line, Line)]


def test_the_nonce_is_of_what_is_said_and_how_often() -> None:
    """The same line has the same nonce at every reading, every repetition its own, and any other line another."""
    others = [
        GOOD | change
        for change in (
            {"channel": "other"},
            {"topic": "other"},
            {"topic": ""},
            {"user": "bob"},
            {"timestamp": 1_600_000_001},
            {"content": "Hi!"},
        )
    ]
    made = nonces(GOOD, *others, GOOD, GOOD)
    assert len(set(made)) == len(made)
    assert nonces(GOOD, *others, GOOD, GOOD) == made
    assert nonces(GOOD, GOOD, *others, GOOD)[:2] == [made[0], made[-2]]
    assert nonces(GOOD | {"timestamp": 1_600_000_000.0}) == made[:1]


def test_gzip_is_known_by_its_content() -> None:
    """A packed and a plain stream read the same, whatever their names."""
    plain = orjson.dumps(GOOD)
    for packed in (plain, gzip.compress(plain)):
        stream = records.unpacked(io.BufferedReader(io.BytesIO(packed)))
        assert stream.readline() == plain
