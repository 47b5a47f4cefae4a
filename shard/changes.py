"""What an edit changed, for the log and the audit log: facts as on the wire, before and after, where they differ."""

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]


def between(before: Facts, after: Facts) -> tuple[Facts, Facts]:
    """Return the facts of each side that the other has not, or has otherwise."""
    return _without(before, after), _without(after, before)


def _without(facts: Facts, others: Facts) -> Facts:
    return {name: value for name, value in facts.items() if name not in others or others[name] != value}
