"""Authentication of requests: by a bearer token, or for browsers by a cookie that is accepted only from known origins.

Bots have bearer tokens of their own kind, and no cookies.
"""

from collections.abc import Collection

from directory import bot_tokens
from directory.caches import SessionCache
from directory.sessions import Viewer, hash_token
from router.asgi import Asked
from router.errors import MalformedError, NotAllowedError

COOKIE = "__Host-rookery"
"""Name of the cookie; its prefix makes browsers insist on HTTPS, this host and the root path (RFC 6265bis, section
4.1.3.2)."""
TOKEN_LENGTH_MAX = 128
"""Characters of a token. Beyond it 401: no token of ours is longer."""
_SAFE_METHODS = frozenset({"GET", "HEAD"})
_SCHEME = b"bearer "


class Authenticator:
    """Lookup of the session, or the bot, of a request."""

    def __init__(self, sessions: SessionCache, origins: Collection[str]) -> None:
        self._sessions = sessions
        self._origins = frozenset(origin.encode() for origin in origins)

    async def identify(self, asked: Asked, method: str, now_ms: int) -> Viewer | None:
        """Return the caller, or None without a live session.

        Raises NotAllowedError for a cookie from an origin that is not on the list: a foreign page made the browser send
        the request (a cross-site request), so no user intended it.
        """
        token, of_bot = _bearer(asked.authorization), False
        if token is not None:
            of_bot = bot_tokens.is_one(token)
        elif asked.cookie:
            token = _from_cookie(asked.cookie)
            if token is not None and not self._is_own(asked, method):
                raise NotAllowedError("This origin is not on the list of the server's allowed_origins.")
        if token is None or len(token) > TOKEN_LENGTH_MAX:
            return None
        hashed, sessions = hash_token(token), self._sessions
        viewer = sessions.peek(hashed, now_ms=now_ms) or await sessions.load(hashed, of_bot=of_bot, now_ms=now_ms)
        return viewer if viewer is None or viewer.is_bot is of_bot else None

    def _is_own(self, asked: Asked, method: str) -> bool:
        """Tell whether a cookie may be used: browsers send Origin with every unsafe request; without one only reading
        is safe."""
        return asked.origin in self._origins if asked.origin else method in _SAFE_METHODS


def _bearer(header: bytes) -> str | None:
    if not header:
        return None
    if header[:7].lower() != _SCHEME:
        raise MalformedError("The Authorization header must be: Bearer TOKEN.")
    return header[7:].strip().decode("latin-1")


def _from_cookie(header: bytes) -> str | None:
    # SimpleCookie stops at the first cookie that it cannot parse, and this host's other cookies may be malformed.
    for cookie in header.decode("latin-1").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE:
            return value
    return None


def set_cookie(token: str, age_seconds: int) -> tuple[bytes, bytes]:
    """Return the header that stores a token in the browser, out of reach of scripts."""
    value = f"{COOKIE}={token}; Path=/; Max-Age={age_seconds}; Secure; HttpOnly; SameSite=Lax"
    return b"set-cookie", value.encode()


def clear_cookie() -> tuple[bytes, bytes]:
    """Return the header that deletes the token in the browser."""
    return set_cookie("", 0)
