"""The examples of docs/operations.md for nginx and Caddy, run by the real programs before a real server."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.router.clients import Client
from tests.router.contract import Contract
from tests.router.serving import PROJECT, Place, Running, serving, until
from tests.router.uploads import PNG, announced
from tests.router.wires import Speaker

pytestmark = pytest.mark.security

NAME = "chat.example.org"
ORIGIN = f"https://{NAME}"
CLIENT_ADDRESS = "127.0.0.2"
FILE = PNG + bytes(20_000_000)
_PAGE = (PROJECT / "docs" / "operations.md").read_text()
_SECTION = _PAGE[_PAGE.index("## Behind a reverse proxy") :]


def example(language: str) -> str:
    """Return the first block of a language in the section about proxies."""
    found = re.search(rf"```{language}\n(.*?)```", _SECTION, re.DOTALL)
    assert found is not None, f"the page has no example in {language}"
    return found[1]


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Return an example with the names and ports of a test; each must be there."""
    for old, new in changes:
        assert old in text, f"the example lacks {old}"
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True)
class Proxied:
    """A server behind a proxy."""

    port: int
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"{ORIGIN}:{self.port}"

    def speaker(self, **options: Any) -> Speaker:
        """Open a WebSocket through the proxy."""
        connection = socket.create_connection(("127.0.0.1", self.port), source_address=(CLIENT_ADDRESS, 0))
        return Speaker(self, sock=connection, ssl=self.trust, **options)


def nginx(folder: Path, upstream: int, port: int) -> list[str]:
    """Write a whole configuration around the example, and return the command that runs it."""
    inner = replaced(
        example("nginx"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8787", f"127.0.0.1:{upstream}"),
        (f"/etc/ssl/{NAME}", f"{folder}/{NAME}"),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    outer = f"{user} daemon off; pid {folder}/pid; worker_processes 1; events {{}}"
    (folder / "nginx.conf").write_text(f"{outer} http {{ access_log off; {folders}\n{inner} }}")
    return ["nginx", "-e", f"{folder}/log", "-c", f"{folder}/nginx.conf"]


def caddy(folder: Path, upstream: int, port: int) -> list[str]:
    """Write the example with a certificate of the test's, and return the command that runs it."""
    inner = replaced(
        example("caddyfile"),
        (f"{NAME} {{", f"{ORIGIN}:{port} {{\n    tls {folder}/{NAME}.pem {folder}/{NAME}.key"),
        ("127.0.0.1:8787", f"127.0.0.1:{upstream}"),
    )
    outer = f"{{\n    admin off\n    auto_https off\n    storage file_system {folder}/caddy\n}}\n"
    (folder / "Caddyfile").write_text(outer + inner)
    return ["caddy", "run", "--adapter", "caddyfile", "--config", f"{folder}/Caddyfile"]


PROXIES: dict[str, Callable[[Path, int, int], list[str]]] = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the settings of the page."""
    lines = [line.split(" = ") for line in example("toml").splitlines() if " = " in line]
    with serving(Place(tmp_path_factory.mktemp("proxied"), server=dict(lines))) as running:
        yield running


@pytest.fixture(scope="module", params=PROXIES)
def proxied(
    request: pytest.FixtureRequest, server: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """Run each proxy in turn; where it is not installed, skip aloud, or fail where CI promises it."""
    if missing := [program for program in (request.param, "openssl") if shutil.which(program) is None]:
        reason = f"THE PROXY {request.param} IS NOT TESTED HERE: apt-get install {' '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp(request.param)
    names = f"subjectAltName=DNS:{NAME},IP:127.0.0.1"
    pem, key = folder / f"{NAME}.pem", folder / f"{NAME}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={NAME}", "-addext", names, "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = PROXIES[request.param](folder, server.port, port)
    with (folder / "output").open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            until(lambda: process.poll() is not None or is_listening(port))
            assert process.poll() is None, (folder / "output").read_text()
            yield Proxied(port, ssl.create_default_context(cafile=pem))
        finally:
            process.terminate()


def is_listening(port: int) -> bool:
    """Return whether somebody accepts connections at a port."""
    with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


@pytest.fixture
def nobody(proxied: Proxied) -> Iterator[Client]:
    """A client that reaches the proxy from another address than the proxy's own, and claims a third."""
    with httpx.Client(
        base_url=f"https://127.0.0.1:{proxied.port}",
        transport=httpx.HTTPTransport(verify=proxied.trust, local_address=CLIENT_ADDRESS),
        headers={"host": NAME, "x-forwarded-for": "6.6.6.6"},
        timeout=60,
    ) as http:
        yield Client(http, Contract(http.get("/openapi.json").raise_for_status().json()))


def test_requests_come_through(nobody: Client) -> None:
    """The server sees the client's own address, whatever that claims, and metrics are not for everybody."""
    guest = nobody.guest()
    assert guest.get("/v1/users/me/sessions")["sessions"][0]["ip"] == CLIENT_ADDRESS
    assert nobody.http.get("/metrics").status_code == 403
    assert nobody.ask("GET", "/healthz").status_code == 200


def test_files_come_through(nobody: Client) -> None:
    """A file of 20 MB is uploaded and read again through the proxy, and a large JSON body is 413."""
    owner = nobody.guest()
    room = owner.found()
    asked = owner.post(f"{room.general}/attachments", announced(FILE))
    sending, attachment = asked["upload"], asked["attachment"]
    sent = nobody.http.put(sending["url"].removeprefix(ORIGIN), content=FILE, headers=sending["headers"])
    assert sent.status_code == 204, sent.text
    owner.post(f"{room.general}/attachments/{attachment['id']}/complete")
    message = owner.post(f"{room.general}/messages", {"attachment_ids": [attachment["id"]]})
    link = message["attachments"][0]["url"].removeprefix(ORIGIN)
    answer = nobody.http.get(link, headers={"authorization": f"Bearer {owner.token}"}, follow_redirects=False)
    if answer.is_redirect:
        answer = nobody.http.get(answer.headers["location"].removeprefix(ORIGIN))
    assert answer.content == FILE
    large = b'{"content": "' + b"x" * 100_000 + b'"}'
    headers = {"authorization": f"Bearer {owner.token}", "content-type": "application/json"}
    assert nobody.http.post(f"{room.general}/messages", content=large, headers=headers).status_code == 413


def test_websockets_come_through(proxied: Proxied, nobody: Client) -> None:
    """A page of the public address connects to the gateway and receives events; one of another address is 403."""
    owner = nobody.guest()
    room = owner.found()
    speaker = proxied.speaker(origin=ORIGIN).identify(owner.token)
    said = owner.say(room, "through the proxy")
    told = speaker.until_event(lambda event: event["type"] == "message.created")
    assert told["d"]["content"] == said["content"]
    speaker.close()
    with pytest.raises(InvalidStatus) as refused:
        proxied.speaker(origin="https://elsewhere.example")
    assert refused.value.response.status_code == 403
