"""`rookery import`: everything arrives once, in order, with its times, whatever interrupts it."""

import asyncio
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
from typer.testing import CliRunner

import sqlite
from config import settings as config
from directory import credentials, placeholders, rooms
from directory.errors import RoomNotFoundError
from rookery import cli, composition
from rookery.commands import importer
from rookery.composition import now_ms
from shard import inspections
from shard.actions import channels as channel_actions
from shard.actions import imports as import_acts
from shard.actions import members as member_actions
from shard.actions import threads as thread_actions
from shard.engine import files
from shard.engine.connections import Reader
from shard.errors import DeadlineError, ShardFullError
from tests.rookery.histories import BEGAN, encoded, expected, find, history, read_back, settings
from tests.rookery.terminal import Ended, invoke, run, serving, start

LINES = history(1_300)
KILLS = int(os.environ.get("ROOKERY_CRASH_CYCLES", "3"))


def load(tmp_path: Path, *more: object, lines: list[dict[str, Any]] = LINES, room: str = "lean") -> Ended:
    """Import lines from a gzipped file."""
    file = tmp_path / "history.jsonl.gz"
    file.write_bytes(gzip.compress(encoded(lines)))
    return invoke("--data", tmp_path / "data", "import", file, "--room", room, "--json", *more)


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
        assert (room.member_count, room.message_count, room.is_public) == (1, 1_301, True)


