"""The lock of the server of a data folder: it holds whatever is removed, and however the folder is reached."""

import fcntl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rookery import server_lock


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    """Make a folder, and bind it to a second place."""
    folder, place = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    place.mkdir()
    if subprocess.run(["mount", "--bind", folder, place], capture_output=True).returncode:
        pytest.skip("binding a folder to a second place is not allowed here")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_bind_mount_is_the_same_folder(tmp_path: Path, bound: Path) -> None:
    """As between two containers with one volume, under different names, and without the file of the lock."""
    with server_lock.held(tmp_path / "data") as first:
        (bound / server_lock.NAME).unlink()
        assert server_lock.is_held(bound)
        with server_lock.held(bound) as second:
            assert (first, second) == (True, False)
    assert not server_lock.is_held(bound)
    with server_lock.held(bound) as second:
        assert second


def test_a_server_of_an_earlier_release_counts(tmp_path: Path) -> None:
    """Such a server locks the file alone: while one runs none of this release starts beside it."""
    with (tmp_path / server_lock.NAME).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert server_lock.is_held(tmp_path)
        with server_lock.held(tmp_path) as is_alone:
            assert not is_alone
    assert not server_lock.is_held(tmp_path)


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """A folder without a server, or without being there, has none, and no file is made by asking."""
    assert not server_lock.is_held(tmp_path)
    assert not server_lock.is_held(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
