"""Requests to what users name: where they may go, that they go to what was looked at, and how they end."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from router.outbound import BadTargetError, Outbound, Reach, is_public, parse
from tests.router.receivers import HANG, Receiver, receiving

PATIENCE_SECONDS = 20.0

pytestmark = pytest.mark.security

LOCAL = Reach((ip_network("127.0.0.0/8"),))
REFUSED = "no such address is reached from here"
# Of a name that is nobody's, for a hundred years.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVfUxlUz2auJXBcGH
5iYJ0WLlpLP4UchTIRM1refbAVmhRANCAARvamY/Y3EMBcdbtS6LOBlhwVNF0Ebt
S4rxDFlg0cJjxKEjGkMJbeug9EqnuMzAm90rZNbjEOH/LaCsD7ecDSbO
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmDCCAT6gAwIBAgIUSK7dYepm6yxmtHsL0RGH52DqpBMwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKaG9va3MudGVzdDAgFw0yNjExMjAxODExMzRaGA8yMTI2MTAy
NzE4MTEzNFowFTETMBEGA1UEAwwKaG9va3MudGVzdDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABG9qZj9jcQwFx1u1Los4GWHBU0XQRu1LivEMWWDRwmPEoSMaQwlt
66D0Sqe4zMCb3Stk1uMQ4f8toKwPt5wNJs6jajBoMB0GA1UdDgQWBBSuEy/YMzBr
JxhoARrgUJ9shatGkTAfBgNVHSMEGDAWgBSuEy/YMzBrJxhoARrgUJ9shatGkTAP
BgNVHRMBAf8EBTADAQH/MBUGA1UdEQQOMAyCCmhvb2tzLnRlc3QwCgYIKoZIzj0E
AwIDSAAwRQIgVbZxuq/QTBiWLdycn2eY7XG1gJrJK1BODs8Q3vruAUUCIQDCJHPF
cdpvmbHvK2Zv3FeGMfvsbiHGX7s7wkMXlnelJw==
-----END CERTIFICATE-----
"""

NOT_PUBLIC = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "192.0.0.1",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4001:830::200e"]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_what_is_not_public(text: str) -> None:
    """No address of a machine's own, a site's own, a group's, a document's or inside another one is public."""
    address = ip_address(text)
    assert not is_public(address)
    assert not Reach().permits(address, is_encrypted=True)
    assert Reach(has_private=True).permits(address, is_encrypted=False)


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    """A public address is reached by https, and without it only where the operator says so."""
    address = ip_address(text)
    assert Reach().permits(address, is_encrypted=True)
    assert not Reach().permits(address, is_encrypted=False)
    assert not LOCAL.permits(address, is_encrypted=False)
    assert Reach((ip_network(text),)).permits(address, is_encrypted=False)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "//example.org/", "ftp://example.org/", "file:///etc/passwd", "https:///x", "https://",
        "https://user@example.org/", "https://user:word@example.org/", "https://@example.org/", "https://example.org/#a",
        "https://example.org:0/", "https://example.org:22/", "https://example.org:1024/", "https://example.org:65536/",
        "https://example.org:x/", "https://exa mple.org/", "https://example.org/a b", "https://example.org/\r\nX: y",
        "https://example.org/\n", "https://example.org/\tx", "https://ex\u00e4mple.org/", "https://example.org/\u00e4",
        "https://example.org\\@127.0.0.1/", "https://-a.org/", "https://a..b/", "https://[::1", "https://[fe80::1%25eth0]/",
        "https://[example.org]/", "HTTPS://example.org/", "https://example.org/" + "a" * 2_000,
    ],
)  # fmt: skip
def test_what_is_no_target(url: str) -> None:
    """User names, fragments, low ports, other schemes and whatever could end a header's line are refused."""
    with pytest.raises(BadTargetError):
        parse(url)


