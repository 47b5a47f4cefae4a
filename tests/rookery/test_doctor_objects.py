"""`rookery doctor` and object storage: lost and damaged segments, hibernated rooms and files are named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from objects import folders
from tests.rookery.terminal import Ended, invoke
from tests.router import uploads
from tests.router.clients import client_of
from tests.router.serving import Place, serving
from tests.router.test_sleeping_http import put_away

Harm = Callable[[Path], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped installation with a room that has a file in a message, and a room that is hibernated."""
    folder = tmp_path_factory.mktemp("made")
    with serving(Place(folder)) as server, client_of(server) as nobody:
        anna = nobody.guest()
        room, asleep = anna.found(), anna.found()
        uploads.send(anna, room.general)
        anna.say(asleep, "before the night")
        put_away(server, asleep.id)
    return folder / "data"


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may harm."""
    copy = tmp_path / "data"
    shutil.copytree(made, copy)
    copy.chmod(0o700)
    return copy


def doctor(data: Path, *words: str) -> Ended:
    return invoke("--data", data, "doctor", "--all", "--json", *words)


def object_file(data: Path, folder: str, prefix: str) -> Path:
    (key,) = folders.walk(data / folder, prefix, "", at_once=10)
    return folders.path_of(data / folder, key)


def lose(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("folder", "prefix", "check"), [("archive", "shards/", "hibernation"), ("files", "rooms/", "files")]
)
@pytest.mark.parametrize(("harm", "told", "words"), [(lose, "is missing", ()), (flip, "is damaged", ("--deep",))])
def test_a_lost_or_damaged_object_is_named_with_its_room(
    data: Path, folder: str, prefix: str, check: str, harm: Harm, told: str, words: tuple[str, ...]
) -> None:
    """Existence is looked at always, and every byte with --deep; a finding has the key, the room and a remedy."""
    sound = doctor(data, *words)
    assert sound.code == 0, sound.json["findings"]
    file = object_file(data, folder, prefix)
    harm(file)
    done = doctor(data, *words)
    (finding,) = done.json["findings"]
    assert (done.code, finding["check"], told in finding["problem"]) == (1, check, True)
    assert f"{prefix}{finding['room_id']}/" in finding["problem"]
    assert "backup" in finding["remedy"]


@pytest.mark.parametrize(("folder", "check"), [("archive", "archive"), ("files", "files")])
def test_a_missing_folder_is_one_finding_and_is_not_made(data: Path, folder: str, check: str) -> None:
    """A volume that is not mounted is told once, with what is on it."""
    shutil.rmtree(data / folder)
    done = doctor(data)
    (finding,) = done.json["findings"]
    assert (done.code, finding["check"], "is missing, with" in finding["problem"]) == (1, check, True)
    assert not (data / folder).exists()


def test_a_store_that_does_not_answer_is_a_finding_of_its_own(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is called missing while nobody can be asked."""
    for name in ("ARCHIVE", "FILES"):
        monkeypatch.setenv(f"ROOKERY_{name}_ACCESS_KEY_ID", "key")
        monkeypatch.setenv(f"ROOKERY_{name}_SECRET_ACCESS_KEY", "secret")
    settings = tmp_path / "rookery.toml"
    buckets = "".join(
        f'[[r2_buckets]]\nbinding = "{name}"\nbucket_name = "{name.lower()}"\nendpoint = "http://127.0.0.1:1"\n'
        for name in ("ARCHIVE", "FILES")
    )
    settings.write_text(f'[server]\ndata_dir = "{data}"\n{buckets}')
    done = invoke("--config", settings, "doctor", "--all", "--json")
    assert done.code == 1
    problems = {finding["problem"].partition(":")[0] for finding in done.json["findings"]}
    assert problems == {"object storage cannot be reached"}
