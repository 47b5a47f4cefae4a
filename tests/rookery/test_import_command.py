"""`rookery import`: everything arrives once, in order, with its times, whatever interrupts it."""

import gzip
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

import sqlite
from directory import credentials, members, users
from rookery import composition, importer
from rookery.composition import now_ms
from shard import files, inspections
from shard.acts import branching, joining, shaping
from tests.rookery.histories import BEGAN, encoded, expected, find, history, read_back, settings
from tests.rookery.terminal import Ended, run, serving, start

LINES = history(1_300)
KILLS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "3"))


def load(tmp_path: Path, *more: object, lines: list[dict[str, Any]] = LINES, room: str = "lean") -> Ended:
    """Import lines from a gzipped file."""
    file = tmp_path / "history.jsonl.gz"
    file.write_bytes(gzip.compress(encoded(lines)))
    return run("--data", tmp_path / "data", "import", file, "--room", room, "--json", *more, cwd=tmp_path)


def message_count(data: Path) -> int:
    """Return how many messages the only shard has now, asked beside whoever writes to it."""
    found = inspections.room_ids(data / "shards")
    if not found:
        return 0
    connection = sqlite.connect(files.path_of(data / "shards", found[0]), read_only=True)
    try:
        return sum(count for (count,) in connection.execute("SELECT count(*) FROM messages"))
    finally:
        connection.close()


async def test_a_history_arrives_whole_and_once(tmp_path: Path) -> None:
    """Every message comes back in order with topic, author, time and text, however often it is loaded."""
    first, again = load(tmp_path, "--public"), load(tmp_path)
    assert (first.code, again.code) == (0, 0), first.err + again.err
    assert (first.json["messages_new"], first.json["messages_known"]) == (1_301, 0)
    assert (again.json["messages_new"], again.json["messages_known"]) == (0, 1_301)
    assert (first.json["channels_new"], first.json["threads_new"], first.json["users"]) == (2, 8, 5)
    assert (again.json["channels_new"], again.json["threads_new"], again.json["users"]) == (0, 0, 5)
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        assert await read_back(stores, room) == expected(LINES)
        assert (room.member_count, room.message_count, room.is_public) == (6, 1_301, True)


async def test_channels_threads_and_people_are_as_they_were(tmp_path: Path) -> None:
    """Channels and threads have the time of their first message, people no password, and the index knows them all."""
    assert load(tmp_path).code == 0
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        assert room.owner_id is not None
        channels = await stores.pool.read(room.id, shaping.list_channels, room.owner_id, now_ms=now_ms())
        for channel in channels:
            times = [line["timestamp"] * 1000 for line in LINES if line["channel"] == channel.name]
            assert (channel.created_at, channel.message_count) == (min(times), len(times))
            threads = await stores.pool.read(
                room.id, branching.list_threads, room.owner_id, channel.id, before=None, limit=100, now_ms=now_ms()
            )
            for thread in threads:
                said = [
                    line["timestamp"] * 1000
                    for line in LINES
                    if (line["channel"], line["topic"]) == (channel.name, thread.title)
                ]
                assert (thread.created_at, thread.last_message_at, thread.message_count) == (
                    min(said),
                    max(said),
                    len(said),
                )
        async with stores.directory.database.read() as reader:
            index = {member.user_id for member in await members.list_page(reader, room.id)}
            grace = await users.find_by_username(reader, "ada")
            assert await credentials.find(reader, grace.id) is None
        assert index == set(await stores.pool.read(room.id, joining.present_members))


