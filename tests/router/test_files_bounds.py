"""How much and how slowly: quotas, uploads and downloads that take too long, and what is freed again."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rookery.server import periodic
from router import streams
from router.endpoints import files as endpoints
from router.endpoints.files import Files
from tests.router.clients import Client, client_of
from tests.router.serving import Place, Running, serving, until
from tests.router.uploads import announced, begin, put, send, upload

LIMIT = 10_000
TEXT = {"mime_type": "text/plain", "filename": "a.txt"}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Somebody on a server that keeps little and removes what was deleted at once."""
    monkeypatch.setattr(periodic, "CLEANUP_EVERY_SECONDS", 0.05)
    limits = {"storage_user_bytes_max": LIMIT, "file_bytes_max": 9_000}
    with serving(Place(tmp_path, limits=limits)) as server, client_of(server) as nobody:
        yield nobody.guest()


def test_a_quota_warns_and_then_refuses(small: Client) -> None:
    """From 80 and 95 percent on one is warned, the last byte is taken, and one more is refused until room is made."""
    room = small.found()
    assert small.get("/v1/users/me/storage") == {
        "used_bytes": 0, "limit_bytes": LIMIT, "file_bytes_max": 9_000, "warning": None,
    }  # fmt: skip
    told: list[tuple[int, str | None]] = []
    asked: Any = None
    for size_bytes in (7_999, 1, 1_499, 1, 500):
        asked = small.post(f"{room.general}/attachments", announced(b"x" * size_bytes, **TEXT))
        told.append((asked["storage"]["used_bytes"], asked["storage"]["warning"]))
        assert small.get("/v1/users/me/storage") == asked["storage"]
    assert told == [
        (7_999, None), (8_000, "warning"), (9_499, "warning"), (9_500, "critical"), (10_000, "critical"),
    ]  # fmt: skip
    refusal = small.refused("POST", f"{room.general}/attachments", announced(b"x", **TEXT))
    assert (refusal.status, refusal.type) == (413, "quota-exceeded")
    assert "10000 of 10000" in refusal.detail
    assert small.refused("POST", f"{room.general}/attachments", announced(b"x" * 9_001, **TEXT)).status == 422
    last = asked["attachment"]["id"]
    small.did("DELETE", f"{room.general}/attachments/{last}")
    until(lambda: small.get("/v1/users/me/storage")["used_bytes"] == 9_500)
    assert small.post(f"{room.general}/attachments", announced(b"x", **TEXT))["storage"]["used_bytes"] == 9_501


def test_deleting_a_message_frees_its_files(small: Client, tmp_path: Path) -> None:
    """What a deleted message had counts no more a moment later, and its bytes are gone, also for who has a link."""
    room = small.found()
    sent = send(small, room.general, b"x" * 9_000, **TEXT)
    link = small.get(sent["attachments"][0]["url"].replace("/content", "/link"))["url"]
    assert small.with_token(None).ask("GET", link).status_code == 200
    small.did("DELETE", f"{room.general}/messages/{sent['id']}")
    assert small.with_token(None).refused("GET", link).status == 404
    until(lambda: small.get("/v1/users/me/storage")["used_bytes"] == 0)
    assert [*(tmp_path / "data" / "files").rglob("*-*")] == []
    assert send(small, room.general, b"x" * 9_000, **TEXT)["attachments"]


def test_a_refused_upload_takes_no_room(small: Client) -> None:
    """What is refused by the room is not counted, however often it is asked for."""
    room = small.found()
    locked = f"{room.path}/channels/{room.channels['voice']}"
    for _ in range(3):
        assert small.refused("POST", f"{locked}/attachments", announced(b"x" * 9_000, **TEXT)).status == 409
    for _ in range(50):
        small.post(f"{room.general}/attachments", announced(b"x", **TEXT))
    assert small.refused("POST", f"{room.general}/attachments", announced(b"x", **TEXT)).status == 409
    assert small.get("/v1/users/me/storage")["used_bytes"] == 50


def test_uploads_side_by_side_do_not_exceed_it_together(small: Client) -> None:
    """Of many uploads asked for at once as many are admitted as there is room for."""
    room, body = small.found(), announced(b"x" * 900, **TEXT)

    def ask(_number: int) -> int:
        return small.ask("POST", f"{room.general}/attachments", body).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(30)))
    assert sorted(statuses) == [201] * 11 + [413] * 19
    assert small.get("/v1/users/me/storage")["used_bytes"] == 11 * 900


