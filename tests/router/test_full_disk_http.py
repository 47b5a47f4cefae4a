"""A full disk, really mounted: reading and deleting go on everywhere, one line and one alert tell it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.disk_space import RESERVE
from tests.monitor.fleets import rows
from tests.router.clients import Client, Room, client_of
from tests.router.disks import small_disk
from tests.router.serving import Place, serving, until

LOW = "[alerts]\ndisk_free_bytes_min = 6_000_000"


@contextlib.contextmanager
def ballast(folder: Path, *, leaves: int) -> Iterator[None]:
    """Fill the disk until the block ends, with so many bytes left."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
    if leaves:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - leaves)
    try:
        yield
    finally:
        path.unlink()


def health(nobody: Client) -> tuple[int, str]:
    answer = nobody.ask("GET", "/readyz")
    return answer.status_code, answer.json()["status"]


def told(folder: Path) -> list[object]:
    return [level for (level,) in rows(folder, "SELECT level FROM alerts WHERE kind = 'disk' ORDER BY id")]


def fill_rooms(anna: Client) -> list[tuple[Room, str]]:
    made = [anna.found() for _ in range(3)]
    return [(room, anna.say(room, "kept")["id"]) for room in made]


def test_a_full_disk_is_read_and_emptied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On a disk without a free byte, closed rooms are read and emptied; messages are refused with a reason."""
    with small_disk(tmp_path, megabytes=32) as folder:
        place = Place(folder, more=LOW)
        with serving(place) as server, client_of(server) as nobody:
            anna = nobody.guest()
            made = fill_rooms(anna)
            token, other = anna.token, nobody.guest().token
            assert health(nobody) == (200, "ok")
            assert (folder / "data" / RESERVE).stat().st_size > 300_000
        caplog.clear()
        with serving(place) as server, client_of(server) as nobody:
            anna = nobody.with_token(token)
            with ballast(folder, leaves=0):
                until(lambda: health(nobody) == (200, "degraded"))
                _read_and_empty(anna, nobody.with_token(other), made)
                assert "full" in nobody.get("/readyz")["checks"]["disk"]
                assert "rookery_disk_free_bytes" in nobody.ask("GET", "/metrics").text
                until(lambda: told(folder)[-1:] == ["full"])
            until(lambda: health(nobody) == (200, "ok"))
            assert (folder / "data" / RESERVE).exists()
            anna.say(made[0][0], "space again")
            anna.found()
            until(lambda: told(folder)[-1:] == ["ok"])
    lines = [record for record in caplog.records if record.name == "monitor.disk_space"]
    assert [record.levelno for record in lines if "the disk is full" in record.message] == [logging.ERROR]


def _read_and_empty(anna: Client, stranger: Client, made: list[tuple[Room, str]]) -> None:
    for room, said in made:
        assert [message["id"] for message in anna.get(f"{room.general}/messages")["messages"]] == [said]
        assert anna.get(f"{room.path}/search", q="kept")["messages"][0]["id"] == said
        refusal = anna.refused("POST", f"{room.general}/messages", {"content": "x"})
        assert (refusal.status, refusal.type) == (507, "storage-full")
        assert refusal.detail.startswith("The server's disk is full")
    assert anna.refused("POST", "/v1/rooms", {"name": "no-space"}).status == 507
    room, said = made[0]
    anna.did("DELETE", f"{room.general}/messages/{said}", {})
    assert stranger.refused("POST", f"{room.general}/messages", {"content": "x"}).status == 404
    assert stranger.refused("DELETE", f"{room.general}/messages/{said}", {}).status == 404


def test_a_server_starts_on_a_full_disk(tmp_path: Path) -> None:
    """A start on a disk that filled up while the server was stopped gives the reserve up, and serves what is there."""
    with small_disk(tmp_path, megabytes=32) as folder:
        place = Place(folder, more=LOW)
        with serving(place) as server, client_of(server) as nobody:
            anna = nobody.guest()
            made = fill_rooms(anna)
            token, other = anna.token, nobody.guest().token
        with ballast(folder, leaves=0), serving(place) as server, client_of(server) as nobody:
            assert health(nobody) == (200, "degraded")
            _read_and_empty(nobody.with_token(token), nobody.with_token(other), made)


def test_little_space_is_told_early(tmp_path: Path) -> None:
    """Below the setting's threshold there is one alert, and nothing is refused."""
    with small_disk(tmp_path, megabytes=32) as folder:
        place = Place(folder, more=LOW)
        with serving(place) as server, client_of(server) as nobody:
            anna = nobody.guest()
            room = anna.found()
            with ballast(folder, leaves=4_000_000):
                until(lambda: told(folder) == ["warn"])
                anna.say(room, "taken")
                assert health(nobody) == (200, "ok")
                assert nobody.get("/readyz")["checks"]["disk"].startswith("low: ")
            until(lambda: told(folder) == ["warn", "ok"])
