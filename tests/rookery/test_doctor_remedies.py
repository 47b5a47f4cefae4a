"""The remedies of `rookery doctor`: each is tried, and the doctor finds nothing afterwards."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlite
from directory import audit
from migrations import engine
from rookery import composition
from rookery.composition import now_ms
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import invoke
from tests.router.disks import small_disk

NOBODY = 65_534
BINDINGS = """
[[d1_databases]]
binding = "DIRECTORY"
database_name = "directory"
{central}
[[d1_databases]]
binding = "SHARDS"
database_name = "shards"
{shards}
"""


def examine(data: Path, config: Path | None = None) -> list[dict[str, Any]]:
    """Return the findings of the doctor."""
    named = () if config is None else ("--config", config)
    told = invoke(*named, "--data", data, "doctor", "--all", "--json")
    findings: list[dict[str, Any]] = told.json["findings"]
    assert (told.code == 0) is (not findings)
    return findings


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """Make an installation that the doctor finds nothing wrong with."""
    await fill(tmp_path / "data", "one", "two", "three")
    return tmp_path / "data"


@pytest.fixture
def files(data: Path) -> list[Path]:
    """The files of the three rooms."""
    return sorted((data / "shards").glob("*.db"))


def do(remedy: str) -> None:
    """Run the command that a remedy names."""
    _, _, command = remedy.partition(": ")
    subprocess.run(command, shell=True, check=True)


def configured(folder: Path, **lines: str) -> Path:
    """Write a settings file with lines for the two bindings."""
    path = folder / "rookery.toml"
    path.write_text(BINDINGS.format(**({"central": "", "shards": ""} | lines)))
    return path


def copied(folder: Path, source: Path) -> Path:
    """Copy migrations."""
    copy = folder / source.name
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_a_directory_behind_is_migrated_and_one_ahead_wants_its_release(tmp_path: Path, data: Path) -> None:
    """A directory one release behind wants no backup but to be migrated; then the old release is the wrong one."""
    central = copied(tmp_path, engine.CENTRAL_FOLDER)
    engine.create(central, "one more").write_text("ALTER TABLE rooms ADD COLUMN more INTEGER;")
    config = configured(tmp_path, central=f'migrations_dir = "{central}"')
    (finding,) = examine(data, config)
    assert (finding["check"], "1 migration behind" in finding["problem"]) == ("directory", True)
    assert "rookery migrate apply --central" in finding["remedy"]
    assert invoke("--config", config, "--data", data, "migrate", "apply", "--central").code == 0
    assert examine(data, config) == []
    (finding,) = examine(data)
    assert (finding["check"], finding["remedy"].startswith("Start the release")) == ("directory", True)


@pytest.mark.parametrize("kind", ["central", "shards"])
def test_changed_migrations_are_one_finding(tmp_path: Path, data: Path, kind: str) -> None:
    """An edited file of the release concerns all databases of its kind: one finding, healed by the right file."""
    folder = copied(tmp_path, engine.CENTRAL_FOLDER if kind == "central" else engine.SHARD_FOLDER)
    config = configured(tmp_path, **{kind: f'migrations_dir = "{folder}"'})
    changed = sorted(folder.glob("*.sql"))[2]
    before = changed.read_text()
    changed.write_text(f"{before}-- edited")
    (finding,) = examine(data, config)
    assert (finding["check"], finding["room"]) == ("migrations", None)
    assert "Put the files of the release back" in finding["remedy"]
    changed.write_text(before)
    assert examine(data, config) == []
    changed.rename(changed.with_suffix(".txt"))
    (finding,) = examine(data, config)
    assert (finding["check"], "without gaps" in finding["problem"]) == ("migrations", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("name", ["directory.db", "shards"])
def test_files_of_another_owner_are_given_back(data: Path, files: list[Path], name: str) -> None:
    """A file that the folder's owner cannot write, by its owner or its mode, is healed by the command that is told."""
    for path in [data / name] if name == "directory.db" else files:
        os.chown(path, NOBODY, NOBODY)
        # After a restore by root others can often read it too: the same command heals that.
        path.chmod(0o644)
    (finding,) = examine(data)
    assert finding["check"] == "permissions"
    do(finding["remedy"])
    assert examine(data) == []
    (data / name if name == "directory.db" else files[0]).chmod(0o400)
    (finding,) = examine(data)
    do(finding["remedy"])
    assert examine(data) == []


