"""A signed path allows exactly one thing until it expires."""

import dataclasses
from urllib.parse import parse_qsl

import pytest

from objects import signatures
from objects.errors import SignatureRefusedError
from objects.signatures import Grant
from objects.store import Content

SECRET = bytes(range(32))
NOW_MS = 1_800_000_000_000
GRANT = Grant("PUT", "rooms/7/cat.png", Content("image/png", 1_234, "ab" * 32), 'Katze "ä" & 猫.png', NOW_MS + 60_000)
QUERY = dict(parse_qsl(signatures.sign(GRANT, SECRET)))


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize("filename", ["", "cat.png", GRANT.filename])
def test_a_signed_path_gives_its_grant(method: str, filename: str) -> None:
    """What was signed is read back, until the millisecond in which it expires."""
    assert method in ("PUT", "GET")
    grant = dataclasses.replace(GRANT, method="PUT" if method == "PUT" else "GET", filename=filename)
    query = dict(parse_qsl(signatures.sign(grant, SECRET), keep_blank_values=True))
    for now_ms in (NOW_MS, grant.expires_at - 1):
        assert signatures.check(method, grant.key, query, secret=SECRET, now_ms=now_ms) == grant


@pytest.mark.security
def test_an_expired_path_says_so() -> None:
    """From its expiry on a path is refused as expired, and a forged one as not valid however old it is."""
    with pytest.raises(SignatureRefusedError, match="expired") as refusal:
        signatures.check("PUT", GRANT.key, QUERY, secret=SECRET, now_ms=GRANT.expires_at)
    assert refusal.value.is_expired
    with pytest.raises(SignatureRefusedError, match="not valid") as refusal:
        signatures.check("PUT", "rooms/7/dog.png", QUERY, secret=SECRET, now_ms=GRANT.expires_at)
    assert not refusal.value.is_expired


@pytest.mark.security
@pytest.mark.parametrize(
    "change",
    [
        {"type": "text/html"},
        {"type": "image"},
        {"size": "1235"},
        {"size": "01234"},
        {"size": "-1234"},
        {"size": "१२३४"},
        {"size": "9" * 5_000},
        {"size": ""},
        {"sha256": "ac" * 32},
        {"sha256": "AB" * 32},
        {"name": "cat.html"},
        {"expires": str(GRANT.expires_at + 1)},
        {"expires": f"+{GRANT.expires_at}"},
        {"expires": f" {GRANT.expires_at}"},
        {"expires": "1e15"},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "ä"},
        {"signature": "\ud800"},
        {"signature": QUERY["signature"].upper()},
    ],
)
def test_nothing_of_a_grant_can_be_altered(change: dict[str, str]) -> None:
    """Another type, size, hash, name, expiry or signature is refused, and so is any part that is missing."""
    assert signatures.check("PUT", GRANT.key, QUERY, secret=SECRET, now_ms=NOW_MS) == GRANT
    (name,) = change
    for query in ({**QUERY, **change}, {key: value for key, value in QUERY.items() if key != name}):
        with pytest.raises(SignatureRefusedError) as refusal:
            signatures.check("PUT", GRANT.key, query, secret=SECRET, now_ms=NOW_MS)
        assert not refusal.value.is_expired


@pytest.mark.security
@pytest.mark.parametrize(
    ("method", "key", "secret"),
    [
        ("GET", GRANT.key, SECRET),
        ("put", GRANT.key, SECRET),
        ("DELETE", GRANT.key, SECRET),
        ("PUT", "rooms/7/cat.pn", SECRET),
        ("PUT", "", SECRET),
        ("PUT", GRANT.key, bytes(32)),
    ],
)
def test_a_path_is_for_one_method_key_and_server(method: str, key: str, secret: bytes) -> None:
    """A signature is of no use with another method, another key or another server's secret."""
    with pytest.raises(SignatureRefusedError):
        signatures.check(method, key, QUERY, secret=secret, now_ms=NOW_MS)


@pytest.mark.security
def test_parts_cannot_be_shifted_into_each_other() -> None:
    """Grants whose parts would be alike when written one after the other have different signatures."""
    shifted = dataclasses.replace(GRANT, filename=GRANT.filename + "1", expires_at=int(str(GRANT.expires_at)[1:]))
    quoted = dataclasses.replace(GRANT, filename='a","b')
    found = {dict(parse_qsl(signatures.sign(grant, SECRET)))["signature"] for grant in (GRANT, shifted, quoted)}
    assert len(found) == 3
