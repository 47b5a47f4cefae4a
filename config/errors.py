"""Errors of settings, with all problems at once, and never with a secret in their text.

SettingsError (ValueError)    the settings cannot be used; `problems` has the place, the found value, the expected one
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to correct: a key's path (or a variable, or a file), the found value, and the expected one."""

    key: str
    found: str
    expected: str
    line: int | None = None

    def __str__(self) -> str:
        where = "" if self.line is None else f" (line {self.line})"
        return f"{self.key}{where}: found {self.found}; expected {self.expected}"


class SettingsError(ValueError):
    """The settings of `source` cannot be used; its message has a line for each problem."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{source}: {count} to correct", *(f"  {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[str, tuple[Problem, ...]]]:
        return SettingsError, (self.source, self.problems)