def test_what_is_a_target() -> None:
    """A host, a port of one's own and a path with a query are kept to the letter."""
    target = parse("https://example.org:8443/a/b?c=%20d&e")
    assert (target.host, target.port, target.path) == ("example.org", 8443, "/a/b?c=%20d&e")
    assert target.authority == "example.org:8443"
    assert parse("https://example.org").authority == "example.org"
    assert parse("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"
    with pytest.raises(BadTargetError, match="https"):
        Reach().check_url("http://example.org/")
    assert LOCAL.check_url("http://example.org/").port == 80


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


Lookup = Callable[[str, int], list[str]]


@asynccontextmanager
async def outbound(reach: Reach, lookup: Lookup | None = None, **more: object) -> AsyncIterator[Outbound]:
    found = Outbound(reach, **({} if lookup is None else {"lookup": lookup}), **more)  # type: ignore[arg-type]
    try:
        yield found
    finally:
        found.close()


async def test_the_connection_goes_to_what_was_looked_at(receiver: Receiver) -> None:
    """A name is asked for once; a second answer, which would lead elsewhere, is never asked for."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    asked: list[str] = []

    def lookup(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[len(asked) - 1]

    async with outbound(LOCAL, lookup) as sender:
        found = await sender.post(f"http://hooks.test:{receiver.port}/a", [(b"x-a", b"b")], b"{}")
    assert (found.status, found.error, asked) == (204, None, ["hooks.test"])
    [came] = receiver.came
    assert came.headers["host"] == f"hooks.test:{receiver.port}"
    assert (came.headers["x-a"], came.headers["user-agent"], came.body) == ("b", "Rookery", b"{}")


async def test_only_an_allowed_address_of_a_name_is_connected_to(receiver: Receiver) -> None:
    """Of a name with several addresses those that are not allowed are passed over, and a dead one too."""
    async with outbound(LOCAL, lambda _host, _port: ["10.255.255.1", "127.0.0.9", "127.0.0.1"]) as sender:
        assert (await sender.post(f"http://hooks.test:{receiver.port}/", [], b"{}")).status == 204
    async with outbound(LOCAL, lambda _host, _port: ["10.255.255.1", "::1"]) as sender:
        assert (await sender.post(f"http://hooks.test:{receiver.port}/", [], b"{}")).error == REFUSED
    async with outbound(Reach(), lambda _host, _port: ["127.0.0.1"]) as sender:
        assert (await sender.post(f"https://hooks.test:{receiver.port}/", [], b"{}")).error == REFUSED
    assert len(receiver.came) == 1


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "[::ffff:127.0.0.1]"]
)
async def test_other_names_of_this_machine_are_known(receiver: Receiver, host: str) -> None:
    """However this machine is written, the address that it comes to decides."""
    async with outbound(Reach()) as sender:
        found = await sender.post(f"https://{host}:{receiver.port}/", [], b"{}")
    assert found.error in (REFUSED, "the name has no address")
    assert receiver.came == []


async def test_proxies_of_the_environment_are_not_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of proxies leads no request elsewhere."""
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with outbound(LOCAL) as sender:
            assert (await sender.post(receiver.url("a"), [], b"{}")).status == 204
        assert proxy.came == []


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    """A redirect is an answer like any other."""
    receiver.answer = lambda _path, _count: 307
    async with outbound(LOCAL) as sender:
        assert (await sender.post(receiver.url("a"), [], b"{}")).status == 307
    assert [one.path for one in receiver.came] == ["/a"]


async def test_a_silent_receiver_and_a_silent_name_server_are_not_waited_for(receiver: Receiver) -> None:
    """Everything together, the look-up too, takes no longer than the time for it."""
    receiver.answer = lambda _path, _count: HANG
    is_over = threading.Event()

    def lookup(host: str, port: int) -> list[str]:
        is_over.wait(2 * PATIENCE_SECONDS)
        return ["127.0.0.1"]

    for asked in (None, lookup):
        async with outbound(LOCAL, asked, timeout_seconds=0.2) as sender:
            found = await asyncio.wait_for(sender.post(receiver.url("a"), [], b"{}"), PATIENCE_SECONDS)
        assert (found.status, found.error) == (None, "no answer in time")
        assert not is_over.is_set()
    is_over.set()


@asynccontextmanager
async def answering(raw: bytes, trust: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer everything with the same bytes, without end if they are many; yields the port and what came first."""
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(65_536))
        with contextlib.suppress(ConnectionError):
            for _ in itertools.count() if len(raw) > 1_000 else range(1):
                writer.write(raw)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=trust)
    async with server:
        yield server.sockets[0].getsockname()[1], came


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"nonsense\r\n\r\n", "the answer is not HTTP"),
        (b"", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200, "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", None),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65_536, None),
    ],
)
async def test_answers_are_bounded(raw: bytes, error: str | None) -> None:
    """Endless headers and bodies end, and what is no HTTP is an error; a body that is cut is an answer all the same."""
    async with answering(raw) as (port, _), outbound(LOCAL) as sender:
        found = await sender.post(f"http://127.0.0.1:{port}/", [], b"{}")
    assert found.error == error
    assert found.status == (None if error else 200)
    assert found.seconds < 5


async def test_certificates_are_checked_for_the_name(tmp_path: Path) -> None:
    """A receiver shows a certificate for the name that was asked for, which it is told; else nothing is sent."""
    path = tmp_path / "receiver.pem"
    path.write_text(CERTIFICATE, encoding="utf-8")
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(path))
    served.load_cert_chain(path)
    named: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: named.append(name)
    ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    cases = [("hooks.test", trusted, None), ("other.test", trusted, "no secure connection"),
             ("hooks.test", None, "no secure connection")]  # fmt: skip
    async with answering(ok, served) as (port, came):
        for host, trust, error in cases:
            async with outbound(LOCAL, lambda _host, _port: ["127.0.0.1"], trust=trust) as sender:
                assert (await sender.post(f"https://{host}:{port}/", [], b"{}")).error == error
    assert named == ["hooks.test", "other.test", "hooks.test"]
    assert [one.startswith(b"POST / HTTP/1.1\r\n") for one in came if one] == [True]


async def test_nobody_there_is_an_error() -> None:
    """A closed port and a name without address are told apart."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    def lookup(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    async with outbound(LOCAL) as sender:
        assert (await sender.post(f"http://127.0.0.1:{port}/", [], b"{}")).error == "no connection"
    async with outbound(LOCAL, lookup) as sender:
        assert (await sender.post("https://hooks.test/", [], b"{}")).error == "the name has no address"