@pytest.fixture
def lowered(data: Path) -> Iterator[Path]:
    """Give the installation to a user without rights, and become that user."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "data"
        shutil.copytree(data, copy)
        for path in (Path(folder), copy, *copy.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            yield copy
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
@pytest.mark.parametrize("name", ["directory.db", "shards"])
def test_files_that_may_not_be_read_want_no_backup(lowered: Path, name: str) -> None:
    """To the server's own user a file of root's is no damage: every finding has the command that gives it back."""
    path = lowered / name if name == "directory.db" else min((lowered / name).glob("*.db"))
    os.seteuid(0)
    os.chown(path, 0, 0)
    path.chmod(0o600)
    os.seteuid(NOBODY)
    findings = examine(lowered)
    assert {finding["check"] for finding in findings} == {"permissions", name.partition(".")[0]}
    assert {finding["remedy"] for finding in findings} == {f"Run as root: chown 65534:65534 {path} && chmod 600 {path}"}
    os.seteuid(0)
    do(findings[0]["remedy"])
    os.seteuid(NOBODY)
    assert examine(lowered) == []


def test_swapped_files_are_exchanged(data: Path, files: list[Path]) -> None:
    """Two rooms under each other's names lose nothing: the remedy names both files."""
    aside = data / "aside"

    def exchange() -> None:
        files[0].rename(aside)
        files[1].rename(files[0])
        aside.rename(files[1])

    exchange()
    findings = examine(data)
    assert [finding["room_id"] for finding in findings] == [files[0].stem, files[1].stem]
    for finding in findings:
        assert all(path.name in finding["remedy"] for path in files[:2])
        assert "exchange the files" in finding["remedy"]
    exchange()
    assert examine(data) == []


def test_a_file_under_a_wrong_name_is_renamed(data: Path, files: list[Path]) -> None:
    """Where the room whose file it is has none, the file is renamed; where it has its own, the copy is moved away."""
    backup = data.parent / "backup"
    backup.mkdir()
    for path in files:
        shutil.copy2(path, backup)
    files[1].replace(files[0])
    told = {finding["room_id"]: finding["remedy"] for finding in examine(data)}
    assert f"rename {files[0].name} to {files[1].name}" in told[files[0].stem]
    files[0].rename(files[1])
    assert [finding["problem"] for finding in examine(data)] == ["its file is missing"]
    shutil.copy2(files[1], files[0])
    (finding,) = examine(data)
    assert f"move {files[0].name} away: it is a copy of {files[1].name}" in finding["remedy"]
    files[0].unlink()
    shutil.copy2(backup / files[0].name, files[0])
    assert examine(data) == []


def test_three_files_in_a_circle_get_their_names_back(data: Path, files: list[Path]) -> None:
    """Each file is told the name that it should have."""
    aside = data / "aside"
    files[2].rename(aside)
    files[1].rename(files[2])
    files[0].rename(files[1])
    aside.rename(files[0])
    for finding, owner in zip(examine(data), (files[2], files[0], files[1]), strict=True):
        assert f"give {finding['room_id']}.db the name of its room, {owner.name}" in finding["remedy"]
    files[0].rename(aside)
    files[1].rename(files[0])
    files[2].rename(files[1])
    aside.rename(files[2])
    assert examine(data) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE messages SET content = hex(randomblob(3000))", "UPDATE room SET file_identity = NULL"]
)
def test_the_log_of_another_room_is_moved_away(data: Path, files: list[Path], statement: str) -> None:
    """A log that makes a sound file unusable is told as such, and without it the room is as it was."""
    connection = sqlite.connect(files[1])
    connection.execute(statement)
    shutil.copyfile(f"{files[1]}-wal", f"{files[0]}-wal")
    Path(f"{files[0]}-wal").chmod(0o600)
    connection.execute("INSERT INTO messages_fts (messages_fts) VALUES ('rebuild')")
    connection.close()
    before = files[0].read_bytes()
    (finding,) = examine(data)
    assert (finding["room_id"], files[0].read_bytes() == before) == (files[0].stem, True)
    assert finding["problem"].startswith("its log belongs to another database")
    for suffix in ("-wal", "-shm"):
        assert f"{files[0].name}{suffix}" in finding["remedy"]
        Path(f"{files[0]}{suffix}").unlink(missing_ok=True)
    assert examine(data) == []


async def test_a_directory_at_its_limit_is_no_full_disk(tmp_path: Path, data: Path) -> None:
    """A directory whose writes are refused by its own limit is told, and the setting that is named heals it."""
    async with composition.open_directory(settings(data)) as directory, directory.database.write() as writer:
        for _ in range(300):
            await audit.append(writer, audit.Action.JOB_STARTED, by=None, metadata={"a": "x" * 4_000}, now_ms=now_ms())
    config = configured(tmp_path, central="size_limit_bytes = 1_048_576")
    (finding,) = examine(data, config)
    assert (finding["check"], "reached its limit" in finding["problem"]) == ("directory", True)
    refused = invoke("--config", config, "--data", data, "import", tmp_path / "none", "--room", "x")
    assert refused.code != 0
    assert "size_limit_bytes of the binding DIRECTORY" in finding["remedy"]
    assert examine(data, configured(tmp_path, central="size_limit_bytes = 104_857_600")) == []


def test_a_disk_that_is_mounted_read_only_or_full_wants_no_backup(tmp_path: Path, data: Path) -> None:
    """What cannot be opened because of its disk is told with the disk's remedy."""
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        config = tmp_path / "rookery.toml"
        config.write_text("[alerts]\ndisk_free_bytes_min = 1")
        copy = disk / "data"
        shutil.copytree(data, copy)
        assert examine(copy, config) == []
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        findings = examine(copy, config)
        assert findings
        assert all(finding["remedy"].startswith("Mount it for writing again") for finding in findings)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert examine(copy, config) == []
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4_096))
        findings = examine(copy, config)
        assert findings
        assert all("pace" in finding["remedy"] for finding in findings), findings
        ballast.unlink()
        assert examine(copy, config) == []
