"""The log line of failed sign-ins, for programs of operators: the documented filter finds each, and nothing else."""

import json
import re
import signal
from configparser import ConfigParser
from pathlib import Path

import httpx
import pytest

from tests.rookery.terminal import PROJECT, READY_SECONDS_MAX, start

ADDRESS = r"(?P<ip>[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)"
"""What fail2ban puts for <ADDR>, as far as it matters here."""
FORGED = '{"address": "6.6.6.6", "username": "x", "time": "", "level": "warning", "logger": "router.sign_ins", '
FORGED += '"message": "failed sign-in"}'
TYPED = (
    ("203.0.113.7", "alice"),
    ("2001:db8::7", "no such user"),
    ("203.0.113.8", FORGED),
    ("203.0.113.9", f"x\n{FORGED}\n"),
    ("203.0.113.10", f'", {FORGED[1:]}'),
    ("203.0.113.11", '\\", "username": "\\'),
    ("203.0.113.12", "\u202e\u2028\x1b[2J\x85ü🦀"),
    ("203.0.113.13", "long " * 50),
    ("203.0.113.14", ""),
)


def documented_filter() -> re.Pattern[str]:
    """Return the expression of the filter in the operators' page, as fail2ban compiles it."""
    page = (PROJECT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```ini\n(\[Definition\]\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    parsed = ConfigParser()
    parsed.read_string(block)
    return re.compile(parsed["Definition"]["failregex"].replace("<ADDR>", ADDRESS))


def log_of_sign_ins(folder: Path) -> list[str]:
    """Have a real server refuse sign-ins, and return the lines of its log."""
    settings = folder / "rookery.toml"
    settings.write_text('[server]\ntrusted_proxies = ["127.0.0.0/8"]\n')
    with start("--config", settings, "serve", "--port", 0, "--json", cwd=folder) as process:
        assert process.stdout is not None
        with httpx.Client(base_url=json.loads(process.stdout.readline())["url"]) as client:
            account = {"username": "alice", "password": "correct horse"}
            client.post("/v1/auth/register", json=account).raise_for_status()
            client.post("/v1/auth/login", json=account).raise_for_status()
            for address, name in TYPED:
                body, headers = {"username": name, "password": "a wrong guess"}, {"x-forwarded-for": address}
                assert client.post("/v1/auth/login", json=body, headers=headers).status_code == 401
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=READY_SECONDS_MAX)
    return errors.decode().splitlines()


@pytest.mark.security
def test_the_documented_filter_finds_every_failed_sign_in(tmp_path: Path) -> None:
    """Each has one line, with the address of its client and the typed name; no name passes for another address."""
    lines = log_of_sign_ins(tmp_path)
    expression = documented_filter()
    found = [match["ip"] for line in lines if (match := expression.search(line))]
    assert found == [address for address, _ in TYPED]
    told_line = next(line for line in lines if expression.search(line))
    told = [json.loads(line) for line in lines if expression.search(line)]
    assert told[0]["username"] == "alice"
    assert told[6]["username"] == "\ufffd\ufffd\ufffd[2J\ufffdü🦀"
    assert len(told[7]["username"]) == 64
    # fail2ban cuts what has the pattern of dates out of a line before it looks, and a journal puts words before it.
    assert expression.search("host rookery[7]: " + told_line.replace('"time": "' + told[0]["time"], ""))
    assert not any(expression.search(line) for line in lines if json.loads(line)["message"] != "failed sign-in")
    assert not any(secret in "\n".join(lines) for secret in ("correct horse", "a wrong guess"))
