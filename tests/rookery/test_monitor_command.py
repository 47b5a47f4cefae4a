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
    (alert,) = status["alerts"]
    assert alert["kind"] == "damage"
    assert "rookery monitor acknowledge" in invoke("--data", tmp_path, "monitor", "status").out
    for _ in range(2):
        seen = invoke("--data", tmp_path, "monitor", "acknowledge", alert["id"], "--json").json
        assert (seen["id"], seen["acknowledged_at"] is None) == (alert["id"], False)
    assert invoke("--data", tmp_path, "monitor", "status", "--json").json["alerts"] == []
    assert "rookery monitor acknowledge" not in invoke("--data", tmp_path, "monitor", "status").out
    for words, count in ((("--kind", "size"), 0), (("--room", "other"), 0), (("--all",), 0)):
        assert invoke("--data", tmp_path, "monitor", "acknowledge", *words, "--json").json == {"count": count}
    assert invoke("--data", tmp_path, "monitor", "acknowledge").code == 2
    assert invoke("--data", tmp_path, "monitor", "acknowledge", 5, "--all").code == 2
    unknown = invoke("--data", tmp_path, "monitor", "acknowledge", 5)
    assert (unknown.code, unknown.err) == (1, "Error: There is no alert 5.\n")


async def test_status_shows_the_largest_and_what_is_open(tmp_path: Path) -> None:
    """Status lists rooms with their level and limit; a limit of a room's own is honoured by the next round."""
    lean, _ = await fill(tmp_path, "lean", "other")
    invoke("--data", tmp_path, "monitor", "once")
    assert invoke("--data", tmp_path, "monitor", "limit", "lean", 1_500_000, "--json").json == {
        "room_id": str(lean.id),
        "size_limit_bytes": 1_500_000,
    }
    assert invoke("--data", tmp_path, "monitor", "limit", "lean", 5).code == 1
    nowhere = invoke("--data", tmp_path, "monitor", "limit", "nowhere", 1_500_000)
    assert (nowhere.code, "rookery room list" in nowhere.err) == (1, True)
    status = invoke("--data", tmp_path, "monitor", "status", "--json").json
    assert {room["name"]: room["limit_bytes"] for room in status["rooms"]} == {
        "lean": 1_500_000,
        "other": 10_000_000_000,
    }
    assert "lean" in invoke("--data", tmp_path, "monitor", "status").out


async def test_status_tells_the_next_round(tmp_path: Path) -> None:
    """Status tells when the settings' crons fire next, in UTC, and nothing of it where there are none."""
    (tmp_path / "rookery.toml").write_text('[triggers]\ncrons = ["0 0 29 FEB *", "30 4 1 jan *"]')
    words = ("--config", tmp_path / "rookery.toml", "--data", tmp_path, "monitor", "status")
    await fill(tmp_path, "lean")
    following = invoke(*words, "--json").json["next_round_at"]
    assert following[4:] in {"-01-01T04:30:00Z", "-02-29T00:00:00Z"}
    assert f"Next round: {following}" in invoke(*words).out
    (tmp_path / "rookery.toml").write_text("[triggers]\ncrons = []")
    assert invoke(*words, "--json").json["next_round_at"] is None
    assert "Next round" not in invoke(*words).out


async def test_a_damaged_room_is_put_into_quarantine_and_let_out(tmp_path: Path) -> None:
    """`check` closes a damaged room and says so, `release` refuses while it is broken, and `--force` insists."""
    lean, other = await fill(tmp_path, "lean", "other")
    path = composition.shards_folder(settings(tmp_path)) / f"{lean.id}.db"
    assert invoke("--data", tmp_path, "monitor", "check", "lean", "--json").json["ok"] is True
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 2_048 * 2_048
    content[middle : middle + 8_192] = b"\x55" * 8_192
    path.write_bytes(content)
    ended = invoke("--data", tmp_path, "monitor", "check", "lean", "--json")
    assert (ended.code, ended.json["ok"], ended.json["is_quarantined"]) == (1, False, True)
    assert "quarantine" in invoke("--data", tmp_path, "monitor", "status").out
    findings = invoke("--data", tmp_path, "doctor", "--sample", 0, "--json").json["findings"]
    assert [each["room_id"] for each in findings if "quarantine" in each["problem"]] == [str(lean.id)]
    assert invoke("--data", tmp_path, "monitor", "release", "lean").code == 1
    assert invoke("--data", tmp_path, "monitor", "release", "lean", "--force").code == 0
    assert "quarantine" not in invoke("--data", tmp_path, "monitor", "status").out
    assert invoke("--data", tmp_path, "monitor", "check", "other").out == f"Room {other.id} is sound.\n"
    acts = invoke("--data", tmp_path, "audit", "list", "--action", "shard.released", "--json").json
    assert [act["facts"]["is_forced"] for act in acts] == [True]


async def test_a_room_is_tidied_up(tmp_path: Path) -> None:
    """`optimize` works on a room by its name, beside a server, and tells how long its longest step took."""
    lean, _ = await fill(tmp_path, "lean", "other")
    with serving(tmp_path, cwd=tmp_path):
        done = invoke("--data", tmp_path, "monitor", "optimize", "lean", "--json").json
    assert done["room_id"] == str(lean.id)
    assert done["longest_step_ms"] > 0
    assert "given back" in invoke("--data", tmp_path, "monitor", "optimize", lean.id).out
    assert invoke("--data", tmp_path, "monitor", "optimize", "nowhere").code == 1


async def test_monitors_at_once_take_turns(tmp_path: Path) -> None:
    """Of several monitors that begin together each goes round or says that another one does; nothing is told twice."""
    made = await fill(tmp_path, "one", "two", "three")
    for room in made:
        (composition.shards_folder(settings(tmp_path)) / f"{room.id}.db").unlink()
    processes = [start("--data", tmp_path, "monitor", "once", "--json", cwd=tmp_path) for _ in range(4)]
    answers = [orjson.loads(process.communicate(timeout=60)[0]) for process in processes]
    went = [answer for answer in answers if "rooms" in answer]
    assert went
    assert all("Another monitor" in answer["error"] for answer in answers if "rooms" not in answer)
    assert sum(answer["alerts_raised"] for answer in went) == sum(answer["alerts_told"] for answer in went) == 3
    assert len(invoke("--data", tmp_path, "monitor", "status", "--json").json["alerts"]) == 3


async def test_run_goes_round_beside_a_server_until_it_is_stopped(tmp_path: Path) -> None:
    """`run` measures at once, beside a server, prints a line of JSON, and ends with Ctrl+C."""
    with serving(tmp_path, cwd=tmp_path):
        process = start("--data", tmp_path, "monitor", "run", "--json", cwd=tmp_path)
        try:
            assert process.stdout is not None
            assert orjson.loads(process.stdout.readline())["rooms"] == 0
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
            assert process.returncode == 130
        finally:
            process.kill()
            process.communicate()
