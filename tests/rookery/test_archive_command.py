"""`rookery archive`: what operators do with old history, and what they are told."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import sqlite
from shard.actions import archive
from tests.rookery.terminal import Ended, invoke

YEAR_2020 = 1_577_836_800


@dataclass(frozen=True, slots=True)
class Room:
    """A data folder with one room in it."""

    data: Path

    def run(self, *words: str) -> Ended:
        """Run `rookery archive`."""
        return invoke("--data", self.data, "archive", *words)

    def json(self, *words: str) -> Any:
        """Run `rookery archive` for what it tells scripts; it succeeds."""
        done = self.run(*words, "--json")
        assert done.code == 0, done
        return done.json


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    """Import 60 old messages into a room, and make segments small."""
    monkeypatch.setattr(archive, "NEWEST_KEPT", 10)
    monkeypatch.setattr(archive, "SEGMENT_MIN", 5)
    monkeypatch.setattr("shard.archive.segment_files.MESSAGES_MAX", 20)
    lines = [
        {
            "channel": "general",
            "topic": "",
            "user": "Grace",
            "timestamp": YEAR_2020 + number,
            "content": f"rook {number}",
        }
        for number in range(60)
    ]
    history = tmp_path / "history.jsonl.gz"
    history.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    data = tmp_path / "data"
    assert invoke("--data", data, "import", history, "--room", "lean").code == 0
    return Room(data)


def test_history_is_archived_by_policy(room: Room) -> None:
    """Without a policy nothing moves; with one, what is old moves, and the status says where it is."""
    assert room.json("run", "lean")[0]["messages_moved"] == 0
    told = room.json("policy", "lean", "--archive-after", "30")
    assert told["effective"]["archive_after_days"] == 30
    (outcome,) = room.json("run", "lean")
    assert (outcome["messages_moved"], outcome["segments_made"], outcome["error"]) == (50, 3, None)
    (status,) = room.json("status")
    assert (status["live_messages"], status["archived_messages"], status["segments"]) == (10, 50, 3)
    assert room.json("run", "--all")[0]["messages_moved"] == 0


def test_what_is_held_stays(room: Room) -> None:
    """A hold keeps all where it is, whatever is asked, and its end lets it go."""
    room.json("policy", "lean", "--archive-after", "30")
    told = room.json("hold", "lean", "--reason", "Case 12")
    assert (told["effective"]["is_held"], told["effective"]["hold_reason"]) == (True, "Case 12")
    assert room.json("run", "lean", "--now")[0]["messages_moved"] == 0
    room.json("release", "lean")
    assert room.json("run", "lean")[0]["messages_moved"] == 50


def test_a_channel_may_delete_instead(room: Room) -> None:
    """A channel's own policy goes before its room's, and deletes live and archived messages by age."""
    room.json("policy", "lean", "--archive-after", "30")
    room.json("run", "lean")
    told = room.json("policy", "lean", "--channel", "general", "--delete-after", "365")
    assert told["own"]["delete_after_days"] == 365
    (outcome,) = room.json("run", "lean")
    assert outcome["error"] is None
    assert outcome["objects_removed"] == 3
    (status,) = room.json("status", "lean")
    assert (status["live_messages"], status["archived_messages"], status["segments"]) == (0, 0, 0)


def _gone(folder: Path) -> None:
    shutil.rmtree(folder)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


def _one_lost(folder: Path) -> None:
    _segments(folder)[0].unlink()


def _one_cut_off(folder: Path) -> None:
    path = _segments(folder)[0]
    path.write_bytes(path.read_bytes()[:-100])


def _one_exchanged(folder: Path) -> None:
    one, other, _ = _segments(folder)
    shutil.copyfile(other, one)


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_gone, "is missing, with old messages of 1 room"),
        (_emptied, "3 of 3 segments"),
        (_one_lost, "is missing"),
        (_one_cut_off, "is damaged"),
        (_one_exchanged, "is another object"),
    ],
)
def test_the_doctor_misses_what_the_archive_lost(
    room: Room, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    """The doctor finds a segment that is missing, damaged or another one, makes nothing in its place, and is content
    once the archive is brought back."""
    room.json("policy", "lean", "--archive-after", "30")
    room.json("run", "lean")
    archive, kept = room.data / "archive", tmp_path / "kept"
    shutil.copytree(archive, kept)
    assert invoke("--data", room.data, "doctor", "--all").code == 0
    harm(archive)
    was_there = archive.exists()
    done = invoke("--data", room.data, "doctor", "--all", "--json")
    assert (done.code, [one["check"] for one in done.json["findings"]]) == (1, ["archive"])
    assert told in done.json["findings"][0]["problem"]
    assert archive.exists() == was_there
    shutil.rmtree(archive, ignore_errors=True)
    shutil.copytree(kept, archive)
    assert invoke("--data", room.data, "doctor", "--all").code == 0


def test_what_a_policy_cannot_be_is_refused(room: Room) -> None:
    """Days together with --as-settings, and a channel that is not there, change nothing and are told."""
    room.json("policy", "lean", "--archive-after", "30")
    both = room.run("policy", "lean", "--as-settings", "--archive-after", "90")
    assert both.code == 2
    assert "--as-settings" in both.err
    nowhere = room.run("policy", "lean", "--channel", "nest", "--archive-after", "90")
    assert (nowhere.code, nowhere.err.strip()) == (1, "Error: Room lean has no channel nest.")
    assert room.json("policy", "lean")["effective"]["archive_after_days"] == 30
    assert "its own policy" in room.run("policy", "lean").out
    assert "the settings" in room.run("policy", "lean", "--as-settings").out


def test_a_segment_that_cannot_be_written_anew_is_told(room: Room) -> None:
    """A run that does not reach the segment it has to write anew names the room, and leads to the doctor."""
    room.json("policy", "lean", "--archive-after", "30")
    room.json("run", "lean")
    _hide_one(room.data)
    kept = room.data / "kept"
    shutil.move(room.data / "archive", kept)
    shutil.rmtree(room.data / "archive-cache.command")
    done = room.run("run", "lean")
    assert done.code == 1
    assert "lean" in done.out
    assert "rookery doctor" in done.err
    shutil.rmtree(room.data / "archive")
    shutil.move(kept, room.data / "archive")
    assert room.json("run", "lean")[0]["segments_rewritten"] == 1


def _hide_one(data: Path) -> None:
    """Leave one archived message out, as its deletion does."""
    (path,) = (data / "shards").glob("*.db")
    connection = sqlite.connect(path)
    try:
        connection.execute("INSERT INTO segment_hidden SELECT id, first_id FROM segments ORDER BY id LIMIT 1")
        connection.execute(
            "UPDATE segments SET hidden_count = 1, message_count = message_count - 1 "
            "WHERE id = (SELECT segment_id FROM segment_hidden)"
        )
    finally:
        connection.close()


def test_a_room_that_cannot_be_asked_is_told(room: Room, tmp_path: Path) -> None:
    """The status of all rooms names the one whose file is damaged, shows the others, and ends with 1."""
    history = tmp_path / "history.jsonl.gz"
    assert invoke("--data", room.data, "import", history, "--room", "moss").code == 0
    moss = next(one["room_id"] for one in room.json("status") if one["name"] == "moss")
    for rest in ("-wal", "-shm"):
        (room.data / "shards" / f"{moss}.db{rest}").unlink(missing_ok=True)
    (room.data / "shards" / f"{moss}.db").write_bytes(b"no database " * 1_000)
    done = room.run("status")
    assert done.code == 1
    assert "lean" in done.out
    assert "Left out: moss." in done.err
    told = {one["name"]: "error" in one for one in room.run("status", "--json").json}
    assert told == {"lean": False, "moss": True}


def test_storage_that_cannot_be_opened_is_told(room: Room) -> None:
    """An archive that is no folder ends the command with a sentence that names it."""
    (room.data / "archive").write_bytes(b"")
    done = room.run("run", "lean")
    assert done.code == 1
    assert done.err.startswith(f"Error: {room.data / 'archive'} cannot be used")


@pytest.mark.parametrize("words", [("run",), ("run", "lean", "--all"), ("run", "nowhere"), ("policy", "nowhere")])
def test_wrong_words_are_told(room: Room, words: tuple[str, ...]) -> None:
    """A command without a room, or for one that is not there, says what to do instead."""
    done = room.run(*words)
    assert done.code in (1, 2)
    assert "room" in done.err
