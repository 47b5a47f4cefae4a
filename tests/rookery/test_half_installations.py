"""Half an installation: a lost directory, lost shards, and volumes that are not mounted are refused, not made anew."""

import shutil
from pathlib import Path

import httpx
import pytest

from directory.rooms import Room
from shard.engine.files import path_of
from tests.rookery.histories import fill
from tests.rookery.terminal import invoke, run, serving


@pytest.fixture
async def rooms(tmp_path: Path) -> list[Room]:
    """Make an installation with two rooms."""
    return await fill(tmp_path / "data", "one", "two")


def refusal(data: Path, *words: str) -> str:
    """Return why a command refuses the data folder."""
    refused = invoke("--data", data, *words)
    assert (refused.code, refused.out, "Traceback" in refused.err) == (1, "", False), words
    return refused.err


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_a_lost_directory_is_not_replaced(tmp_path: Path, rooms: list[Room]) -> None:
    """Without its directory a server, and every command that would make one, names the rooms and both ways on."""
    data = tmp_path / "data"
    for path in data.glob("directory.db*"):
        path.rename(tmp_path / path.name)
    before = names(data)
    served = run("--data", data, "serve", "--port", 0, cwd=tmp_path)
    assert (served.code, served.out, "Traceback" in served.err) == (1, "", False)
    for told in (served.err, *(refusal(data, *words) for words in (("user", "list"), ("migrate", "apply")))):
        assert f"2 rooms are in {data / 'shards'}" in told
        assert "Restore it from a backup" in told
        assert "start-anew" in told
    (finding,) = invoke("--data", data, "doctor", "--json").json["findings"]
    assert (finding["check"], "directory.db is missing" in finding["problem"]) == ("data", True)
    assert "Restore it from a backup" in finding["remedy"]
    assert names(data) - {"server.lock"} == before - {"server.lock"}
    (tmp_path / "directory.db").rename(data / "directory.db")
    assert [room["name"] for room in invoke("--data", data, "room", "list", "--json").json] == ["one", "two"]


@pytest.mark.parametrize("left", ["directory.db-wal", "archive/shards/1/x", "files/ab/cd"])
def test_anything_a_lost_directory_left_is_seen(tmp_path: Path, left: str) -> None:
    """A log without its database, or objects on disk, show that there was a directory."""
    path = tmp_path / "data" / left
    path.parent.mkdir(parents=True)
    path.write_bytes(b"acknowledged")
    assert "is missing, but" in refusal(tmp_path / "data", "migrate", "apply")


def test_a_start_that_was_cut_short_is_no_installation(tmp_path: Path) -> None:
    """Locks, empty folders, unfinished objects and the draft of a directory do not stop a first start."""
    data = tmp_path / "data"
    for name in ("shards", "archive", "files/.incoming"):
        (data / name).mkdir(parents=True)
    for name in ("server.lock", ".directory.db.0a", "files/.incoming/1"):
        (data / name).touch()
    assert invoke("--data", data, "migrate", "apply", "--central").code == 0


def test_starting_anew_removes_nothing(tmp_path: Path, rooms: list[Room]) -> None:
    """What is left moves into a folder of its own, once, and the next start makes a new installation."""
    data = tmp_path / "data"
    refused = invoke("--data", data, "start-anew", "--yes")
    assert (refused.code, "directory.db is there" in refused.err) == (1, True)
    for path in data.glob("directory.db*"):
        path.unlink()
    told = invoke("--data", data, "start-anew", "--json")
    folder = Path(told.json["folder"])
    assert {f"shards/{room.id}.db" for room in rooms} <= names(folder)
    assert not (data / "shards").exists()
    with serving(data, cwd=tmp_path) as server:
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert server.told["has_admin"] is False
    again = invoke("--data", data, "start-anew", "--yes")
    assert again.code == 1
    (data / "directory.db").unlink()
    (data / "link.key").unlink()
    nothing = invoke("--data", data, "start-anew", "--yes")
    assert (nothing.code, "Nothing is left" in nothing.err) == (1, True)


@pytest.mark.parametrize("is_there", [True, False], ids=["an empty mount point", "no folder"])
def test_lost_shards_are_not_replaced(tmp_path: Path, rooms: list[Room], *, is_there: bool) -> None:
    """Where no room has its file, nothing starts over the empty place, and the files in it again heal that."""
    data = tmp_path / "data"
    (data / "shards").rename(tmp_path / "volume")
    if is_there:
        (data / "shards").mkdir()
    told = refusal(data, "archive", "status")
    assert f"shards {'is empty' if is_there else 'is missing'}, and the directory names 2 rooms in it" in told
    assert "--without-shards" in told
    if is_there:
        (data / "shards").rmdir()
    (tmp_path / "volume").rename(data / "shards")
    assert invoke("--data", data, "archive", "status").code == 0


def test_a_server_starts_without_shards_when_told_to(tmp_path: Path, rooms: list[Room]) -> None:
    """The flag is the other way on: rooms without their file answer 503, and new ones can be made."""
    data = tmp_path / "data"
    shutil.rmtree(data / "shards")
    served = run("--data", data, "serve", "--port", 0, cwd=tmp_path)
    assert (served.code, "--without-shards" in served.err) == (1, True)
    with serving(data, "--without-shards", cwd=tmp_path) as server, httpx.Client(base_url=server.url) as client:
        account = {"username": "alice", "password": "correct horse"}
        client.headers["Authorization"] = f"Bearer {client.post('/v1/auth/register', json=account).json()['token']}"
        assert client.post("/v1/rooms", json={"name": "new", "display_name": "New"}).status_code == 201
    with serving(data, cwd=tmp_path):
        pass


async def test_shards_of_another_installation_are_refused(tmp_path: Path, rooms: list[Room]) -> None:
    """The shards of one data folder beside the directory of another are told, and one right file is enough."""
    await fill(tmp_path / "other", "three")
    data = tmp_path / "data"
    (data / "shards").rename(tmp_path / "mine")
    (tmp_path / "other" / "shards").rename(data / "shards")
    told = refusal(data, "archive", "status")
    assert "belongs to another installation: the directory names 2 rooms, and none of the 1 in the folder" in told
    for room in rooms:
        path_of(tmp_path / "mine", room.id).rename(path_of(data / "shards", room.id))
    assert invoke("--data", data, "archive", "status").code == 0


def test_links_to_nowhere_are_told(tmp_path: Path, rooms: list[Room]) -> None:
    """A link into a volume that is not mounted is named with its target, and never replaced by a file."""
    data = tmp_path / "data"
    for name in ("directory.db", "shards"):
        (data / name).rename(tmp_path / name)
        (data / name).symlink_to(tmp_path / "volume" / name)
        told = refusal(data, "archive", "status")
        assert f"{name} is a link to {tmp_path / 'volume' / name}, which is not there" in told
        assert (data / name).is_symlink()
        (data / name).unlink()
        (tmp_path / name).rename(data / name)


def test_an_empty_volume_is_told_by_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With data_must_exist an empty data folder is no first start, and nothing is made in it."""
    monkeypatch.setenv("ROOKERY_SERVER_DATA_MUST_EXIST", "true")
    (tmp_path / "data").mkdir()
    assert "data_must_exist" in refusal(tmp_path / "data", "migrate", "apply")
    assert names(tmp_path / "data") == set()
