"""Files in an S3 bucket: clients send and read them there themselves, by addresses that the server signs."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rookery.server import periodic
from tests.objects.radosgw import Radosgw, radosgw
from tests.router.clients import Client, client_of
from tests.router.serving import Place, serving, until
from tests.router.uploads import PNG, announced

__all__ = ["radosgw"]


@pytest.fixture(scope="module")
def bucket(radosgw: Radosgw) -> str:
    return radosgw.make_bucket()


@pytest.fixture
def anna(radosgw: Radosgw, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Somebody on a server whose files are in a bucket."""
    monkeypatch.setattr(periodic, "CLEANUP_EVERY_SECONDS", 0.05)
    tables = f"""
        [[r2_buckets]]
        binding = "ARCHIVE"
        bucket_name = "archive"
        [[r2_buckets]]
        binding = "FILES"
        bucket_name = "{bucket}"
        endpoint = "{radosgw.endpoint}"
        region = "{radosgw.region}"
    """
    keys = {
        "ROOKERY_FILES_ACCESS_KEY_ID": radosgw.access_key_id,
        "ROOKERY_FILES_SECRET_ACCESS_KEY": radosgw.secret_access_key,
    }
    place = Place(tmp_path, more=tables, environ=keys)
    with serving(place) as server, client_of(server) as nobody:
        yield nobody.guest()


def send_bytes(asked: Any, data: bytes) -> int:
    """Put bytes into the bucket as any client does, without this server."""
    upload = asked["upload"]
    headers = upload["headers"] | {"content-length": str(len(data))}
    return httpx.put(upload["url"], content=data, headers=headers).status_code


def stored(radosgw: Radosgw, bucket: str) -> int:
    """Count the files in the bucket, each under the prefix of its installation, without the claims of that."""
    keys = [entry["Key"] for entry in radosgw.client.list_objects_v2(Bucket=bucket).get("Contents", ())]
    assert all(key.startswith("i-") for key in keys)
    return sum("/owner/" not in key for key in keys)


def test_files_pass_by_the_server(anna: Client, radosgw: Radosgw, bucket: str) -> None:
    """A file goes to the bucket and comes from there, as what may be saved only, and goes with its message."""
    room = anna.found()
    asked = anna.post(f"{room.general}/attachments", announced(filename="nest é.png"))
    assert asked["upload"]["url"].startswith(radosgw.endpoint)
    path = f"{room.general}/attachments/{asked['attachment']['id']}"
    assert anna.refused("POST", f"{path}/complete").type == "conflict"
    assert send_bytes(asked, PNG) == 200
    assert anna.post(f"{path}/complete")["width"] == 3
    sent = anna.post(f"{room.general}/messages", {"attachment_ids": [asked["attachment"]["id"]]})
    response = anna.ask("GET", sent["attachments"][0]["url"], headers={"range": "bytes=0-3"})
    assert response.status_code == 302
    for url in (response.headers["location"], anna.get(f"{path}/link")["url"]):
        assert url.startswith(radosgw.endpoint)
        read = httpx.get(url)
        assert (read.content, read.headers["content-type"]) == (PNG, "image/png")
        assert "nest%20%C3%A9.png" in read.headers["content-disposition"]
        assert read.headers["content-disposition"].startswith("attachment")
        assert httpx.get(url, headers={"range": "bytes=0-3"}).content == PNG[:4]
    assert stored(radosgw, bucket) == 1
    anna.did("DELETE", f"{room.general}/messages/{sent['id']}")
    until(lambda: anna.get("/v1/users/me/storage")["used_bytes"] == 0)
    assert stored(radosgw, bucket) == 0


@pytest.mark.security
def test_other_bytes_are_found_out(anna: Client, radosgw: Radosgw, bucket: str) -> None:
    """Bytes that the bucket took though others were announced are removed, and the right ones can follow."""
    room = anna.found()
    asked = anna.post(f"{room.general}/attachments", announced())
    path = f"{room.general}/attachments/{asked['attachment']['id']}"
    assert send_bytes(asked, PNG[:-1] + b"x") == 200  # Ceph does not compare
    assert anna.refused("POST", f"{path}/complete").type == "upload-mismatch"
    assert stored(radosgw, bucket) == 0
    assert send_bytes(asked, PNG + b"x") >= 400
    assert send_bytes(asked, PNG) == 200
    assert anna.post(f"{path}/complete")["height"] == 2


@pytest.mark.security
def test_a_page_is_no_page_in_the_bucket_either(anna: Client) -> None:
    """What a browser could run comes from the bucket as bytes to be saved."""
    page, room = b"<script>alert(1)</script>", anna.found()
    body = announced(page, mime_type="text/html", filename="a.html")
    asked = anna.post(f"{room.general}/attachments", body)
    assert send_bytes(asked, page) == 200
    anna.post(f"{room.general}/attachments/{asked['attachment']['id']}/complete")
    sent = anna.post(f"{room.general}/messages", {"attachment_ids": [asked["attachment"]["id"]]})
    read = httpx.get(anna.ask("GET", f"{sent['attachments'][0]['url']}?inline=1").headers["location"])
    assert hashlib.sha256(read.content).hexdigest() == body["sha256"]
    assert read.headers["content-type"] == "application/octet-stream"
    assert read.headers["content-disposition"].startswith("attachment")
