"""Work upon rooms over HTTP: begun, watched, cancelled; and rooms that are let out of quarantine."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sqlite
from directory.runs import RUNNING_MAX
from tests.router.clients import Room
from tests.router.operators import SEEN_SECONDS, Site, site_in

JOBS = "/v1/operate/jobs"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as made:
        yield made


def ended(site: Site, kind: str, room: Room) -> Any:
    """Begin a job and return it when it has ended."""
    job = site.admin.post(JOBS, {"kind": kind, "room_id": room.id})
    assert (job["kind"], job["room_id"], job["started_by"]) == (kind, room.id, site.admin.id)
    end = time.monotonic() + 10
    while job["state"] == "running" and time.monotonic() < end:
        time.sleep(0.02)
        job = site.admin.get(f"{JOBS}/{job['id']}")
    return job


def spoil(site: Site, room: Room) -> None:
    """Make a row of a room point nowhere, as damage would."""
    connection = sqlite.connect(site.server.place.shards / f"{room.id}.db")
    connection.pragma("foreign_keys", "OFF")
    connection.execute("INSERT INTO reactions (message_id, emoji, user_id, created_at) VALUES (5, 'x', 5, 1)")
    connection.close()


def mend(site: Site, room: Room) -> None:
    """Make a room whole again."""
    connection = sqlite.connect(site.server.place.shards / f"{room.id}.db")
    connection.execute("DELETE FROM reactions WHERE message_id = 5")
    connection.close()


def test_jobs_do_their_work(site: Site) -> None:
    """Each kind of job ends with its result, jobs are listed with who began them, and odd ones are refused."""
    room = site.user.found()
    site.user.say(room, "moss")
    assert ended(site, "check", room)["result"] == {
        "ok": True,
        "problems": [],
        "is_quarantined": False,
        "left_out": None,
    }
    assert ended(site, "optimize", room)["result"]["steps"] > 0
    tables = ended(site, "tables", room)["result"]["tables"]
    assert "messages" in [table["name"] for table in tables]
    whole = site.admin.get(JOBS)
    assert [job["kind"] for job in whole["jobs"]] == ["tables", "optimize", "check"]
    assert [user["username"] for user in whole["users"]] == ["queen"]
    first = site.admin.get(JOBS, limit=1)
    rest = site.admin.get(JOBS, limit=2, cursor=first["next_cursor"])
    assert first["jobs"] + rest["jobs"] == whole["jobs"]
    done = site.admin.did("DELETE", f"{JOBS}/{whole['jobs'][0]['id']}")
    assert done == whole["jobs"][0]
    assert site.admin.refused("POST", JOBS, {"kind": "dance", "room_id": room.id}).status == 422
    assert site.admin.refused("POST", JOBS, {"kind": "check", "room_id": "1"}).status == 404
    assert site.admin.refused("GET", f"{JOBS}/1").status == 404
    assert site.admin.refused("DELETE", f"{JOBS}/1").status == 404
    assert site.user.refused("POST", JOBS, {"kind": "check", "room_id": room.id}).type == "forbidden"
    acts = site.admin.get("/v1/platform/audit", action="job.started")["entries"]
    assert [act["metadata"]["kind"] for act in acts] == ["tables", "optimize", "check"]


def test_jobs_are_bounded(site: Site) -> None:
    """While as many jobs run as may, another one is refused, and one of the same kind upon the same room too."""
    rooms = [site.user.found() for _ in range(RUNNING_MAX + 1)]
    directory = sqlite.connect(site.server.place.folder / "data" / "directory.db")
    for number, room in enumerate(rooms[:RUNNING_MAX], 1):
        directory.execute(
            "INSERT INTO runs (id, kind, room_id, started_at, updated_at) VALUES (?, 'check', ?, 1, 1)",
            (number, int(room.id)),
        )
    directory.close()
    for room in (rooms[0], rooms[-1]):
        assert site.admin.refused("POST", JOBS, {"kind": "check", "room_id": room.id}).type == "conflict"


def test_a_damaged_room_is_closed_alone_and_let_out(site: Site) -> None:
    """A check that finds damage closes that room with the reason and no other; it comes out when it is sound, or by
    force."""
    room, other = site.user.found(), site.user.found()
    site.user.say(room, "moss")
    path = f"/v1/operate/shards/{room.id}"
    spoil(site, room)
    result = ended(site, "check", room)["result"]
    assert (result["ok"], result["is_quarantined"]) == (False, True)
    time.sleep(SEEN_SECONDS)
    refusal = site.user.refused("POST", f"{room.general}/messages", {"content": "x"})
    assert (refusal.status, refusal.type) == (503, "room-broken")
    assert "in quarantine" in refusal.detail
    site.user.say(other, "other rooms go on")
    assert site.admin.get(path)["quarantined_at"] is not None
    (alert,) = site.admin.get("/v1/operate/alerts", is_open=True)["alerts"]
    assert (alert["kind"], alert["room_id"]) == ("damage", room.id)
    still = site.admin.refused("DELETE", f"{path}/quarantine")
    assert (still.type, "missing rows" in still.detail) == ("conflict", True)
    mend(site, room)
    site.admin.did("DELETE", f"{path}/quarantine")
    time.sleep(SEEN_SECONDS)
    site.user.say(room, "back again")
    spoil(site, room)
    ended(site, "check", room)
    site.admin.did("DELETE", f"{path}/quarantine", params={"force": "true"})
    time.sleep(SEEN_SECONDS)
    assert site.user.get(f"{room.general}/messages")["messages"]
    assert site.admin.refused("DELETE", "/v1/operate/shards/1/quarantine").status == 404
    assert site.user.refused("DELETE", f"{path}/quarantine").type == "forbidden"
    acts = site.admin.get("/v1/platform/audit", action="shard.released")["entries"]
    assert [act["metadata"]["is_forced"] for act in acts] == [True, False]


def test_a_room_is_put_away_and_brought_back(site: Site) -> None:
    """A job puts a room into object storage, where its file was, and another brings it back with all that was said."""
    room = site.user.found()
    said = site.user.say(room, "moss")
    file = site.server.place.shards / f"{room.id}.db"
    away = ended(site, "hibernate", room)
    assert (away["state"], away["result"]["file_bytes"] > away["result"]["stored_bytes"]) == ("done", True), away
    assert not file.exists()
    assert ended(site, "wake", room)["state"] == "done"
    assert file.exists()
    assert site.user.get(f"{room.general}/messages")["messages"][0] == said


def test_history_is_moved_by_a_job(site: Site) -> None:
    """A job visits a room for what is due: in a young room nothing is, and it says so."""
    room = site.user.found()
    site.user.say(room, "moss")
    done = ended(site, "archive", room)
    assert (done["state"], done["result"]["messages_moved"], done["result"]["segments_made"]) == ("done", 0, 0)
