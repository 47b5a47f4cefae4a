"""`rookery monitor`: rounds at the command line, beside a server and without one."""

import signal
import time
from pathlib import Path

import orjson

from rookery import composition
from tests.rookery.histories import fill, settings
from tests.rookery.terminal import invoke, serving, start


async def test_a_round_measures_what_changed(tmp_path: Path) -> None:
    """The first round measures every room, the next only what was written to, and tells it as JSON or in words."""
    await fill(tmp_path, "lean", "other")
    time.sleep(2.1)  # what was written just now is measured once more
    first = invoke("--data", tmp_path, "monitor", "once", "--json").json
    assert (first["rooms"], first["measured"], first["levels"]["ok"]) == (2, 2, 2)
    assert invoke("--data", tmp_path, "monitor", "once", "--json").json["measured"] == 0
    assert "2 rooms, 0 measured" in invoke("--data", tmp_path, "monitor", "once").out


async def test_a_damaged_room_is_an_exit_code(tmp_path: Path) -> None:
    """A room whose file is gone is named, the other is measured, and the command ends with 1."""
    lean, _ = await fill(tmp_path, "lean", "other")
    (composition.shards_folder(settings(tmp_path)) / f"{lean.id}.db").unlink()
    ended = invoke("--data", tmp_path, "monitor", "once", "--json")
    assert ended.code == 1
    assert [each["room_id"] for each in ended.json["damaged"]] == [str(lean.id)]
    assert ended.json["measured"] == 1
    status = invoke("--data", tmp_path, "monitor", "status", "--json").json
    assert [alert["kind"] for alert in status["alerts"]] == ["damage"]


async def test_status_shows_the_largest_and_what_is_open(tmp_path: Path) -> None:
    """Status lists rooms with their level and limit; a limit of a room's own is honoured by the next round."""
    lean, _ = await fill(tmp_path, "lean", "other")
    invoke("--data", tmp_path, "monitor", "once")
    assert invoke("--data", tmp_path, "monitor", "limit", "lean", 1_500_000, "--json").json == {
        "room_id": str(lean.id),
        "size_limit_bytes": 1_500_000,
    }
    assert invoke("--data", tmp_path, "monitor", "limit", "lean", 5).code == 1
    assert invoke("--data", tmp_path, "monitor", "limit", "nowhere", 1_500_000).code == 1
    status = invoke("--data", tmp_path, "monitor", "status", "--json").json
    assert {room["name"]: room["limit_bytes"] for room in status["rooms"]} == {
        "lean": 1_500_000,
        "other": 10_000_000_000,
    }
    assert "lean" in invoke("--data", tmp_path, "monitor", "status").out


async def test_run_goes_round_beside_a_server_until_it_is_stopped(tmp_path: Path) -> None:
    """`run` measures at once, beside a server, prints a line of JSON, and ends with Ctrl+C."""
    with serving(tmp_path, cwd=tmp_path):
        process = start("--data", tmp_path, "monitor", "run", "--json", cwd=tmp_path)
        try:
            assert process.stdout is not None
            assert orjson.loads(process.stdout.readline())["rooms"] == 0
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
            assert process.returncode == 130
        finally:
            process.kill()
            process.communicate()
