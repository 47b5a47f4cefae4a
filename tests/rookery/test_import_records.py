"""Lines of an import: what is a message, what is not and why, and the nonce that makes it arrive once."""

import gzip
import io
from typing import Any

import orjson
import pytest

from rookery.commands import import_records
from rookery.commands.import_records import Line, Note

NOW_MS = 1_760_000_000_000
GOOD = {"channel": "general", "topic": "hello", "user": "ada", "timestamp": 1_600_000_000, "content": "Hi."}


def read(*lines: Any) -> list[Line | Note]:
    """Read lines, encoded unless they are bytes."""
    raw = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    return list(import_records.read(io.BytesIO(b"\n".join(raw)), now_ms=NOW_MS))


def test_a_line_is_a_message_with_its_time_in_milliseconds() -> None:
    """Whole and fractional seconds become milliseconds, an empty topic none, and empty lines are no lines."""
    first, second = read(GOOD, b"", GOOD | {"timestamp": 1_600_000_000.2504, "topic": ""}, b"  ")
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert first[:6] == (1, "general", "hello", "ada", 1_600_000_000_000, "Hi.")
    assert second[:6] == (3, "general", None, "ada", 1_600_000_000_250, "Hi.")


def test_a_byte_order_mark_is_passed_over() -> None:
    """A mark before the first line, as editors write it, is no part of it; the line keeps its nonce."""
    marked = read(b"\xef\xbb\xbf" + orjson.dumps(GOOD), GOOD)
    assert marked == read(GOOD, GOOD)
    assert read(b"\xef\xbb\xbf") == []
    assert isinstance(read(GOOD, b"\xef\xbb\xbf" + orjson.dumps(GOOD))[1], Note)


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
        (GOOD | {"content": "\u3164\u200b"}, "content is empty"),
        (GOOD | {"channel": "\u202e"}, "channel is empty"),
        (GOOD | {"user": "\u2800"}, "user is empty"),
        (GOOD | {"content": "a\0b"}, "content has the character U+0000"),
        (GOOD | {"topic": 7}, "topic is not a string"),
        (GOOD | {"channel": None}, "channel is not a string"),
        (GOOD | {"user": ""}, "user is empty"),
        (GOOD | {"timestamp": "1600000000"}, "timestamp is not a number of seconds"),
        (GOOD | {"timestamp": True}, "timestamp is not a number of seconds"),
        (GOOD | {"timestamp": -1}, "timestamp is before 1970"),
        (GOOD | {"timestamp": 1_600_000_000_000}, "timestamp is in the future"),
        (b'{"content": "' + b"x" * import_records.LINE_BYTES_MAX + b'"}', "longer than 1048576 bytes"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_the_next_one_is_read(line: Any, reason: str) -> None:
    """Whatever is no message is told by number and reason, never by what it says, and harms no other line."""
    before, bad, after = read(GOOD, line, GOOD)
    assert isinstance(before, Line)
    assert isinstance(bad, Note)
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


TEXTS = [
    "x" * 8_001,
    "word " * 5_000,
    "line\n" * 5_000,
    "👨\u200d👩\u200d👧\u200d👦" * 2_000,
    "e\u0301" * 9_000,
    "🇩🇪🇸🇪" * 4_000,
    "\n" * 20_000 + "end",
    "x \u0301" * 9_000,
]
"""Texts that are too long for one message."""


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text[:6]))
def test_a_long_text_is_several_messages(text: str) -> None:
    """The parts are marked, in order, within the limit, each with a nonce that stays, and together the whole text."""
    note, *parts = read(GOOD | {"content": text})
    assert (note.number, isinstance(note, Note) and note.kind) == (1, "split")
    said = [part.content for part in parts if isinstance(part, Line)]
    assert len(said) == len(parts) > 1
    assert max(map(len, said)) <= 8_000
    marks = [f"\n({number}/{len(parts)})" for number in range(1, len(parts) + 1)]
    assert "".join(one.removesuffix(mark) for one, mark in zip(said, marks, strict=True)) == text
    assert len({part.nonce for part in parts if isinstance(part, Line)}) == len(parts)
    assert read(GOOD | {"content": text})[1:] == parts


def test_a_long_text_is_cut_where_it_may_be() -> None:
    """Behind a line, else behind a word, else never inside of what is seen as one character."""
    for text, ends in (
        ("line\n" * 5_000, "\n"),
        ("word " * 5_000, " "),
        ("e\u0301" * 9_000, "\u0301"),
        ("🇩🇪" * 9_000, "🇪"),
    ):
        first = read(GOOD | {"content": text})[1]
        assert isinstance(first, Line)
        assert first.content.rpartition("\n(1/")[0].endswith(ends)
        assert len(first.content.rpartition("\n(1/")[0]) % 2 == 0 or ends in "\n "


@pytest.mark.parametrize(("field", "length"), [("topic", 200), ("channel", 100), ("user", 100)])
def test_a_long_name_is_cut_and_stays_another(field: str, length: int) -> None:
    """A name beyond its bound is cut and reported, the same at every reading, and never becomes that of another one."""
    one, other = ("n" * length + end for end in "ab")
    note, first, _, second, _, again = read(*(GOOD | {field: name} for name in (one, other, one)))
    assert isinstance(note, Note)
    assert (note.kind, note.reason) == ("cut", f"{field} is longer than {length} characters")
    names = [getattr(line, field) for line in (first, second, again)]
    assert names[0] == names[2] != names[1]
    assert {len(name) for name in names} == {length}


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
        stream = import_records.unpacked(io.BufferedReader(io.BytesIO(packed)))
        assert stream.readline() == plain
