"""Differences that an edit made, for the log and the audit log: fields as on the wire, before and after."""

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]


def between(before: Facts, after: Facts) -> tuple[Facts, Facts]:
    """Return the fields of each side that the other lacks or has with another value."""
    return _without(before, after), _without(after, before)


def _without(facts: Facts, others: Facts) -> Facts:
    return {name: value for name, value in facts.items() if name not in others or others[name] != value}
