"""Log lines: one line each, with their fields, for people or for collectors, and nothing secret."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from rookery import logs
from rookery.logs import HumanFormatter, JsonFormatter


def record(message: str, *, level: int = logging.WARNING, error: bool = False, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("shard.pool", level, "pool.py", 1, message, (), sys.exc_info() if error else None)
    made.__dict__.update(extra)
    return made


@pytest.fixture
def configured() -> Iterator[None]:
    """Put the loggers back as they were."""
    handlers, level = logging.root.handlers[:], logging.root.level
    levels = {name: logging.getLogger(name).level for name in (*logs.OURS, "uvicorn")}
    yield
    logging.captureWarnings(capture=False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_json_line_has_the_fields_that_were_given() -> None:
    """Time, level, logger, message and every extra field stand in one JSON object on one line."""
    line = JsonFormatter().format(record("a shard\nfailed", room_id=7, reason="disk", path=sys.path))
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "logger": "shard.pool",
        "message": "a shard\nfailed",
        "room_id": "7",
        "reason": "disk",
        "path": sys.path,
    }


def test_numbers_that_a_reader_would_round_are_strings() -> None:
    """Ids, alone and in lists, and whatever has more than 53 bits come exactly through any reader of JSON."""
    snowflake = 1_577_292_978_865_569_793
    facts: dict[str, Any] = {"room_ids": [snowflake, 7], "last": snowflake, "in": {"user_id": 9, "count": 3}}
    made = record("x", room_id=snowflake, **facts, bytes=1_000, is_full=True, seconds=0.5)
    told = json.loads(JsonFormatter().format(made))
    assert (told["room_id"], told["room_ids"], told["last"]) == (str(snowflake), [str(snowflake), "7"], str(snowflake))
    assert told["in"] == {"user_id": "9", "count": 3}
    assert (told["bytes"], told["is_full"], told["seconds"]) == (1_000, True, 0.5)


def test_a_field_cannot_pass_for_what_every_line_has() -> None:
    """Fields called time or logger do not replace the real ones."""
    told = json.loads(JsonFormatter().format(record("hello", time="never", logger="forged")))
    assert (told["logger"], told["time"] == "never") == ("shard.pool", False)


def test_an_exception_comes_with_its_traceback_in_the_same_object() -> None:
    """The traceback is one field, without the values of local variables."""
    try:
        secret = "hunter2"
        raise KeyError(len(secret))
    except KeyError:
        told = json.loads(JsonFormatter().format(record("it failed", error=True)))
    assert "KeyError" in told["exception"]
    assert "'hunter2'" not in told["exception"].replace('secret = "hunter2"', "")


def test_a_line_for_people_has_its_fields_after_the_message() -> None:
    """Values with blanks are quoted, and nothing that a terminal would obey gets through."""
    line = HumanFormatter().format(record("a shard failed", room_id=7, reason="disk is full", name_="\x1b[31m\n"))
    assert line[8:] == ' WARNING a shard failed room_id=7 reason="disk is full" name_="\\u001b[31m\\n"'
    assert HumanFormatter().format(record("two\nlines"))[8:] == ' WARNING "two\\nlines"'


def test_debug_is_for_our_own_lines(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    """At the debug level libraries stay at info, since theirs show parameters and headers."""
    logs.configure("debug", "json")
    logging.getLogger("shard.pool").debug("ours")
    logging.getLogger("somebody").debug("theirs")
    logging.getLogger("somebody").info("fine")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["ours", "fine"]


@pytest.mark.parametrize(("level", "expected"), [("info", ["ours", "trouble"]), ("error", [])])
def test_less_than_the_level_is_not_logged(
    configured: None, capsys: pytest.CaptureFixture[str], level: str, expected: list[str]
) -> None:
    """Lines below the level are left out, and uvicorn's own chatter below a warning always."""
    logs.configure(level, "json")
    logging.getLogger("router.edge").info("ours")
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("uvicorn.error").warning("trouble")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == expected


def test_auto_is_json_where_nobody_reads_along(configured: None, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal "auto" writes JSON."""
    logs.configure("info", "auto")
    logging.getLogger("shard").info("hello")
    assert json.loads(capsys.readouterr().err)["message"] == "hello"
