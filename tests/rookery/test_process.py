"""What the process may use of its machine."""

import resource
import subprocess
import sys

import pytest

from rookery import process


@pytest.mark.parametrize(("files_max", "shards"), [(16, 4), (256, 16), (1_024, 64), (65_536, 4_096)])
def test_shards_leave_half_of_the_files_to_clients(files_max: int, shards: int) -> None:
    """However few files the system allows, open shards never take those that answer people."""
    assert process.shards_that_fit(files_max) == shards


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    """The soft limit rises to the hard one, and says so; a limit that is there is never lowered."""
    program = (
        "import resource; from rookery import process; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (128, 300)); "
        "print(process.raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], process.raise_file_limit())"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["300", "300", "300"]
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert process.raise_file_limit() >= min(soft, process.FILES_WANTED)
