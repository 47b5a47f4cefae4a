"""One real server for the tests of a file that only need its answers, with limits that nobody reaches by chance.

It ends with its file: tests of failing disks put a disk of theirs under every database of the process.
"""

from collections.abc import Iterator

import pytest

from tests.router.clients import Client, client_of
from tests.router.serving import Place, Running, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with an empty data folder."""
    with serving(Place(tmp_path_factory.mktemp("server"), limits={"rooms_owned_max": 1_000})) as running:
        yield running


@pytest.fixture(scope="module")
def nobody(server: Running) -> Iterator[Client]:
    """A client without a session."""
    with client_of(server) as client:
        yield client


@pytest.fixture(scope="module")
def owner(nobody: Client) -> Client:
    """Somebody who founds rooms."""
    return nobody.guest()


@pytest.fixture(scope="module")
def other(nobody: Client) -> Client:
    """Somebody else."""
    return nobody.guest()
