"""The level of a shard's size, by the percentages of its binding."""

import pytest

from config.settings import Database
from monitor import sizes

BINDING = Database(
    binding="SHARDS", database_name="shards", size_limit_bytes=2_000_000, warn_percent=80, critical_percent=95
)


@pytest.mark.parametrize(
    ("size_bytes", "level"),
    [
        (0, "ok"),
        (1_599_999, "ok"),
        (1_600_000, "warn"),
        (1_899_999, "warn"),
        (1_900_000, "critical"),
        (1_999_999, "critical"),
        (2_000_000, "full"),
        (9_000_000, "full"),
    ],
)
def test_a_level_begins_at_its_percentage(size_bytes: int, level: str) -> None:
    """A size has the highest level whose percentage of the limit it reaches."""
    assert sizes.judge(size_bytes, BINDING) == level
