"""The key of file links: one for each data folder, whole, for its owner alone, and the same after a restart."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rookery import link_key
from rookery.errors import CommandError
from tests.router.clients import client_of
from tests.router.serving import Place, serving
from tests.router.uploads import PNG, announced, put, send


def test_addresses_survive_a_restart(tmp_path: Path) -> None:
    """A link and the address of an upload, signed by one server, are taken by the next on the same data folder."""
    place = Place(tmp_path)
    with serving(place) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room = anna.found()
        link = anna.get(send(anna, room.general)["attachments"][0]["url"].replace("/content", "/link"))["url"]
        asked = anna.post(f"{room.general}/attachments", announced())
    with serving(place) as server, client_of(server) as nobody:
        assert nobody.ask("GET", link).content == PNG
        assert put(nobody, asked, PNG).status_code == 204
    (tmp_path / "data" / link_key.NAME).unlink()
    with serving(place) as server, client_of(server) as nobody:
        assert nobody.refused("GET", link).type == "link-refused"


@pytest.mark.security
def test_the_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A new key is random and 0600; one that others can read is closed to them and stays the same."""
    (tmp_path / "other").mkdir()
    key, path = link_key.read_or_make(tmp_path), tmp_path / link_key.NAME
    assert len(key) == 32
    assert key != link_key.read_or_make(tmp_path / "other")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert link_key.read_or_make(tmp_path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_those_who_start_at_once_share_a_key(tmp_path: Path) -> None:
    """Whoever is first makes the key, and the others read it; nothing is left beside it."""
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _number: link_key.read_or_make(tmp_path), range(40)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == [link_key.NAME]


@pytest.mark.parametrize("data", [b"", b"x" * 31, b"x" * 33])
def test_a_damaged_key_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file of another length is no key, and the error says what to do."""
    (tmp_path / link_key.NAME).write_bytes(data)
    with pytest.raises(CommandError, match="Remove it"):
        link_key.read_or_make(tmp_path)


@pytest.mark.security
def test_a_link_to_elsewhere_is_no_key(tmp_path: Path) -> None:
    """A symbolic link is not followed, so that no other file is read as the key."""
    (tmp_path / "other").write_bytes(b"x" * 32)
    (tmp_path / link_key.NAME).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        link_key.read_or_make(tmp_path)
