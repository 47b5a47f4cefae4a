"""`rookery serve`: says where everything is, serves, ends gracefully, and explains why it cannot."""

import json
import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest
import typer

import sqlite
from rookery.outputs import speaking
from tests.rookery.terminal import READY_SECONDS_MAX, run, serving, start


def test_a_server_tells_where_it_is_and_serves_there(tmp_path: Path) -> None:
    """The printed address answers with the API documentation, the data is where it says, and SIGTERM ends it well."""
    with serving(tmp_path / "data", cwd=tmp_path) as server:
        assert server.told == {
            "url": server.url,
            "docs": f"{server.url}/docs",
            "data": str(tmp_path / "data"),
            "has_admin": False,
            "is_drill": False,
        }
        assert httpx.get(server.told["docs"]).status_code == 200
        assert httpx.get(f"{server.url}/readyz").status_code == 200
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "data" / "directory.db").stat().st_mode & 0o777 == 0o600


def test_people_are_told_in_a_few_lines(tmp_path: Path) -> None:
    """A start shows address, data, documentation and how to make the first administrator, until there is one."""
    shown = started_lines(tmp_path)
    assert len(shown.splitlines()) == 4
    assert "user create NAME --admin" in shown
    assert "/docs" in shown
    assert str(tmp_path / "data") in shown
    words = ("--data", "data", "user", "create", "alice", "--admin", "--password-stdin")
    assert run(*words, cwd=tmp_path, stdin=b"correct horse\n").code == 0
    assert "NAME" not in started_lines(tmp_path)


def started_lines(folder: Path) -> str:
    """Start a server, end it with Ctrl+C, and return what it printed."""
    with start("--data", "data", "serve", "--port", 0, cwd=folder) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=READY_SECONDS_MAX)
    assert (process.returncode, errors) == (0, b"")
    return (first + rest).decode()


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    """Where another program listens the server does not start and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = run("--data", "data", "serve", "--port", taken.getsockname()[1], "--json", cwd=tmp_path)
    assert refused.code == 1
    assert "another program listens there" in refused.json["error"]
    assert "Traceback" not in refused.err


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    """A second server on the same data is refused while the first one runs, and not after it was killed: neither
    under another path, nor when the file of the lock was removed."""
    (tmp_path / "link").symlink_to("data")
    with start("--data", "data", "serve", "--port", 0, "--json", cwd=tmp_path) as first:
        assert first.stdout is not None
        first.stdout.readline()
        refused = run("--data", "data", "serve", "--port", 0, "--json", cwd=tmp_path)
        assert (refused.code, "Another server runs on" in refused.json["error"]) == (1, True)
        (tmp_path / "data" / "server.lock").unlink()
        refused = run("--data", "link", "serve", "--port", 0, "--json", cwd=tmp_path)
        assert (refused.code, "Another server runs on" in refused.json["error"]) == (1, True)
        first.kill()
    with serving(tmp_path / "data", cwd=tmp_path):
        pass


def test_data_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    """A data folder that is a file, and a directory that is no database, end the start with a sentence."""
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "directory.db").write_bytes(b"no database " * 1_000)
    for folder, words in (("file", "file: "), ("data", "directory.db is not a directory of this program")):
        refused = run("--data", folder, "serve", "--port", 0, cwd=tmp_path)
        assert (refused.code, refused.out) == (1, "")
        assert words in refused.err
        assert "Traceback" not in refused.err


def test_a_start_that_fails_later_ends_with_its_reason(tmp_path: Path) -> None:
    """What goes wrong after the directory was looked at is the last line, not only somewhere in the log."""
    with serving(tmp_path / "data", cwd=tmp_path):
        pass
    with closing(sqlite.connect(tmp_path / "data" / "directory.db")) as directory:
        directory.execute("CREATE TRIGGER stop BEFORE UPDATE ON nodes BEGIN SELECT raise(ABORT, 'no node today'); END")
        directory.execute("CREATE TRIGGER halt BEFORE INSERT ON nodes BEGIN SELECT raise(ABORT, 'no node today'); END")
    refused = run("--data", "data", "serve", "--port", 0, cwd=tmp_path)
    last = refused.err.splitlines()[-1]
    assert (refused.code, "no node today" in last, "Traceback" in refused.err) == (1, True, False)


def test_a_read_only_database_is_named_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite's error for it says nothing of a disk, a folder or an owner; what people are told does, and what to do."""
    with pytest.raises(typer.Exit), speaking(as_json=True):
        raise apsw.ReadOnlyError("attempt to write a readonly database")
    told = json.loads(capsys.readouterr().out)["error"]
    assert "read-only for this user" in told
    assert "rookery doctor" in told


def test_every_log_line_is_json_and_keeps_secrets(tmp_path: Path) -> None:
    """At the debug level each answer has a line with its request id, and no token, code, word or password is in any."""
    with start(
        "--data", "data", "serve", "--port", 0, "--json", cwd=tmp_path, ROOKERY_SERVER_LOG_LEVEL="debug"
    ) as process:
        assert process.stdout is not None
        with httpx.Client(base_url=json.loads(process.stdout.readline())["url"]) as client:
            account = {"username": "alice", "password": "correct horse"}
            token = client.post("/v1/auth/register", json=account).json()["token"]
            client.headers["Authorization"] = f"Bearer {token}"
            made = client.post("/v1/rooms", json={"name": "lean", "display_name": "Lean"}).json()
            room = f"/v1/rooms/{made['room']['id']}"
            messages = f"{room}/channels/{made['channels'][0]['id']}/messages"
            sent = client.post(messages, json={"content": "whispered"})
            client.get(f"{room}/search", params={"q": "whispered"})
            client.get("/v1/invites/ABCDEFGHIJKLMNOP")
            client.get(f"/{token}")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=READY_SECONDS_MAX)
    lines = [json.loads(line) for line in errors.decode().splitlines()]
    answers = {line["request_id"]: line for line in lines if line["message"] == "answered"}
    assert answers[sent.headers["X-Request-Id"]]["status"] == 201
    assert answers[sent.headers["X-Request-Id"]]["path"] == messages
    assert len(answers) == 6
    for secret in (token, "correct horse", "whispered", "ABCDEFGHIJKLMNOP"):
        assert secret not in errors.decode()


def test_settings_left_behind_are_warned_of(tmp_path: Path) -> None:
    """What an environment does not inherit is a warning in the log at the start."""
    (tmp_path / "rookery.toml").write_text('[vars]\nsupport = "x"\n[env.staging.server]\nport = 0\n')
    with start("--env", "staging", "--data", "data", "serve", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=READY_SECONDS_MAX)
    assert process.returncode == 0
    assert any(json.loads(line)["level"] == "warning" for line in errors.decode().splitlines())