async def test_a_killed_import_is_finished_by_running_it_again(tmp_path: Path) -> None:
    """What was stored before a SIGKILL is neither lost nor doubled, and the order is that of the file."""
    data = tmp_path / "data"
    process = start("--data", data, "import", "-", "--room", "lean", cwd=tmp_path, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(encoded(LINES[:1_100]))
    process.stdin.flush()
    end = time.monotonic() + 30
    while message_count(data) < importer.BATCH_FIRST and time.monotonic() < end:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert message_count(data) == importer.BATCH_FIRST
    finished = load(tmp_path)
    assert (finished.json["messages_new"], finished.json["messages_known"]) == (801, 500)
    async with composition.open_stores(settings(data)) as stores:
        room = await find(stores, "lean")
        assert await read_back(stores, room) == expected(LINES)
        assert (room.member_count, room.message_count) == (6, 1_301)


@pytest.mark.crash
async def test_kills_at_any_moment_leave_an_import_that_can_go_on(tmp_path: Path) -> None:
    """However often and whenever an import is killed, running it to its end leaves every message once and in order."""
    data, file = tmp_path / "data", tmp_path / "history.jsonl"
    lines = history(4_000)
    file.write_bytes(encoded(lines))
    chance = random.Random(7)
    for _ in range(KILLS):
        process = start("--data", data, "import", file, "--room", "lean", cwd=tmp_path)
        time.sleep(chance.uniform(0.4, 1.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finished = run("--data", data, "import", file, "--room", "lean", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.out
    async with composition.open_stores(settings(data)) as stores:
        assert await read_back(stores, await find(stores, "lean")) == expected(lines)


async def test_an_import_works_beside_a_running_server(tmp_path: Path) -> None:
    """While a server takes messages in the same room, all of both arrive, and the server shows what was loaded."""
    data = tmp_path / "data"
    with serving(data, cwd=tmp_path) as server, httpx.Client(base_url=server.url) as client:
        signed_in = client.post("/v1/auth/register", json={"username": "alice", "password": "correct horse"}).json()
        client.headers["Authorization"] = f"Bearer {signed_in['token']}"
        made = client.post("/v1/rooms", json={"name": "lean", "display_name": "Lean"}).raise_for_status().json()
        room_url = f"/v1/rooms/{made['room']['id']}"
        general = next(channel["id"] for channel in made["channels"] if channel["name"] == "general")
        file = tmp_path / "history.jsonl"
        file.write_bytes(encoded(LINES))
        sent = 0
        with start("--data", data, "import", file, "--room", "lean", cwd=tmp_path) as importing:
            while importing.poll() is None:
                answer = client.post(f"{room_url}/channels/{general}/messages", json={"content": f"live {sent}"})
                if answer.status_code == 429:
                    time.sleep(float(answer.headers["Retry-After"]))
                    continue
                assert answer.status_code == 201, answer.text
                sent += 1
            out, err = importing.communicate()
        assert importing.returncode == 0, out + err
        channels = client.get(room_url).raise_for_status().json()["channels"]
    counts = {channel["name"]: int(channel["message_count"]) for channel in channels}
    assert counts["general"] == sent > 0
    async with composition.open_stores(settings(data)) as stores:
        found = await read_back(stores, await find(stores, "lean"))
        assert [said[3] for said in found["general"]] == [f"live {number}" for number in range(sent)]
        assert {name: found[name] for name in expected(LINES)} == expected(LINES)


async def test_a_bad_line_stops_before_its_batch_or_is_left_out(tmp_path: Path) -> None:
    """A bad line ends the import with its number before its batch; with --skip-bad it is counted and left out."""
    bad: dict[str, Any] = {"channel": "condensed", "topic": "", "user": "bob", "timestamp": BEGAN}
    lines = [*LINES[:700], bad, *LINES[700:]]
    stopped = load(tmp_path, lines=lines)
    assert stopped.code == 1
    assert stopped.json["error"].startswith("Line 701: without content.")
    assert "Traceback" not in stopped.err
    assert message_count(tmp_path / "data") == 500
    skipped = load(tmp_path, "--skip-bad", lines=lines)
    assert skipped.code == 0
    assert (skipped.json["messages_new"], skipped.json["messages_known"]) == (801, 500)
    assert skipped.json["bad"] == [{"line": 701, "reason": "without content"}]
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        assert await read_back(stores, await find(stores, "lean")) == expected(LINES)


def test_a_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    """A gzip file without its end stops with a sentence, and what was whole before is loaded."""
    file = tmp_path / "history.jsonl.gz"
    whole = gzip.compress(encoded(LINES))
    file.write_bytes(whole[: len(whole) * 9 // 10])
    cut = run("--data", tmp_path / "data", "import", file, "--room", "lean", cwd=tmp_path)
    assert cut.code == 1
    assert cut.err.startswith("Error: The file is cut off or damaged")
    assert message_count(tmp_path / "data") in (500, 1_000)
    file.write_bytes(whole)
    assert run("--data", tmp_path / "data", "import", file, "--room", "lean", cwd=tmp_path).code == 0
    assert message_count(tmp_path / "data") == 1_301


def test_a_room_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    """--owner must exist, owns the room that is made, and does not get a room that is another's."""
    lines = LINES[:20]
    unknown = load(tmp_path, "--owner", "alice", lines=lines)
    assert (unknown.code, "rookery user create alice" in unknown.json["error"]) == (1, True)
    for name in ("alice", "carol"):
        words = ("--data", tmp_path / "data", "user", "create", name, "--password-stdin")
        assert run(*words, cwd=tmp_path, stdin=b"correct horse\n").code == 0
    assert load(tmp_path, "--owner", "alice", lines=lines).code == 0
    assert run("--data", tmp_path / "data", "room", "show", "lean", "--json", cwd=tmp_path).json["owner"] == "alice"
    refused = load(tmp_path, "--owner", "carol", lines=lines)
    assert (refused.code, "belongs to someone else" in refused.json["error"]) == (1, True)
    assert load(tmp_path, "--owner", "alice", lines=lines).json["messages_known"] == 20
    assert load(tmp_path, lines=lines, room="No Room").json["error"].startswith("A community's name")


@pytest.mark.slow
async def test_the_real_history_comes_back(tmp_path: Path) -> None:
    """The real history that ROOKERY_REAL_CHAT names comes back message by message."""
    path = os.environ.get("ROOKERY_REAL_CHAT")
    if not path:
        pytest.skip("ROOKERY_REAL_CHAT does not name a file of JSON lines to import")
    import_ = run("--data", tmp_path / "data", "import", path, "--room", "real", "--json", cwd=tmp_path)
    assert import_.code == 0, import_.out
    with gzip.open(path) as file:
        lines = [orjson.loads(line) for line in file if line.strip()]
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        found = await read_back(stores, await find(stores, "real"))
    assert found == expected(lines)
