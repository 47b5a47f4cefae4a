"""What counts as a value: bounds, origins, networks, paths, dates and cron entries."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config.settings import Bucket, Database, Limits, Server, Settings, TokenBucket, Triggers


def accepted(model: type[Any], **values: object) -> bool:
    try:
        model(**values)
    except ValidationError:
        return False
    return True


BOUNDS = [
    (Server, "port", 0, 65_535),
    (Server, "shutdown_grace_seconds", 0, 600),
    (Server, "keep_alive_seconds", 1, 3_600),
    (Server, "session_days", 1, 365),
    (Limits, "message_length_max", 1, 8_000),
    (Limits, "page_size_max", 1, 100),
    (Limits, "shard_writers", 1, 256),
    (Limits, "shards_open_max", 1, 10_000_000),
    (Limits, "group_members_max", 2, 1_000),
]


@pytest.mark.parametrize(("model", "key", "low", "high"), BOUNDS)
def test_bounds_are_inclusive(model: type[Any], key: str, low: int, high: int) -> None:
    """Both ends of a bound are accepted and the numbers beside them are not."""
    assert [accepted(model, **{key: value}) for value in (low, high, low - 1, high + 1)] == [True, True, False, False]


@pytest.mark.parametrize("value", [True, 1.0, "1", None, [1]])
def test_whole_numbers_are_not_guessed(value: object) -> None:
    """Neither true nor 1.0 nor "1" is taken for the number 1."""
    assert accepted(Limits, page_size_max=1)
    assert not accepted(Limits, page_size_max=value)


def test_rates_may_be_fractions() -> None:
    """A rate is any number above zero, a burst at least one; nan and infinity are neither."""
    assert TokenBucket(per_second=1, burst=1).per_second == 1.0
    assert accepted(TokenBucket, per_second=0.001, burst=1)
    for bad in (0, -1, float("nan"), float("inf"), True, "1"):
        assert not accepted(TokenBucket, per_second=bad, burst=1)
    assert not accepted(TokenBucket, per_second=1, burst=0)
    assert not accepted(TokenBucket, burst=1)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://chat.example.org", "https://chat.example.org"),
        ("HTTPS://Chat.Example.org:443", "https://chat.example.org"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins_are_kept_as_browsers_write_them(given: str, kept: str) -> None:
    """Case and the scheme's own port do not make another origin."""
    assert Server(allowed_origins=(given,)).allowed_origins == (kept,)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "*",
            "",
            "null",
            "chat.example.org",
            "//chat.example.org",
            "ftp://a.example",
            "https://",
            "https://*.a.example",
        ),
        *(
            "https://a.example/",
            "https://a.example/x",
            "https://a.example?x",
            "https://a.example#x",
            "https://a.example:",
        ),
        *("https://me@a.example", "https://a.example:0", "https://a.example:99999", "https://a.example:0443"),
        *(" https://a.example", "https://a.exa\tmple", "https://a..example", "https://[::1", "https://[zz::]", 1, None),
    ],
)
def test_what_is_no_origin_is_refused(value: object) -> None:
    """Wildcards, paths, names, stray blanks and other schemes are not origins."""
    assert accepted(Server, allowed_origins=["https://a.example"])
    assert not accepted(Server, allowed_origins=[value])


def test_proxies_are_addresses_and_networks() -> None:
    """A trusted proxy is an address or a network, and never everyone."""
    server = Server.model_validate({"trusted_proxies": ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]})
    assert [str(each) for each in server.trusted_proxies] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    for bad in ("*", "10.0.0.1/8", "0.0.0.0/0", "::/0", "localhost", "", 2130706433, None):
        assert not accepted(Server, trusted_proxies=[bad])


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("127.0.0.1", True),
        ("::", True),
        ("chat.example.org", True),
        ("localhost:80", False),
        ("http://a", False),
        ("", False),
        ("a b", False),
        ("-a", False),
        (1, False),
    ],
)
def test_hosts_are_names_or_addresses(value: object, good: bool) -> None:
    """A host has no scheme, no port and no blanks."""
    assert accepted(Server, host=value) is good


