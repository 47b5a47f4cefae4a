"""One measured figure beside its aim."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of some values that so many percent of them do not exceed; of few values, the largest."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value in its unit; with `at_least` or `at_most` it has an aim."""

    what: str
    value: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """Return whether the aim is reached; None without one."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None

    def as_dict(self) -> dict[str, Any]:
        """Return the figure for scripts."""
        return asdict(self) | {"is_reached": self.is_reached}

    def as_row(self) -> str:
        """Return the figure as a row of a Markdown table."""
        aim = f"≥ {self.at_least:g}" if self.at_least is not None else ""
        aim = f"≤ {self.at_most:g}" if self.at_most is not None else aim
        verdict = {None: "", True: "yes", False: "**no**"}[self.is_reached]
        number = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return f"| {self.what} | {number} {self.unit} | {aim} | {verdict} |\n"
