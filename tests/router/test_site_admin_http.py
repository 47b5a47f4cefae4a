"""Administrators and moderators of the platform, over HTTP."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import sqlite
from tests.router.clients import PASSWORD, Client, client_of
from tests.router.hearing import hearing
from tests.router.serving import Place, Running, serving, until


@dataclass(frozen=True, slots=True)
class Site:
    """A server with an administrator, a moderator and somebody else."""

    nobody: Client
    admin: Client
    moderator: Client
    user: Client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(Place(tmp_path_factory.mktemp("platform"))) as running:
        yield running


@pytest.fixture(scope="module")
def site(server: Running) -> Iterator[Site]:
    with client_of(server) as nobody:
        made = [nobody.register(name) for name in ("queen", "bishop", "pawn")]
        grant(server.place.folder, made[0].id, "admin")
        grant(server.place.folder, made[1].id, "moderator")
        time.sleep(1.2)  # another process's change is seen within a second
        yield Site(nobody, *made)


def grant(folder: Path, user_id: str, capability: str) -> None:
    """Give somebody a capability, as the command line does beside a server."""
    directory = sqlite.connect(folder / "data" / "directory.db")
    directory.execute("INSERT INTO permissions VALUES (?, ?, NULL, 1)", (int(user_id), capability))
    directory.close()


def log_in(site: Site, name: str) -> int:
    return site.nobody.ask("POST", "/v1/auth/login", {"username": name, "password": PASSWORD}).status_code


def test_a_ban_ends_sessions_at_once(site: Site) -> None:
    """Whoever is banned is out with the answer of the ban, does not get in again, and does when it is lifted."""
    rascal = site.nobody.register("rascal")
    path = f"/v1/platform/bans/{rascal.id}"
    ban = site.moderator.did("PUT", path, {"reason": "spam", "expires_in_seconds": 3_600})
    assert rascal.refused("GET", "/v1/users/me").status == 401
    assert log_in(site, "rascal") == 403
    listed = site.admin.get("/v1/platform/bans")
    assert listed["bans"] == [ban]
    assert site.user.refused("GET", "/v1/platform/bans").type == "forbidden"
    assert {user["username"] for user in listed["users"]} == {"rascal", "bishop"}
    for _ in range(2):
        site.admin.did("DELETE", path)
    assert log_in(site, "rascal") == 201
    assert site.admin.get("/v1/platform/bans")["bans"] == []
    assert site.admin.refused("PUT", "/v1/platform/bans/1", {"reason": "x"}).status == 404
    assert site.admin.refused("PUT", path, {}).status == 422


def test_a_suspension_ends_sessions_at_once(site: Site) -> None:
    """Whoever is suspended is out with the answer, and gets in again when reinstated; twice is no harm."""
    rogue = site.nobody.register("rogue")
    path = f"/v1/platform/suspensions/{rogue.id}"
    for _ in range(2):
        site.moderator.did("PUT", path, {"reason": "spam"})
    assert rogue.refused("GET", "/v1/users/me").status == 401
    assert log_in(site, "rogue") == 403
    for _ in range(2):
        site.moderator.did("DELETE", path)
    assert log_in(site, "rogue") == 201


@pytest.mark.parametrize("path", ["/v1/platform/bans/{}", "/v1/platform/suspensions/{}"])
def test_nobody_reaches_above_themselves(site: Site, path: str) -> None:
    """A moderator acts upon no administrator, nobody upon themselves, and who is neither has no say at all."""
    body = {"reason": "coup"}
    assert site.moderator.refused("PUT", path.format(site.admin.id), body).type == "forbidden"
    assert site.moderator.refused("DELETE", path.format(site.admin.id)).type == "forbidden"
    for client in (site.admin, site.moderator):
        assert client.refused("PUT", path.format(client.id), body).type == "forbidden"
    assert site.user.refused("PUT", path.format(site.moderator.id), body).type == "forbidden"
    assert site.nobody.refused("PUT", path.format(site.user.id), body).status == 401
    assert [client.get("/v1/users/me")["username"] for client in (site.admin, site.moderator)] == ["queen", "bishop"]


def test_a_community_is_verified(site: Site) -> None:
    """An administrator verifies a community and takes it back, which everybody sees; moderators do not."""
    room = site.user.found(is_public=True)
    path = f"/v1/platform/rooms/{room.id}/verified"
    assert site.moderator.refused("PUT", path).type == "forbidden"
    for method, is_verified in (("PUT", True), ("PUT", True), ("DELETE", False), ("DELETE", False)):
        site.admin.did(method, path)
        assert site.user.get(room.path)["room"]["is_verified"] is is_verified
        assert site.user.get("/v1/rooms/public")["rooms"][0]["is_verified"] is is_verified
    acts = site.admin.get("/v1/platform/audit", resource_type="room", resource_id=room.id, action="room.updated")
    assert [act["metadata"]["after"] for act in acts["entries"]] == [{"is_verified": False}, {"is_verified": True}]
    assert site.admin.refused("PUT", "/v1/platform/rooms/1/verified").status == 404
    chat = site.user.did("PUT", f"/v1/users/{site.moderator.id}/chat")["room"]["id"]
    assert site.admin.refused("PUT", f"/v1/platform/rooms/{chat}/verified").type == "conflict"


def test_the_audit_log_is_for_administrators(site: Site) -> None:
    """The log comes newest first, page by page and filtered, with the people in it, to administrators alone."""
    pest = site.nobody.register("pest")
    pest_id = pest.id
    path = f"/v1/platform/bans/{pest_id}"
    site.moderator.did("PUT", path, {"reason": "spam", "expires_in_seconds": 60})
    site.admin.did("DELETE", path)
    assert site.moderator.refused("GET", "/v1/platform/audit").type == "forbidden"
    about = {"resource_type": "user", "resource_id": pest_id}
    whole = site.admin.get("/v1/platform/audit", **about)
    assert [entry["action"] for entry in whole["entries"]] == ["user.unbanned", "user.banned", "user.registered"]
    assert {user["username"] for user in whole["users"]} == {"queen", "bishop", "pest"}
    ban = whole["entries"][1]
    assert (ban["actor_id"], ban["metadata"]["reason"], ban["ip_address"]) == (site.moderator.id, "spam", "127.0.0.1")
    assert ban["metadata"]["expires_at"].endswith("Z")
    first = site.admin.get("/v1/platform/audit", limit=1, **about)
    rest = site.admin.get("/v1/platform/audit", limit=2, cursor=first["next_cursor"], **about)
    assert first["entries"] + rest["entries"] == whole["entries"]
    by = site.admin.get("/v1/platform/audit", actor_id=site.moderator.id, action="user.banned", **about)
    assert by["entries"] == [ban]
    assert site.admin.refused("GET", "/v1/platform/audit", params={"resource_type": "user"}).status == 422


def test_a_room_that_an_operator_closed_is_deleted_by_its_owner_and_by_administrators(
    server: Running, site: Site
) -> None:
    """A closed room refuses everything but its end, which its members and the site's audit log are told."""
    owner, member = site.nobody.guest(), site.nobody.guest()
    own, other = owner.found(), owner.found()
    for room in (own, other):
        owner.admit(room, member)
    directory = sqlite.connect(server.place.folder / "data" / "directory.db")
    directory.execute("UPDATE rooms SET state = 'readonly', readonly_reason = 'operator' WHERE kind = 'community'")
    directory.close()
    until(lambda: all(owner.ask("PATCH", room.path, {"description": "x"}).status_code == 507 for room in (own, other)))
    for refused in (member, site.moderator, site.user):
        assert refused.ask("DELETE", own.path, {}).status_code in (403, 404)
        assert refused.refused("DELETE", f"/v1/platform/rooms/{own.id}", {}).status == 403
    with hearing(server, member.token) as (hearer, _):
        owner.did("DELETE", own.path, {})
        assert hearer.op("removed") == {"room_id": own.id, "reason": "room_deleted"}
        site.admin.did("DELETE", f"/v1/platform/rooms/{other.id}", {"reason": "spam"})
        assert hearer.op("removed") == {"room_id": other.id, "reason": "room_deleted"}
    assert member.get("/v1/rooms")["rooms"] == []
    for who in (owner, site.admin):
        assert who.refused("DELETE", f"/v1/platform/rooms/{other.id}", {}).status == (404 if who is site.admin else 403)
    noted = site.admin.get("/v1/platform/audit", action="room.deleted")["entries"]
    assert [(entry["actor_id"], entry["resource_id"]) for entry in noted] == [
        (site.admin.id, other.id), (owner.id, own.id),
    ]  # fmt: skip
