"""The tour for newcomers: each path that it names exists, and each change says where it is made."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
CHANGES = dict(re.findall(r"^### (.+?)\n(.+?)(?=^### |\Z)", TOUR, re.MULTILINE | re.DOTALL))

_PATH = re.compile(r"`([a-zA-Z_0-9/]+(?:/|\.(?:py|md|toml|sql)))`")


def missing(text: str, root: Path) -> list[str]:
    """Return the paths that a text names in backticks and that do not exist."""
    return [path for path in _PATH.findall(text) if not (root / path).exists()]


def test_every_path_of_the_tour_exists() -> None:
    """Each file and each folder that the tour names exists."""
    assert not missing(TOUR, ROOT)


def test_a_path_that_does_not_exist_is_found(tmp_path: Path) -> None:
    """A file or folder that the tour names and that does not exist is found, and only that."""
    (tmp_path / "shard").mkdir()
    (tmp_path / "ids.py").touch()
    text = "`shard/` `ids.py` `shard/gone.py` `gone/` `Route` `messages.insert`"
    assert missing(text, tmp_path) == ["shard/gone.py", "gone/"]


def test_the_tour_names_at_least_twenty_changes() -> None:
    """The tour says for at least twenty everyday changes where they are made."""
    assert len(CHANGES) >= 20


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_names_its_files_in_order(change: str) -> None:
    """Each change is a numbered list that names at least two files."""
    steps = re.findall(r"^(\d+)\. ", CHANGES[change], re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert len(_PATH.findall(CHANGES[change])) >= 2
