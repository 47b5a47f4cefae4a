"""A data folder of another user: no command makes files in it that its owner could not open."""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from rookery import data_owner
from rookery.cli import app
from rookery.errors import CommandError
from tests.rookery import histories
from tests.rookery.terminal import invoke

NOBODY = 65_534
NAMELESS = 61_234

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="giving files away, and becoming another user, needs root")

ARGUMENTS = {
    "serve": ("--port", "0"),
    "start-anew": ("--yes",),
    "adopt": (),
    "import": ("history.jsonl", "--room", "lean"),
    "migrate apply": (),
    "user create": ("dora", "--password-stdin"),
    "user password": ("alice", "--password-stdin"),
    "user promote": ("alice",),
    "user demote": ("alice",),
    "user suspend": ("alice", "--reason", "spam"),
    "user reinstate": ("alice",),
    "user list": (),
    "user show": ("alice",),
    "user imported": ("one",),
    "user claim": ("Grace", "grace", "--room", "one", "--password-stdin"),
    "room list": (),
    "room show": ("one",),
    "room hibernate": ("one",),
    "room wake": ("one",),
    "room repair": ("one",),
    "audit list": (),
    "audit verify": (),
    "monitor run": (),
    "monitor once": (),
    "monitor status": (),
    "monitor limit": ("one", "0"),
    "monitor acknowledge": ("1",),
    "monitor optimize": ("one",),
    "monitor check": ("one",),
    "monitor release": ("one",),
    "archive run": ("--all",),
    "archive status": (),
    "archive policy": ("one", "--archive-after", "90"),
    "archive hold": ("one", "--reason", "case"),
    "archive release": ("one",),
}
"""Commands that open the data folder, with what they need."""
OUTSIDE = {"doctor", "init", "migrate create", "migrate list"}
"""Commands that change nothing in the data folder: they look, or write elsewhere."""


def commands(group: typer.core.TyperGroup, *above: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an installation with a user, as root."""
    folder = tmp_path_factory.mktemp("original") / "data"
    made = invoke("--data", folder, "user", "create", "alice", "--password-stdin", stdin="correct horse\n")
    assert made.code == 0
    return folder


@pytest.fixture
def data(original: Path) -> Iterator[Path]:
    """Copy the installation to where every user may go, and give it to a user without rights."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        copy = Path(folder) / "data"
        shutil.copytree(original, copy)
        give(copy, NOBODY)
        yield copy


def give(folder: Path, user: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user, user)


def owners(folder: Path) -> dict[str, int]:
    return {path.relative_to(folder).as_posix(): path.stat().st_uid for path in (folder, *folder.rglob("*"))}


def test_root_is_refused_by_every_command(data: Path) -> None:
    """Each command that would write says whose folder it is and how to run it, and leaves nothing behind."""
    root = typer.main.get_command(app)
    assert isinstance(root, typer.core.TyperGroup)
    assert set(commands(root)) == ARGUMENTS.keys() | OUTSIDE
    (data.parent / "history.jsonl").write_bytes(histories.encoded(histories.history(3)))
    before = owners(data)
    for name, arguments in ARGUMENTS.items():
        words = [str(data.parent / word) if word.endswith(".jsonl") else word for word in arguments]
        told = invoke("--data", data, *name.split(), *words, stdin="correct horse\n")
        assert (name, told.code, told.out) == (name, 1, "")
        assert "belongs to the user nobody, and this command runs as root" in told.err, name
        assert "sudo -u nobody rookery" in told.err, name
        assert owners(data) == before, name


def test_the_owner_is_let_in(data: Path) -> None:
    """The remedy works: as the owner the same command does its work, and no file is another's."""
    words = ("--data", str(data), "user", "create", "dora", "--password-stdin")
    assert invoke(*words, stdin="correct horse\n").code == 1
    os.seteuid(NOBODY)
    try:
        made = invoke(*words, stdin="correct horse\n")
        assert (made.code, made.err) == (0, "")
    finally:
        os.seteuid(0)
    assert set(owners(data).values()) == {NOBODY}


def test_another_user_is_refused_and_told_to_take_the_folder(data: Path) -> None:
    """Without rights of root, too: a folder of root's, or a file that root left, comes back with chown."""
    give(data, 0)
    os.seteuid(NOBODY)
    try:
        told = invoke("--data", data, "user", "list")
    finally:
        os.seteuid(0)
    assert told.code == 1
    assert f"as root: chown -R nobody {data}" in told.err
    give(data, NOBODY)
    os.chown(data / "directory.db", 0, 0)
    os.seteuid(NOBODY)
    try:
        told = invoke("--data", data, "user", "list")
    finally:
        os.seteuid(0)
    assert "directory.db belongs to the user root" in told.err
    assert f"Give the files back, as root: chown -R nobody {data}" in told.err


def test_a_user_without_a_name_is_told_by_number(data: Path) -> None:
    """Containers have users without names: sudo takes a number behind #."""
    give(data, NAMELESS)
    told = invoke("--data", data, "user", "list")
    assert (told.code, f"sudo -u '#{NAMELESS}' rookery" in told.err) == (1, True)


def test_a_folder_without_a_directory_takes_whom_it_lets_in(data: Path) -> None:
    """A volume of root's that a group may write to is no folder of another: the first start makes the files."""
    shutil.rmtree(data)
    data.mkdir()
    data.chmod(0o777)
    os.seteuid(NOBODY)
    try:
        assert invoke("--data", data, "user", "list").code == 1  # nothing is there yet
        made = invoke("--data", data, "user", "create", "dora", "--password-stdin", stdin="correct horse\n")
        assert (made.code, made.err) == (0, "")
    finally:
        os.seteuid(0)
    assert invoke("--data", data, "user", "list").code == 1


def test_mounts_that_know_one_owner_are_let_in(data: Path) -> None:
    """Where new files of this process belong to the folder's owner, whoever it runs as, nothing is amiss."""
    directory = data / "directory.db"
    with pytest.raises(CommandError, match="runs as root"):
        data_owner.refuse_other_user(directory)
    libc = ctypes.CDLL(None)
    libc.setfsuid(NOBODY)  # new files of this thread belong to it
    try:
        data_owner.refuse_other_user(directory)
    finally:
        libc.setfsuid(0)
    assert set(owners(data).values()) == {NOBODY}
