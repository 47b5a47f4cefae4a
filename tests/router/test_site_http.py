"""What the operator's settings give to clients: public values, other origins, and a limit on size."""

from pathlib import Path

from tests.router.clients import Client, client_of
from tests.router.serving import ORIGIN, Place, serving

SMALL = """
[vars]
support_url = "https://example.org/help"
[[d1_databases]]
binding = "DIRECTORY"
database_name = "directory"
[[d1_databases]]
binding = "SHARDS"
database_name = "shards"
size_limit_bytes = 1_048_576
[[r2_buckets]]
binding = "ARCHIVE"
bucket_name = "archive"
"""
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


def test_a_full_room_is_read_only(tmp_path: Path) -> None:
    """A room at its size limit answers 507 to what would make it larger; reading goes on, and so do other rooms."""
    with serving(Place(tmp_path, more=SMALL)) as server, client_of(server) as nobody:
        anna = nobody.guest()
        full, other = anna.found(), anna.found()
        statuses = [
            anna.ask("POST", f"{full.general}/messages", {"content": f"{number} " + "word " * 1_500}).status_code
            for number in range(200)
        ]
        assert set(statuses) == {201, 507}
        assert len(anna.get(f"{full.general}/messages", limit=100)["messages"]) > 10
        assert anna.say(other, "still here")
        assert nobody.get("/v1/site")["vars"] == {"support_url": "https://example.org/help"}


def test_pages_of_a_known_origin_may_call(nobody: Client) -> None:
    """A page of an origin on the list passes the preflight and reads answers; one of another origin does neither."""
    for origin, may in ((ORIGIN, True), ("https://elsewhere.example", False)):
        asked = nobody.http.options("/v1/rooms", headers={"origin": origin, **PREFLIGHT})
        assert (asked.status_code == 200) is may
        told = nobody.http.get("/v1/site", headers={"origin": origin}).headers
        assert (told.get("access-control-allow-origin") == origin) is may
