"""The kinds of values that settings hold: each check takes the value from TOML and returns the one that is used.

A refusal names the expected value, in words that fit after "expected", and never repeats the found one.
"""

import datetime
import math
import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, TypeGuard
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

from config import crons

DEFAULT_PORTS = {"http": 80, "https": 443}
HOSTNAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")


def wrong(expected: str, *, found: str | None = None) -> PydanticCustomError:
    """Return the error that names the expected value, and the found one if showing the value would not help."""
    return PydanticCustomError("expected", "{expected}", {"expected": expected, **({"found": found} if found else {})})


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return the check for a whole number from `low` to `high`; TOML's 1.0 and true are not whole numbers."""

    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise wrong(f"a whole number from {low} to {high}")
        return value

    return check


def _rate(value: object) -> float:
    if type(value) not in (int, float) or not 0 < value <= 1_000_000:  # type: ignore[operator]
        raise wrong("a number above 0 and at most 1000000")
    return float(value)  # type: ignore[arg-type]


def text(pattern: str, expected: str) -> Callable[[object], str]:
    """Return the check for a string that matches `pattern` from end to end."""
    matches = re.compile(pattern).fullmatch

    def check(value: object) -> str:
        if not isinstance(value, str) or not matches(value):
            raise wrong(expected)
        return value

    return check


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value can be an installation's name."""
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,62}", value) is not None


def _name(value: object) -> str:
    if not is_name(value):
        raise wrong("1 to 63 lower-case letters, digits, _ or -, not beginning with -")
    return value


def _public(value: object) -> str | int | float | bool:
    # JSON has no nan and inf, and clients read these values as JSON.
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise wrong("a string, a finite number or a boolean")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong("true or false")
    return value


def _date(value: object) -> datetime.date:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    try:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            return datetime.date.fromisoformat(value)
    except ValueError as error:
        raise wrong('a day that exists, as in "2026-11-20"') from error
    raise wrong('a date such as "2026-11-20"')


def _host(value: object) -> str:
    if isinstance(value, str) and (_is_address(value) or HOSTNAME.fullmatch(value.lower())):
        return value
    raise wrong('an address or a host name without scheme and port, such as "127.0.0.1"')


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _origin(value: object) -> str:
    """Return the origin as browsers write it (RFC 6454, 6.2): lower case, the scheme's own port left out."""
    refusal = wrong('an origin without path, such as "https://chat.example.org" (never "*")')
    if not isinstance(value, str):
        raise refusal
    try:
        parts = urlsplit(value)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError as error:
        raise refusal from error
    if ":" in host:
        host = f"[{host}]" if _is_address(host) else ""
    elif not HOSTNAME.fullmatch(host):
        host = ""
    bare = f"{scheme}://{host}"
    # What is left over (user names, paths, queries, stray blanks) makes the two differ.
    if scheme not in DEFAULT_PORTS or not host or value.lower() != (f"{bare}:{port}" if port else bare):
        raise refusal
    return bare if port in (None, DEFAULT_PORTS[scheme]) else f"{bare}:{port}"


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        if isinstance(value, str | IPv4Network | IPv6Network):
            network = ip_network(value)
            if network.prefixlen:
                return network
    except ValueError as error:
        raise wrong('an address or a network without host bits, such as "10.0.0.0/8"') from error
    # With /0 every client is a trusted proxy, and may claim any address in X-Forwarded-For.
    raise wrong('an address or a network, such as "127.0.0.1" or "10.0.0.0/8", but not the whole internet')


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise wrong("a path")
    if value.startswith("~"):
        raise wrong("a path written out in full (~ is not expanded)")
    return Path(value)


def _cron(value: object) -> str:
    fields = value.split() if isinstance(value, str) else []
    if len(fields) != len(crons.FIELDS):
        raise wrong('five fields (minute, hour, day of month, month, day of week), such as "*/5 * * * *"')
    for at, (field, (name, low, high)) in enumerate(zip(fields, crons.FIELDS, strict=True)):
        if not crons.is_field(field, at):
            raise wrong(f'a {name} (the field "{_clip(field)}") of *, a number, a range or a list from {low} to {high}')
    cron = " ".join(fields)
    if not crons.is_possible(cron):
        raise wrong(f'a day that its month has (the fields "{_clip(fields[2])}" and "{_clip(fields[3])}")')
    return cron


def _clip(field: str) -> str:
    return field if len(field) <= 20 and field.isprintable() else ascii(field[:20])[1:-1] + "…"


Url = Annotated[
    str,
    PlainValidator(
        text(
            r"https?://(?![^/]*@)[!-~]{1,1990}",
            'an http or https URL without a user name, such as "https://example.org/x"',
        )
    ),
]
Mailbox = Annotated[
    str, PlainValidator(text(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,190}", 'a mail address such as "ops@example.org"'))
]
Name = Annotated[str, PlainValidator(_name)]
Rate = Annotated[float, PlainValidator(_rate)]
Public = Annotated[str | int | float | bool, PlainValidator(_public)]
Flag = Annotated[bool, PlainValidator(_flag)]
Day = Annotated[datetime.date, BeforeValidator(_date)]
Host = Annotated[str, PlainValidator(_host)]
Origin = Annotated[str, PlainValidator(_origin)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Cron = Annotated[str, PlainValidator(_cron)]
