"""`rookery room repair`: what can be read of a damaged room is there again, once and in order, and nothing else is."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import sqlite
from rookery import composition
from tests.rookery.histories import find, read_back, settings
from tests.rookery.terminal import Ended, invoke, run, serving, start

MESSAGES = 1_500


def repair(data: Path, *words: str) -> Ended:
    return invoke("--data", data, "room", "repair", "lean", "--json", *words)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a room of many messages."""
    line = b'{"channel": "nest", "topic": "", "user": "ada", "timestamp": %d, "content": "message %d of twigs"}\n'
    lines = b"".join(line % (1_700_000_000 + number, number) for number in range(MESSAGES))
    loaded = run("--data", tmp_path / "data", "import", "-", "--room", "lean", cwd=tmp_path, stdin=lines)
    assert loaded.code == 0, loaded.err
    return tmp_path / "data"


def shard(data: Path) -> Path:
    (path,) = (data / "shards").glob("*.db")
    return path


def scribble(data: Path, table: str, count: int) -> None:
    """Write over some leaves in the middle of a table."""
    path = shard(data)
    connection = sqlite.connect(path)
    pages = connection.execute(
        "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path", (table,)
    ).fetchall()
    connection.close()
    content = bytearray(path.read_bytes())
    for row in pages[len(pages) // 2 : len(pages) // 2 + count]:
        at = (int(str(row[0])) - 1) * sqlite.PAGE_BYTES
        content[at : at + sqlite.PAGE_BYTES] = b"\xa5" * sqlite.PAGE_BYTES
    path.write_bytes(content)


async def said(data: Path) -> list[str]:
    """Return the words of the room's channel, oldest first."""
    async with composition.open_stores(settings(data)) as stores:
        found = await read_back(stores, await find(stores, "lean"))
        return [str(message[3]) for message in found["nest"]]


async def test_lost_pages_cost_what_was_on_them_alone(data: Path) -> None:
    """With two pages of messages unreadable all others are there, in order, and the damaged file is kept."""
    before = await said(data)
    scribble(data, "messages", 2)
    damaged = shard(data).read_bytes()
    assert invoke("--data", data, "doctor", "--all").code == 1
    dry = repair(data, "--dry-run")
    assert (dry.code, dry.json["kept"], dry.json["is_whole"]) == (0, None, False)
    assert shard(data).read_bytes()[100:] == damaged[100:]
    done = repair(data)
    assert (done.code, done.json["problems"]) == (0, []), done.out + done.err
    after = await said(data)
    (messages,) = [table for table in done.json["tables"] if not table["is_whole"]]
    assert messages["table"] == "messages"
    assert len(before) - 80 < len(after) < len(before)
    assert messages["lost"] == len(before) - len(after)
    assert [text for text in before if text in set(after)] == after
    assert Path(done.json["kept"]).stat().st_size == len(damaged)
    assert invoke("--data", data, "doctor", "--all").code == 0
    assert invoke("--data", data, "room", "show", "lean", "--json").json["state"] == "active"


async def test_a_room_without_its_channels_is_left_as_it_is(data: Path) -> None:
    """Where not even the channels can be read nothing is changed, and a backup is the remedy."""
    scribble(data, "channels", 1)
    damaged = shard(data).read_bytes()
    refused = repair(data)
    assert refused.code == 1
    assert "restore it from a backup" in refused.json["error"]
    assert shard(data).stat().st_size == len(damaged)
    assert not (data / "damaged").exists()


def test_texts_are_mended_beside_a_running_server(data: Path, tmp_path: Path) -> None:
    """A server closes the room for the repair, and serves it again, with its texts mended and found by a search."""
    with serving(data, cwd=tmp_path) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        token = client.post("/v1/auth/register", json={"username": "anna", "password": "correct horse"}).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        made = client.post("/v1/rooms", json={"name": "den"}).raise_for_status().json()
        path = f"/v1/rooms/{made['room']['id']}/channels/{made['channels'][0]['id']}/messages"
        client.post(path, json={"content": "sticks and straw"}).raise_for_status()
        connection = sqlite.connect(data / "shards" / f"{made['room']['id']}.db")
        connection.execute("UPDATE messages SET content = CAST(x'737469ff6b7320616e64207374726177' AS TEXT)")
        connection.close()
        assert client.get(path).json()["messages"][0]["is_damaged"]
        done = invoke("--data", data, "room", "repair", "den", "--json")
        assert (done.code, done.json["mended"], done.json["is_whole"]) == (0, 1, True), done.out
        (message,) = _insist(client, path)["messages"]
        assert (message["content"], "is_damaged" in message) == ("sti\ufffdks and straw", False)
        client.post(path, json={"content": "and on"}).raise_for_status()
        search = f"/v1/rooms/{made['room']['id']}/search?q=straw"
        assert [hit["content"] for hit in _insist(client, search)["messages"]] == ["sti\ufffdks and straw"]


def _insist(client: httpx.Client, path: str) -> Any:
    """Ask until the room is open again."""
    end = time.monotonic() + 60
    while (answer := client.get(path)).status_code == 503 and time.monotonic() < end:
        time.sleep(0.05)
    return answer.raise_for_status().json()


@pytest.mark.crash
async def test_a_killed_repair_is_run_again(data: Path, tmp_path: Path) -> None:
    """Whenever it is killed, the room's file is the old one or the new one, and the next run ends well."""
    before = await said(data)
    scribble(data, "messages", 1)
    chance = random.Random(3)
    for _ in range(4):
        process = start("--data", data, "room", "repair", "lean", cwd=tmp_path)
        time.sleep(chance.uniform(0.3, 1.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert shard(data).stat().st_size > 100_000
    done = repair(data)
    assert (done.code, done.json["problems"]) == (0, [])
    after = await said(data)
    assert len(before) - 40 < len(after) < len(before)
    assert [file.suffix for file in (data / "shards").iterdir()] == [".db"]