def test_names_cannot_leave_the_data_folder() -> None:
    """The names that become files and folders hold no separators and no dots."""
    assert accepted(Database, binding="SHARDS", database_name="shards-2_b")
    for bad in ("", ".", "..", "../x", "a/b", "a\\b", "a.db", "-a", "a\n", "a" * 65, "é"):
        assert not accepted(Database, binding="SHARDS", database_name=bad)
        assert not accepted(Bucket, binding="ARCHIVE", bucket_name=bad + "aa/" if len(bad) == 1 else bad)
    assert not accepted(Database, binding="OTHER", database_name="shards")


def test_paths_are_taken_literally() -> None:
    """A path is a string without NUL; the tilde is refused because it would become a folder of that name."""
    assert Server(data_dir=Path("/srv/x")).data_dir == Path("/srv/x")
    for bad in ("", "~", "~/data", "a\0b", 1):
        assert not accepted(Server, data_dir=bad)


def test_dates_are_iso_days() -> None:
    """The compatibility date is a day, as TOML's own date or as wrangler's string."""
    day = datetime.date(2026, 12, 1)
    assert Settings(compatibility_date=day) == Settings(compatibility_date="2026-12-01")  # type: ignore[arg-type]
    midnight = datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC)
    for bad in ("2026-13-01", "20261201", "2026-W01-1", "tomorrow", 20261201, midnight):
        assert not accepted(Settings, compatibility_date=bad)


def test_vars_are_what_json_can_say() -> None:
    """Public values are strings, booleans and finite numbers, and keep their kind."""
    kept = Settings(vars={"a": 1, "b": True, "c": "1", "d": 1.5}).vars
    assert [type(value) for value in kept.values()] == [int, bool, str, float]
    refused: tuple[object, ...] = (float("nan"), float("inf"), None, [], {}, datetime.date(2026, 1, 1))
    for bad in refused:
        assert not accepted(Settings, vars={"a": bad})


@pytest.mark.parametrize(
    "cron",
    [
        *("* * * * *", "*/5 * * * *", "0 0 1 1 0", "59 23 31 12 6", "1,2-4,10-50/7 */2 * * 1-5"),
        *("* * * JAN *", "0 0 * jan-Mar/2,dec MON-FRI", "0 0 29 2 *", "0 0 31 2 MON"),
    ],
)
def test_crons_of_five_fields(cron: str) -> None:
    """Numbers, names, ranges, lists and steps are accepted, with blanks made one."""
    assert Triggers(crons=(cron.replace(" ", " \t"),)).crons == (cron,)


@pytest.mark.parametrize(
    "cron",
    [
        *("", "* * * *", "* * * * * *", "@daily", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *"),
        *("* * * 13 *", "* * * * 7", "5-1 * * * *", "*/0 * * * *", "*/60 * * * *", "5/2 * * * *", "1, * * * *"),
        *("-1 * * * *", "1-2-3 * * * *", "\u0661 * * * *", f"{'9' * 5000} * * * *", 5, None),
        *("* * * MON *", "* * * * JAN", "JAN * * * *", "* * * JANUARY *", "* * * * FRI-MON", "* * * JAN/2 *"),
        *("* * L * *", "* * LW * *", "* * * * 5L", "* * * * 5#2", "* * * * MON#1", "*/2/3 * * * *", "*/ * * * *"),
        *("0 0 31 2 *", "0 0 30,31 2 */2", "0 0 31 4,6,9,11 *", "0 0 31 FEB-FEB *"),
    ],
)
def test_what_is_no_cron_is_refused(cron: object) -> None:
    """Wrong counts, ranges, steps and names, what not every cron knows, and days that never come are refused."""
    assert accepted(Triggers, crons=["* * * * *"])
    assert not accepted(Triggers, crons=[cron])


@settings(deadline=None)
@given(st.text(alphabet="0123456789*/-, ", max_size=24))
def test_accepted_crons_name_possible_times(cron: str) -> None:
    """Every number in an accepted entry lies within the bounds of its field."""
    if accepted(Triggers, crons=[cron]):
        for field, low, high in zip(cron.split(), (0, 0, 1, 1, 0), (59, 23, 31, 12, 6), strict=True):
            for part in field.split(","):
                numbers = [int(number) for number in part.partition("/")[0].replace("*", str(low)).split("-")]
                assert all(low <= number <= high for number in numbers)
                assert numbers == sorted(numbers)