async def test_channels_threads_and_people_are_as_they_were(tmp_path: Path) -> None:
    """Channels and threads have the time of their first message, people no password, and the index knows them all."""
    assert load(tmp_path).code == 0
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        room = await find(stores, "lean")
        assert room.owner_id is not None
        channels = await stores.pool.read(room.id, channel_actions.list_channels, room.owner_id, now_ms=now_ms())
        for channel in channels:
            times = [line["timestamp"] * 1000 for line in LINES if line["channel"] == channel.name]
            assert (channel.created_at, channel.message_count) == (min(times), len(times))
            threads = await stores.pool.read(
                room.id, thread_actions.list_threads, room.owner_id, channel.id, before=None, limit=100, now_ms=now_ms()
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
            rows = await reader.fetch_all("SELECT user_id FROM room_members WHERE room_id = ?", (room.id,))
            ada = await placeholders.find(reader, room.id, "ada")
            assert ada.is_placeholder
            assert await credentials.find(reader, ada.user_id) is None
        assert {row[0] for row in rows} == set(await stores.pool.read(room.id, member_actions.present_members))


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
        assert (room.member_count, room.message_count) == (1, 1_301)


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
    assert run("--data", data, "doctor", "--all", cwd=tmp_path).code == 0
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
    noted = {"line": 701, "kind": "left out", "reason": "without content"}
    assert (skipped.json["bad_lines"], skipped.json["notes"]) == (1, [noted])
    assert [orjson.loads(line) for line in Path(skipped.json["report"]).read_bytes().splitlines()] == [noted]
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        assert await read_back(stores, await find(stores, "lean")) == expected(LINES)


async def test_every_noted_line_is_in_the_report(tmp_path: Path) -> None:
    """Lines left out, split and cut are all listed, however many; long messages come back whole."""
    bad = [{"channel": "condensed"}] * 30
    text = "word " * 4_000
    long = {"channel": "condensed", "topic": "t" * 300, "user": "bob", "timestamp": BEGAN, "content": text}
    done = load(tmp_path, "--skip-bad", "--report", tmp_path / "told.jsonl", lines=[*bad, long, *LINES[:5]])
    assert done.code == 0, done.err
    assert (done.json["bad_lines"], done.json["split_lines"], done.json["cut_lines"]) == (30, 1, 1)
    assert len(done.json["notes"]) == 20
    told = [orjson.loads(line) for line in (tmp_path / "told.jsonl").read_bytes().splitlines()]
    assert [(one["line"], one["kind"]) for one in told] == [
        *((number, "left out") for number in range(1, 31)), (31, "cut"), (31, "split"),
    ]  # fmt: skip
    again = load(tmp_path, "--skip-bad", lines=[*bad, long, *LINES[:5]])
    assert (again.json["messages_new"], again.json["messages_known"]) == (0, done.json["messages_new"])
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        found = (await read_back(stores, await find(stores, "lean")))["condensed"]
        parts = [said[3].rpartition("\n(")[0] for said in found if said[3].startswith("word word")]
        assert "".join(parts) == text


@pytest.mark.security
@pytest.mark.parametrize("named", ["history.jsonl", "people.json", "linked.jsonl"])
def test_a_report_never_overwrites_what_is_read(tmp_path: Path, named: str) -> None:
    """The history and the map, by whatever name, are no place for the report."""
    history, people = tmp_path / "history.jsonl", tmp_path / "people.json"
    history.write_bytes(encoded([{"channel": "x"}, *LINES[:3]]))
    people.write_bytes(b"{}")
    (tmp_path / "linked.jsonl").symlink_to(history)
    before = history.read_bytes(), people.read_bytes()
    words = ("import", history, "--room", "lean", "--skip-bad", "--map", people, "--report", tmp_path / named)
    refused = invoke("--data", tmp_path / "data", *words, "--json")
    assert (refused.code, "would overwrite" in refused.json["error"]) == (1, True)
    assert (history.read_bytes(), people.read_bytes()) == before


@pytest.mark.parametrize("lines", [[], [{"channel": "x"}], [{"channel": "x"}] * 700])
def test_a_file_without_a_message_leaves_nothing(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    """When nothing can be loaded, no room is made, with --skip-bad neither."""
    assert load(tmp_path, lines=lines).code == 1
    failed = load(tmp_path, "--skip-bad", lines=lines)
    assert failed.code == 1
    assert "There is no message in the file." in failed.json["error"]
    assert invoke("--data", tmp_path / "data", "room", "list", "--json").json == []


async def test_a_room_made_for_nothing_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first batch cannot be stored, the room that was made for it is gone, and its name is free."""

    def fail(*_: object, **__: object) -> None:
        raise ShardFullError("There is no space left to write to this room.")

    file = tmp_path / "history.jsonl"
    file.write_bytes(encoded(LINES[:20]))
    words = ["--data", str(tmp_path / "data"), "import", str(file), "--room", "lean"]
    with monkeypatch.context() as patch:
        patch.setattr(import_acts, "load_batch", fail)
        failed = await asyncio.to_thread(CliRunner().invoke, cli.app, words)
    assert failed.exit_code == 1
    async with (
        composition.open_stores(settings(tmp_path / "data")) as stores,
        stores.directory.database.read() as reader,
    ):
        with pytest.raises(RoomNotFoundError):
            await rooms.find_by_name(reader, "lean")
    assert (await asyncio.to_thread(CliRunner().invoke, cli.app, words)).exit_code == 0
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        assert (await find(stores, "lean")).message_count == 20


async def test_a_command_has_no_requests_deadline(tmp_path: Path) -> None:
    """What a command reads and writes may take longer than a request's."""
    (tmp_path / "rookery.toml").write_text("[server]\ndata_dir = 'data'\n[limits]\nread_deadline_ms = 50\n")
    chosen = config.load(tmp_path / "rookery.toml", environ={})
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000) SELECT count(*) FROM n"
    composition.prepare(chosen)
    async with composition.open_stores(chosen) as stores:
        room, _ = await importer.ensure_room(stores, "lean", owner_id=None, is_public=False)
        assert await stores.pool.read(room.id, Reader.all, slow) == [(1_500_000,)]
    async with composition.open_stores(chosen, kind="server") as stores:
        with pytest.raises(DeadlineError):
            await stores.pool.read(room.id, Reader.all, slow)


def test_a_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    """A gzip file without its end stops with a sentence, and what was whole before is loaded."""
    file = tmp_path / "history.jsonl.gz"
    whole = gzip.compress(encoded(LINES))
    file.write_bytes(whole[: len(whole) * 9 // 10])
    cut = invoke("--data", tmp_path / "data", "import", file, "--room", "lean")
    assert cut.code == 1
    assert cut.err.startswith("Error: The file is cut off or damaged")
    assert message_count(tmp_path / "data") in (500, 1_000)
    file.write_bytes(whole)
    assert invoke("--data", tmp_path / "data", "import", file, "--room", "lean").code == 0
    assert message_count(tmp_path / "data") == 1_301


def test_a_room_of_somebody_else_is_not_taken_over(tmp_path: Path) -> None:
    """--owner must exist, owns the room that is made, and does not get a room that is another's."""
    lines = LINES[:20]
    unknown = load(tmp_path, "--owner", "alice", lines=lines)
    assert (unknown.code, "rookery user create alice" in unknown.json["error"]) == (1, True)
    for name in ("alice", "carol"):
        words = ("--data", tmp_path / "data", "user", "create", name, "--password-stdin")
        assert invoke(*words, stdin="correct horse\n").code == 0
    assert load(tmp_path, "--owner", "alice", lines=lines).code == 0
    assert invoke("--data", tmp_path / "data", "room", "show", "lean", "--json").json["owner"] == "alice"
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
    import_ = invoke("--data", tmp_path / "data", "import", path, "--room", "real", "--json")
    assert import_.code == 0, import_.out
    with gzip.open(path) as file:
        lines = [orjson.loads(line) for line in file if line.strip()]
    async with composition.open_stores(settings(tmp_path / "data")) as stores:
        found = await read_back(stores, await find(stores, "real"))
    assert found == expected(lines)
