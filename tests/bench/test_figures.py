"""What benchmarks compute from what they measured."""

import pytest

from bench.figures import percentile


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        ([7.0], 99, 7.0),
        ([3.0, 1.0], 99, 3.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([float(n) for n in range(1, 201)], 99, 198.0),
    ],
)
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float, found: float) -> None:
    """Few values have percentiles too: the largest of them, where there are too few to tell."""
    assert percentile(values, percent) == found
