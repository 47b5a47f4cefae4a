"""This project keeps the rules of the house, and each rule finds the violation planted for it and nothing else."""

import subprocess
from pathlib import Path

import pytest

from tests import house_sources
from tests.house_imports import MAY_IMPORT, SHIPPED
from tests.house_rules import RULES, broken
from tests.house_violations import HOUSE, IN_ORDER, PLANTED

PROJECT = Path(__file__).parent.parent


def build(root: Path, files: dict[str, str]) -> tuple[house_sources.Source, ...]:
    """Write files below a root and read them back as the rules see them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return house_sources.read(root)


@pytest.fixture(scope="module")
def project() -> tuple[house_sources.Source, ...]:
    """Read this project once for all rules."""
    return house_sources.read(PROJECT)


@pytest.mark.parametrize("rule", RULES)
def test_the_project_keeps_the_rule(project: tuple[house_sources.Source, ...], rule: str) -> None:
    """Nothing in this project breaks a rule of the house."""
    findings = [str(finding) for finding in RULES[rule](project)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(("rule", "violation"), PLANTED.values(), ids=PLANTED)
def test_a_planted_violation_is_found(tmp_path: Path, rule: str, violation: dict[str, str]) -> None:
    """A violation in a house in order is found by its own rule, named with file and line, and by no other rule."""
    assert broken(build(tmp_path, HOUSE)) == {}
    findings = broken(build(tmp_path, violation))
    assert list(findings) == [rule]
    assert findings[rule][0].startswith(tuple(f"{name}:" for name in violation))


@pytest.mark.parametrize("change", IN_ORDER.values(), ids=IN_ORDER)
def test_what_is_allowed_is_not_found(tmp_path: Path, change: dict[str, str]) -> None:
    """Code that only resembles a violation breaks no rule."""
    assert broken(build(tmp_path, HOUSE | change)) == {}


def test_no_wall_has_a_door() -> None:
    """No store may import another, no plane the other, and nothing that ships what sees everything."""
    stores = {"directory", "feeds", "graph", "meeting", "safety", "shard"}
    for store in stores:
        assert not MAY_IMPORT[store] & (stores | {"router", "monitor", "config"}), store
    assert "monitor" not in MAY_IMPORT["router"]
    assert "router" not in MAY_IMPORT["monitor"]
    assert [package for package in SHIPPED if "rookery" in MAY_IMPORT[package]] == ["rookery"]


def test_every_rule_has_a_planted_violation() -> None:
    """No rule stands without a proof that it can fail."""
    assert {rule for rule, _ in PLANTED.values()} == set(RULES)


def test_ignored_files_are_not_judged_and_new_files_are(tmp_path: Path) -> None:
    """With git, a file that is not yet tracked is judged and an ignored one is not; without git, both are."""
    files = HOUSE | {
        ".gitignore": "shard/tables/scratch.py\n",
        "shard/tables/scratch.py": "",
        ".venv/lib/thing.py": "import sqlite3\n",
    }
    assert list(broken(build(tmp_path, files))) == ["dead_files"]
    subprocess.run(["git", "-c", "init.defaultBranch=main", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("shard/tables/scratch.py\n.venv/\n", encoding="utf-8")
    assert broken(house_sources.read(tmp_path)) == {}
    (tmp_path / "shard" / "tables" / "attic.py").write_text("", encoding="utf-8")
    assert list(broken(house_sources.read(tmp_path))) == ["dead_files"]
