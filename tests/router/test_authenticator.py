"""Who is behind a request, over a real directory."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from directory import accounts
from directory.directory import Directory
from router import auth
from router.asgi import Asked
from router.auth import Authenticator
from router.errors import MalformedError, NotAllowedError

NOW_MS = 1_750_000_000_000
SESSION_MS = 60_000
OWN = "https://chat.example"


@pytest.fixture
async def directory(tmp_path: Path) -> AsyncIterator[Directory]:
    opened = await Directory.open(
        tmp_path / "directory.db", now_ms=NOW_MS, session_ms=SESSION_MS, hash_threads=1, hash_queue_max=1,
        session_cache_max=10, hash_memory_kib=8, hash_time_cost=1,
    )  # fmt: skip
    yield opened
    await opened.close()


@pytest.fixture
async def token(directory: Directory) -> str:
    """The token of a guest."""
    return (await accounts.start_anonymous(directory, now_ms=NOW_MS)).token


async def is_known(directory: Directory, asked: Asked, *, method: str = "GET", now_ms: int = NOW_MS) -> bool:
    return await Authenticator(directory.sessions, [OWN]).identify(asked, method, now_ms) is not None


def bearer(token: str, scheme: str = "Bearer") -> Asked:
    return Asked(authorization=f"{scheme} {token}".encode("latin-1"))


async def test_a_token_is_known_while_its_session_lives(directory: Directory, token: str) -> None:
    """A token speaks for its session until its time has passed, looked up or remembered."""
    for _ in range(2):
        assert await is_known(directory, bearer(token))
        assert await is_known(directory, bearer(token, "bEARER"))
        assert await is_known(directory, bearer(token), now_ms=NOW_MS + SESSION_MS - 1)
    assert not await is_known(directory, bearer(token), now_ms=NOW_MS + SESSION_MS)


async def test_an_ended_session_is_forgotten_at_once(directory: Directory, token: str) -> None:
    """Once a session has ended its token is nobody's, though it was remembered a moment ago."""
    viewer = await Authenticator(directory.sessions, [OWN]).identify(bearer(token), "GET", NOW_MS)
    assert viewer is not None
    await accounts.log_out(directory.database, viewer.token_hash)
    assert not await is_known(directory, bearer(token))


@pytest.mark.parametrize("wrong", ["", "x", "{token}x", "x{token}", "{token} {token}", "{token},", "é", "a" * 129])
async def test_nothing_like_a_token_is_known(directory: Directory, token: str, wrong: str) -> None:
    """A token with anything added or missing is nobody's."""
    assert not await is_known(directory, bearer(wrong.format(token=token)))
    assert await is_known(directory, bearer(token))


@pytest.mark.parametrize("header", [b"Basic YTpi", b"Bearer", b"Bearertoken", b"\xff"])
async def test_another_scheme_is_malformed(directory: Directory, header: bytes) -> None:
    """What is not a bearer token is called so, rather than nobody."""
    with pytest.raises(MalformedError):
        await is_known(directory, Asked(authorization=header))


@pytest.mark.parametrize(
    ("method", "origin", "is_let_in"),
    [
        ("GET", "", True),
        ("HEAD", "", True),
        ("GET", OWN, True),
        ("POST", OWN, True),
        ("POST", "", False),
        ("DELETE", "", False),
        ("GET", "null", False),
        ("POST", "null", False),
        ("POST", "https://evil.example", False),
        ("POST", OWN.upper(), False),
        ("POST", OWN + "/", False),
    ],
)
async def test_a_cookie_needs_its_origin(
    directory: Directory, token: str, method: str, origin: str, *, is_let_in: bool
) -> None:
    """A cookie counts from a known origin, and for reading without one; from anywhere else it is refused."""
    cookie = auth.set_cookie(token, 60)[1].split(b";")[0]
    asked = Asked(cookie=b"other=1; " + cookie, origin=origin.encode())
    if is_let_in:
        assert await is_known(directory, asked, method=method)
        return
    with pytest.raises(NotAllowedError):
        await is_known(directory, asked, method=method)


async def test_a_bearer_token_goes_before_a_cookie(directory: Directory, token: str) -> None:
    """With both, the header counts: a script put it there, which no foreign page can."""
    cookie = auth.set_cookie(token, 60)[1]
    asked = Asked(authorization=b"Bearer nobody", cookie=cookie, origin=b"https://evil.example")
    assert not await is_known(directory, asked)


def test_the_cookie_is_as_strict_as_cookies_are() -> None:
    """The cookie is for HTTPS, this host and no script, and is taken back with the same attributes."""
    name, value = auth.set_cookie("token", 60)
    assert name == b"set-cookie"
    assert value == b"__Host-rookery=token; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"
    assert auth.clear_cookie()[1] == value.replace(b"=token", b"=").replace(b"=60", b"=0")
