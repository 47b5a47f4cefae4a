"""The clock, held against what was written before."""

import pytest

from monitor import doctor

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("now_ms", "newest", "problems"),
    [
        (NOW_MS, (), 0),
        (NOW_MS, (("an event", NOW_MS + 60_000),), 0),
        (NOW_MS, (("an event", NOW_MS + 60_001),), 1),
        (NOW_MS, (("an event", NOW_MS + 60_001), ("another", NOW_MS + 90_000)), 1),
        (doctor.CLOCK_MIN_MS - 1, (), 1),
        (doctor.CLOCK_MAX_MS + 1, (), 1),
        (0, (("an event", NOW_MS),), 2),
    ],
)
def test_a_clock_that_cannot_be_right_is_told(now_ms: int, newest: tuple[tuple[str, int], ...], problems: int) -> None:
    """A clock behind what was written, or out of this program's age, is a finding; a little skew is not."""
    assert len(list(doctor.check_clock(newest, now_ms=now_ms))) == problems
