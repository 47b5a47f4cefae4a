"""`rookery audit`: lists what was done, and finds the first line of each log that is not what was written."""

from pathlib import Path
from typing import Any

import pytest

import sqlite
from directory.rooms import Room
from rookery import composition
from rookery.composition import now_ms
from shard.actions import channels, moderation
from shard.actions.channels import ChannelDraft
from shard.engine import files
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import invoke


@pytest.fixture
async def made(tmp_path: Path) -> list[Room]:
    """Make three rooms, with an act of a moderator in each."""
    made = await fill(tmp_path, "one", "two", "three")
    async with composition.open_stores(settings(tmp_path)) as stores:
        for room in made:
            assert room.owner_id is not None
            draft = ChannelDraft(f"more of {room.name}")
            await stores.pool.write(room.id, channels.create_channel, room.owner_id, draft, now_ms=now_ms())
            await stores.pool.write(
                room.id, moderation.rename, room.owner_id, room.owner_id, "Ada", reason=None, now_ms=now_ms()
            )
    return made


def verify(data: Path, *words: Any) -> tuple[int, dict[str, Any]]:
    told = invoke("--data", data, "audit", "verify", *words, "--json")
    return told.code, {log["name"]: log for log in told.json["logs"]}


def tamper(path: Path, *statements: str) -> None:
    """Change a log behind everybody's back."""
    connection = sqlite.connect(path)
    try:
        for statement in ("DROP TRIGGER audit_log_update", "DROP TRIGGER audit_log_delete", *statements):
            connection.execute(statement)
    finally:
        connection.close()


async def test_sound_logs_are_followed_to_their_end(tmp_path: Path, made: list[Room]) -> None:
    """Every log of the site is named with its number of entries and the hash of the newest."""
    code, logs = verify(tmp_path)
    assert code == 0
    assert logs.keys() == {"directory", *(f"{room.name} ({room.id})" for room in made)}
    assert all(log["entries"] > 0 and len(log["head"]) == 64 and log["broken_at"] is None for log in logs.values())
    assert verify(tmp_path)[1] == logs
    shown = invoke("--data", tmp_path, "audit", "verify")
    assert (shown.code, "All is as it was written." in shown.out) == (0, True)


async def test_the_first_wrong_line_of_each_log_is_found(tmp_path: Path, made: list[Room]) -> None:
    """A changed line of the directory, a removed one of a room and a room that cannot be read are told, each alone."""
    one, two, three = made
    tamper(tmp_path / "directory.db", "UPDATE audit_log SET action = 'room.renamed' WHERE id = 2")
    shards = tmp_path / "shards"
    tamper(files.path_of(shards, one.id), "UPDATE audit_log SET actor_id = 5 WHERE id = 1")
    files.path_of(shards, two.id).write_bytes(b"no database " * 1_000)
    code, logs = verify(tmp_path)
    assert code == 1
    found = {name: (log["broken_at"], bool(log["problem"])) for name, log in logs.items()}
    assert found == {
        "directory": (2, False),
        f"one ({one.id})": (1, False),
        f"two ({two.id})": (None, True),
        f"three ({three.id})": (None, False),
    }
    assert verify(tmp_path, "--room", "three")[0] == 0
    assert verify(tmp_path, "--room", one.id)[0] == 1
    assert "entry 1 is not what was written" in invoke("--data", tmp_path, "audit", "verify", "--room", "one").out
    assert invoke("--data", tmp_path, "audit", "verify", "--room", "nowhere").code == 1


async def test_acts_are_listed_newest_first(tmp_path: Path, made: list[Room]) -> None:
    """The site's acts and a room's come newest first, by actor and by kind, as many as asked for."""
    site = invoke("--data", tmp_path, "audit", "list", "--json").json
    assert [act["id"] for act in site] == sorted((act["id"] for act in site), reverse=True)
    created = invoke("--data", tmp_path, "audit", "list", "--action", "room.created", "--limit", 2, "--json").json
    assert [act["target"] for act in created] == [f"room {made[2].id}", f"room {made[1].id}"]
    act, *_ = invoke("--data", tmp_path, "audit", "list", "--room", "two", "--actor", "ada", "--json").json
    assert (act["action"], act["facts"]["after"]["name"]) == ("channel.created", "more of two")
    assert invoke("--data", tmp_path, "audit", "list", "--room", "two", "--action", "x.y", "--json").json == []
    assert "channel.created" in invoke("--data", tmp_path, "audit", "list", "--room", made[1].id).out
    assert invoke("--data", tmp_path, "audit", "list", "--actor", "nobody").code == 1
