"""A server goes round by its settings' crons, by itself."""

from pathlib import Path

import httpx
import pytest

from monitor import rounds
from tests.router.clients import client_of
from tests.router.serving import Place, serving, until


def figure(url: str, name: str) -> float:
    """Return a metric of a server."""
    page = httpx.get(f"{url}/metrics").text
    return float(next(line for line in page.splitlines() if line.startswith(f"{name} ")).split()[1])


def test_a_server_goes_round_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With minutes of half a second, a server measures its rooms, looks them through, and shows it in its metrics."""
    monkeypatch.setattr(rounds, "MINUTE_MS", 500)
    with serving(Place(tmp_path, more='[triggers]\ncrons = ["* * * * *"]')) as server, client_of(server) as nobody:
        anna = nobody.guest()
        anna.say(anna.found(), "moss")
        # A round between the registry's row and its first measurement counts a room of no bytes.
        until(lambda: figure(server.url, "rookery_shards_bytes") > 100_000, seconds=60)
        assert figure(server.url, 'rookery_shards{level="ok"}') == 1
        assert figure(server.url, "rookery_monitor_round_at") > 0
        assert figure(server.url, "rookery_monitor_failed") == 0


def test_without_crons_a_server_never_goes_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list of crons leaves the rounds to the command line."""
    monkeypatch.setattr(rounds, "MINUTE_MS", 100)
    with serving(Place(tmp_path, more="[triggers]\ncrons = []")) as server, pytest.raises(TimeoutError):
        until(lambda: figure(server.url, "rookery_monitor_round_at") > 0, seconds=1)
