"""`rookery user`: accounts made and managed at the command line."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from directory import accounts, audit, credentials, placeholders, users
from directory.errors import AccountSuspendedError, BadCredentialsError
from rookery import composition
from rookery.composition import now_ms
from tests.rookery.histories import settings
from tests.rookery.terminal import Ended, environment, invoke, run

PASSWORD = "correct horse battery"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder with the account alice, an administrator."""
    folder = tmp_path / "data"
    made = invoke("--data", folder, "user", "create", "alice", "--admin", "--password-stdin", stdin=PASSWORD + "\n")
    assert made.code == 0, made.err
    return folder


def user(data: Path, *words: object, stdin: str = "") -> Ended:
    return invoke("--data", data, "user", *words, "--json", stdin=stdin)


async def can_log_in(data: Path, name: str, password: str) -> bool:
    async with composition.open_directory(settings(data)) as directory:
        try:
            await accounts.log_in(directory, name=name, password=password, now_ms=now_ms())
        except (BadCredentialsError, AccountSuspendedError):
            return False
        return True


async def test_a_new_account_logs_in_with_its_password(data: Path, tmp_path: Path) -> None:
    """Passwords come from standard input or the first line of a file, and are right to the last character."""
    file = tmp_path / "password"
    file.write_bytes(b"from the file \xc3\xa9\r\nsecond line\n")
    made = user(data, "create", "bob", "--email", "bob@example.org", "--password-file", file)
    assert (made.code, made.json["email"], made.json["is_admin"]) == (0, "bob@example.org", False)
    assert await can_log_in(data, "alice", PASSWORD)
    assert await can_log_in(data, "bob", "from the file é")
    assert not await can_log_in(data, "bob", "from the file é\r")


def test_a_password_is_never_taken_from_nowhere(data: Path) -> None:
    """Without a terminal one of the two options must be given, and not both."""
    assert user(data, "create", "bob").code == 2
    assert user(data, "create", "bob", "--password-stdin", "--password-file", "x").code == 2
    assert user(data, "create", "bob", "--password-stdin", stdin="short\n").code == 1
    assert user(data, "create", "ALICE", "--password-stdin", stdin=PASSWORD).code == 1
    for name in ("42", "guest_1", "hook_1", "Deleted_1", "imported_alice", "here"):
        assert user(data, "create", name, "--password-stdin", stdin=PASSWORD).code == 1
    assert [each["username"] for each in user(data, "list").json] == ["alice"]


async def test_a_password_is_asked_for_on_the_terminal(tmp_path: Path) -> None:
    """On a terminal the password is asked for twice and not shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rookery", "--data", "data", "user", "create", "carol"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown, answered, end = b"", 0, time.monotonic() + 30
        while time.monotonic() < end:
            if not select.select([ours], [], [], 0.2)[0]:
                if process.poll() is not None:
                    break
                continue
            try:
                shown += os.read(ours, 4_096)
            except OSError:  # the other side is gone
                break
            if shown.lower().count(b"password:") + shown.lower().count(b"confirmation:") > answered:
                answered += 1
                time.sleep(0.1)  # until it listens without echo
                os.write(ours, PASSWORD.encode() + b"\n")
        process.kill()
    os.close(ours)
    assert process.returncode == 0, shown
    assert answered == 2
    assert PASSWORD.encode() not in shown
    assert await can_log_in(tmp_path / "data", "carol", PASSWORD)


async def test_a_new_password_replaces_the_old_one(data: Path) -> None:
    """After `password` only the new one logs in; nobody's name is an error."""
    changed = user(data, "password", "Alice", "--password-stdin", stdin="another horse entirely\n")
    assert changed.code == 0
    assert await can_log_in(data, "alice", "another horse entirely")
    assert not await can_log_in(data, "alice", PASSWORD)
    assert user(data, "password", "nobody", "--password-stdin", stdin=PASSWORD).code == 1


def test_capabilities_are_given_and_taken(data: Path) -> None:
    """promote and demote change what an account may do, say whether they did, and spare the last administrator."""
    assert user(data, "create", "bob", "--password-stdin", stdin=PASSWORD).code == 0
    assert user(data, "demote", "alice").code == 1
    assert user(data, "promote", "bob").json["changed"] is True
    assert user(data, "promote", "bob").json["changed"] is False
    assert user(data, "promote", "bob", "--capability", "moderator").json["changed"] is True
    assert user(data, "show", "bob").json["capabilities"] == ["admin", "moderator"]
    assert user(data, "demote", "alice").json["changed"] is True
    assert user(data, "show", "alice").json["capabilities"] == []
    assert user(data, "promote", "nobody").code == 1


async def test_a_suspended_account_is_closed_until_it_is_reinstated(data: Path) -> None:
    """suspend ends sessions and keeps people out, but not the last administrator, and reinstate lets them in again."""
    assert "last administrator" in user(data, "suspend", "alice", "--reason", "spam").json["error"]
    assert user(data, "create", "carol", "--admin", "--password-stdin", stdin=PASSWORD + "\n").code == 0
    assert await can_log_in(data, "alice", PASSWORD)
    assert user(data, "show", "alice").json["sessions"] == 1
    assert user(data, "suspend", "alice", "--reason", "spam").json["status"] == "suspended"
    assert not await can_log_in(data, "alice", PASSWORD)
    assert user(data, "show", "alice").json["sessions"] == 0
    assert user(data, "reinstate", "alice").json["status"] == "active"
    assert await can_log_in(data, "alice", PASSWORD)
    async with composition.open_directory(settings(data)) as directory, directory.database.read() as reader:
        assert await audit.verify(reader) is None
        acts = [entry.action for entry in await audit.list_page(reader)]
    assert {"user.suspended", "user.reinstated", "capability.granted"} <= set(acts)


async def test_lists_go_on_where_they_end(data: Path) -> None:
    """A list has at most `limit` accounts and continues after an id, placeholders included."""
    async with composition.open_directory(settings(data)) as directory, directory.database.write() as writer:
        names = [f"user{number:03}" for number in range(450)]
        await placeholders.create(writer, names, now_ms=now_ms())
    everyone = [each["username"] for each in user(data, "list").json]
    assert [each["display_name"] for each in user(data, "list").json] == [None, *names]
    page = user(data, "list", "--limit", 300).json
    rest = user(data, "list", "--after", page[-1]["id"]).json
    assert [each["username"] for each in page + rest] == everyone
    assert user(data, "show", everyone[7]).json["has_password"] is False


async def test_no_password_and_no_hash_is_ever_printed(data: Path) -> None:
    """Neither the password nor what is kept of it appears in any output."""
    async with composition.open_directory(settings(data)) as directory, directory.database.read() as reader:
        alice = await users.find_by_username(reader, "alice")
        kept = await credentials.find(reader, alice.id)
    assert kept is not None
    outputs = [invoke("--data", data, "user", *words) for words in (("list",), ("show", "alice"))]
    outputs += [user(data, "list"), user(data, "show", "alice")]
    outputs.append(
        run("--data", data, "user", "create", "alice", "--password-stdin", stdin=PASSWORD.encode(), cwd=data)
    )
    for output in outputs:
        assert PASSWORD not in output.out + output.err
        assert "argon2" not in output.out + output.err
    assert outputs[-1].code == 1
