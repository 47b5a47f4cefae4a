"""Mypy checks what is given to a ScopedRoom against the act that it completes."""

import subprocess
import sys
from pathlib import Path

import pytest

from router.room_access import ScopedRoom
from tests import mypy_scoped_rooms

PROJECT = Path(__file__).parent.parent

ROOM = """
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, NewType, TypeVar

T = TypeVar("T")
UserId = NewType("UserId", int)
RoleId = NewType("RoleId", int)


class Writer: ...


class ScopedRoom:
    def write(
        self, act: Callable[Concatenate[Writer, UserId, ...], T], *arguments: Any, **options: Any
    ) -> Awaitable[T]:
        raise NotImplementedError


def grant(writer: Writer, user_id: UserId, role_id: RoleId, *, reason: str | None = None, now_ms: int) -> str:
    return ""


def sweep(writer: Writer, user_id: UserId) -> str:
    return ""


def spell(word: str, user_id: UserId, *, now_ms: int) -> str:
    return word


room = ScopedRoom()
role_id = RoleId(1)
"""
"""A room as the plugin knows it, and what may be asked of it."""

CALLS = {
    "in order": ("write(grant, role_id)", None),
    "with a reason": ("write(grant, role_id, reason='x')", None),
    "another id": ("write(grant, UserId(1))", 'has incompatible type "UserId"'),
    "an argument too few": ("write(grant)", "Missing positional argument"),
    "an argument too many": ("write(grant, role_id, role_id)", "Too many"),
    "an option of another type": ("write(grant, role_id, reason=5)", 'has incompatible type "int"'),
    "an option that the act has not": ("write(grant, role_id, why='x')", "Unexpected keyword"),
    "a time of one's own": ("write(grant, role_id, now_ms=5)", "Unexpected keyword"),
    "an act without a time": ("write(sweep)", "takes no"),
    "no act": ("write(spell)", "has incompatible type"),
    "an act that is not known": ("write(print if room else grant, role_id)", "parameters are known"),
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what mypy says of each call."""
    folder = tmp_path_factory.mktemp("rooms")
    (folder / "router").mkdir()
    (folder / "router" / "__init__.py").touch()
    lines = [*ROOM.splitlines(), *(f"room.{call}" for call, _ in CALLS.values())]
    (folder / "router" / "room_access.py").write_text("\n".join(lines), encoding="utf-8")
    settings = folder / "mypy.ini"
    settings.write_text(f"[mypy]\nplugins = {mypy_scoped_rooms.__file__}\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(settings), "router/room_access.py"]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    found = dict.fromkeys(CALLS, "")
    for line in said.splitlines()[:-1]:
        number = int(line.split(":")[1])
        found[list(CALLS)[number - len(ROOM.splitlines()) - 1]] += line
    return found


@pytest.mark.parametrize("name", CALLS)
def test_arguments_are_those_of_the_act(complaints: dict[str, str], name: str) -> None:
    """What an act takes beyond the store, the caller and the time is checked as if it were called itself."""
    _, expected = CALLS[name]
    if expected is None:
        assert complaints[name] == ""
    else:
        assert expected in complaints[name]


def test_the_project_asks_the_plugin() -> None:
    """The plugin stands in mypy's settings, and knows the methods of ScopedRoom by the names that they have."""
    assert 'plugins = ["tests/mypy_scoped_rooms.py"]' in (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    methods = {name for name in vars(ScopedRoom) if not name.startswith("_") and callable(getattr(ScopedRoom, name))}
    assert {f"{ScopedRoom.__module__}.ScopedRoom.{name}" for name in methods} == mypy_scoped_rooms.METHODS
