"""Values on the wire: ids are strings, times are RFC 3339 UTC."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson


def moment(time_ms: int) -> datetime:
    """Return a time on the wire from milliseconds UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def moment_or_none(time_ms: int | None) -> datetime | None:
    """Return a time on the wire, if there is one."""
    return None if time_ms is None else moment(time_ms)


def text_or_none(number: int | None) -> str | None:
    """Return an id on the wire, if there is one."""
    return None if number is None else str(number)


def with_moments(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of an audit log on the wire: what is called a time and is a number is milliseconds UTC."""
    return {
        name: moment(value) if name.endswith(("_at", "_until")) and isinstance(value, int) else value
        for name, value in facts.items()
    }


def encode(value: Any) -> bytes:
    """Return a view as JSON."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