@pytest.mark.security
def test_an_upload_is_completed_once(small: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those who complete one upload at once one reads it through, and the others are told so or that it is done."""
    room = small.found()
    attachment_id = begin(small, room.general, b"x" * 9_000, **TEXT)
    reads = []
    verify = Files._verified

    async def slowly(self: Files, one: object) -> bytes:
        reads.append(one)
        await asyncio.sleep(0.2)
        return await verify(self, one)  # type: ignore[arg-type]

    monkeypatch.setattr(Files, "_verified", slowly)

    def complete(_number: int) -> int:
        return small.ask("POST", f"{room.general}/attachments/{attachment_id}/complete").status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(complete, range(8)))
    assert (len(reads), set(statuses)) == (1, {200, 409})
    assert complete(9) == 200


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Running, Client]]:
    """Somebody on a server that waits half a second for a body, and has two at a time for one address."""
    monkeypatch.setattr(streams, "SECONDS_MIN", 0.5)
    monkeypatch.setattr(streams, "BYTES_PER_SECOND_MIN", 10**12)
    monkeypatch.setattr(streams, "PER_ADDRESS_MAX", 2)
    with serving(Place(tmp_path)) as server, client_of(server) as nobody:
        yield server, nobody.guest()


def half(server: Running, asked: dict[str, dict[str, str]], body: bytes) -> socket.socket:
    """Begin an upload and send no more than half of it."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    head = (
        f"PUT {asked['upload']['url']} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {len(body)}"
    )
    connection.sendall(head.encode() + b"\r\n\r\n" + body[: len(body) // 2])
    return connection


@pytest.mark.security
def test_a_slow_upload_ends(hasty: tuple[Running, Client], tmp_path: Path) -> None:
    """Who does not finish is told so and hung up on, who hangs up leaves nothing, and others go on after them."""
    server, client = hasty
    room, body = client.found(), b"x" * 1_000
    asked = client.post(f"{room.general}/attachments", announced(body, **TEXT))
    with half(server, asked, body) as slow:
        answer = b"".join(iter(lambda: slow.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"too-slow" in answer
    half(server, asked, body).close()
    incoming = tmp_path / "data" / "files" / ".incoming"
    until(lambda: not [*incoming.iterdir()])
    assert put(client, asked, body).status_code == 204


@pytest.mark.security
def test_an_address_has_few_uploads_at_a_time(hasty: tuple[Running, Client]) -> None:
    """Beyond its places an address is told to come back, and has them again when they are free."""
    server, client = hasty
    room, body = client.found(), b"x" * 1_000
    asked = client.post(f"{room.general}/attachments", announced(body, **TEXT))
    with half(server, asked, body), half(server, asked, body):
        time.sleep(0.2)
        assert put(client, asked, body).status_code == 429
    until(lambda: put(client, asked, body).status_code == 204)


@pytest.mark.security
def test_a_slow_download_ends(hasty: tuple[Running, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read is hung up on and sees that the file is not whole, and who reads gets all of it."""
    server, client = hasty
    room, body = client.found(), bytes(20_000_000)
    with monkeypatch.context() as patient:
        patient.setattr(streams, "SECONDS_MIN", 60)
        attachment_id = upload(client, room.general, body, **TEXT)
    url = client.post(f"{room.general}/messages", {"attachment_ids": [attachment_id]})["attachments"][0]["url"]
    link = client.get(url.replace("/content", "/link"))["url"]
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"GET {link} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        time.sleep(1.0)
        connection.settimeout(10)
        size = 0
        try:
            while part := connection.recv(1 << 20):
                size += len(part)
        except ConnectionError:
            pass
    assert 0 < size < len(body)
    monkeypatch.setattr(streams, "SECONDS_MIN", 60)
    assert httpx.get(f"{server.url}{link}").content == body


@pytest.mark.security
def test_a_damaged_file_is_never_whole(small: Client, tmp_path: Path) -> None:
    """When the stored bytes changed, a download breaks off before its end, and the server goes on."""
    room = small.found()
    file = send(small, room.general, b"moss" * 1_000, **TEXT)["attachments"][0]
    (path,) = (path for path in (tmp_path / "data" / "files").rglob(f"{file['id']}-*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(httpx.RemoteProtocolError):
        small.ask("GET", file["url"])
    path.write_bytes(path.read_bytes()[:-1])
    assert small.refused("GET", file["url"]).type == "file-damaged"
    assert small.get("/v1/users/me/storage")["used_bytes"] == 4_000


@pytest.mark.security
def test_addresses_end_with_their_time(small: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed works until its time is over, and no longer."""
    room = small.found()
    path = f"{room.general}/attachments/{send(small, room.general, b'moss', **TEXT)['attachments'][0]['id']}"
    asked = small.post(f"{room.general}/attachments", announced(b"moss", **TEXT))
    assert small.ask("GET", small.get(f"{path}/link")["url"]).content == b"moss"
    assert put(small, asked, b"moss").status_code == 204
    monkeypatch.setattr(endpoints, "LINK_MS", 1)
    monkeypatch.setattr(endpoints, "UPLOAD_MS", 1)
    link = small.get(f"{path}/link")["url"]
    asked = small.post(f"{room.general}/attachments", announced(b"moss", **TEXT))
    time.sleep(0.01)
    assert small.refused("GET", link).type == "link-refused"
    assert put(small, asked, b"moss").json()["detail"] == "This link has expired; ask for a new one."


@pytest.mark.security
def test_uploads_of_one_network_share_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies under way count by network: further addresses of one IPv6 network get no further places."""
    monkeypatch.setattr(streams, "PER_ADDRESS_MAX", 1)
    taken: list[str] = []
    take = streams.Slots.taken

    def noted(self: streams.Slots, network: str) -> Any:
        taken.append(network)
        return take(self, network)

    monkeypatch.setattr(streams.Slots, "taken", noted)
    with serving(Place(tmp_path, server={"trusted_proxies": '["127.0.0.0/8"]'})) as server, client_of(server) as nobody:
        client = nobody.guest()
        room = client.found()
        for address in ("2001:db8::1", "2001:db8::2", "::ffff:203.0.113.7"):
            asked = client.post(f"{room.general}/attachments", announced(b"x", **TEXT))
            headers = {"content-type": "text/plain", "x-forwarded-for": address}
            answer = client.http.put(asked["upload"]["url"], content=b"x", headers=headers)
            assert answer.is_success, answer.text
    assert taken == ["2001:db8::/64", "2001:db8::/64", "203.0.113.7"]
