"""How full the rooms are and what was alerted, over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.fleets import LIMIT_BYTES
from tests.router.clients import Room
from tests.router.operators import Site, site_in

SHARDS = "/v1/operate/shards"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    with site_in(folder) as made:
        yield made


@pytest.fixture(scope="module")
def rooms(site: Site) -> list[Room]:
    """Three rooms, the first of which is filling up, after a round."""
    found = [site.user.found() for _ in range(3)]
    for _ in range(200):
        site.user.say(found[0], "x" * 7_000)
    site.user.say(found[1], "x" * 7_000)
    site.go_round()
    return found


def test_shards_come_the_largest_first(site: Site, rooms: list[Room]) -> None:
    """Administrators page through the shards by size or of one level, with the fleet in numbers."""
    whole = site.admin.get(SHARDS)
    assert [shard["room_id"] for shard in whole["shards"][:2]] == [rooms[0].id, rooms[1].id]
    assert whole["fleet"]["levels"] == {"ok": 2, "warn": 1, "critical": 0, "full": 0}
    assert (whole["fleet"]["shards"], whole["fleet"]["message_count"]) == (3, 201)
    first = site.admin.get(SHARDS, limit=2)
    rest = site.admin.get(SHARDS, limit=2, cursor=first["next_cursor"])
    assert first["shards"] + rest["shards"] == whole["shards"]
    assert rest["next_cursor"] is None
    assert site.admin.get(SHARDS, level="warn")["shards"] == whole["shards"][:1]
    assert site.admin.refused("GET", SHARDS, params={"level": "huge"}).status == 422
    assert site.user.refused("GET", SHARDS).type == "forbidden"


def test_one_shard_has_a_history(site: Site, rooms: list[Room]) -> None:
    """A shard is told with its size, its limit and what it used before."""
    path = f"{SHARDS}/{rooms[0].id}"
    shard = site.admin.get(path)
    assert (shard["name"], shard["level"], shard["limit_bytes"]) == (rooms[0].name, "warn", LIMIT_BYTES)
    assert LIMIT_BYTES * 0.8 <= shard["used_bytes"] <= shard["size_bytes"]
    (size,) = site.admin.get(f"{path}/sizes")["sizes"]
    assert size["used_bytes"] == shard["used_bytes"]
    for missing in ("1", "1/sizes"):
        assert site.admin.refused("GET", f"{SHARDS}/{missing}").status == 404
    assert site.admin.refused("GET", f"{path}/sizes", params={"days": 0}).status == 422


def test_a_limit_of_its_own_holds_from_the_next_round_on(site: Site, rooms: list[Room]) -> None:
    """A room that is given a smaller limit is closed and alerted by the next round, and opened with a larger one."""
    room = rooms[2]
    path = f"{SHARDS}/{room.id}/limit"
    for _ in range(150):
        site.user.say(room, "x" * 7_000)
    told = site.admin.did("PUT", path, {"size_limit_bytes": 2**20})
    assert (told["limit_bytes"], told["has_own_limit"]) == (2**20, True)
    site.go_round()
    assert site.user.refused("POST", f"{room.general}/messages", {"content": "x"}).type == "storage-full"
    newest = site.admin.get("/v1/operate/alerts")["alerts"][0]
    assert (newest["room_id"], newest["level"], newest["previous"]) == (room.id, "full", "ok")
    assert "is read-only" in newest["text"]
    site.admin.did("PUT", path, {"size_limit_bytes": None})
    site.go_round()
    site.user.say(room, "there is space again")
    for wrong in ({}, {"size_limit_bytes": 5}, {"size_limit_bytes": "5"}, {"size_limit_bytes": 2**60}):
        assert site.admin.refused("PUT", path, wrong).status == 422
    assert site.admin.refused("PUT", f"{SHARDS}/1/limit", {"size_limit_bytes": None}).status == 404
    acts = site.admin.get("/v1/platform/audit", action="shard.limited")["entries"]
    assert [act["metadata"]["size_limit_bytes"] for act in acts] == [None, 2**20]


def test_alerts_are_acknowledged_once(site: Site, rooms: list[Room]) -> None:
    """Alerts are listed page by page; whoever acknowledges one first stays, and it leaves the list of open ones."""
    found = site.admin.get("/v1/operate/alerts", limit=1)
    alert = site.admin.get("/v1/operate/alerts", limit=100)["alerts"][-1]
    assert (alert["room_id"], alert["level"], alert["acknowledged_by"]) == (rooms[0].id, "warn", None)
    assert len(found["alerts"]) == 1
    path = f"/v1/operate/alerts/{alert['id']}/acknowledged"
    first = site.admin.did("PUT", path)
    assert first["acknowledged_by"] == site.admin.id
    assert site.admin.did("PUT", path) == first
    open_ones = site.admin.get("/v1/operate/alerts", is_open=True, limit=100)
    assert alert["id"] not in [each["id"] for each in open_ones["alerts"]]
    everything = site.admin.get("/v1/operate/alerts", limit=100)
    assert everything["alerts"][-1] == first
    assert [user["username"] for user in everything["users"]] == ["queen"]
    assert site.admin.refused("PUT", "/v1/operate/alerts/1/acknowledged").status == 404
    assert site.user.refused("PUT", path).type == "forbidden"
