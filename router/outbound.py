"""Outbound requests to URLs that users name: sent to the address that was checked, and only where permitted.

A name is resolved once, by the server, and the connection goes to an address of that result, so no second answer of a
name server can redirect it (DNS rebinding). No redirect is followed, no proxy of the environment is used, and
certificates are verified for the name. The library is httpcore because it takes the way to connect as an argument;
httpx, which is built on it, does not.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore

TIMEOUT_SECONDS: Final = 10.0
"""For all of a request: looking up the name, connecting, sending, and the answer. Beyond it the delivery failed."""
ANSWER_BYTES_MAX: Final = 65_536
"""Bytes of a response's body that are read, out of politeness, and dropped; beyond them the connection is closed."""
LOOKUPS_MAX: Final = 8
"""Names resolved at once, on threads of their own: a name server may delay its answer indefinitely."""
ADDRESSES_MAX: Final = 3
"""Addresses of a name that are tried."""
URL_LENGTH_MAX: Final = 2_000
"""Characters of a receiver's URL. Beyond it 422."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Sequence[str]]

_URL: Final = re.compile(r"https?://[!-~]+")
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
# IANA allocates public IPv6 addresses from this block
# (https://www.iana.org/assignments/ipv6-address-space); mapped, translated (64:ff9b::/96) or local ones are outside.
_PUBLIC_V6: Final = ip_network("2000::/3")
# Tunnels into IPv4 and documentation blocks, which older tables of Python's call public.
_NEVER: Final = tuple(map(ip_network, ("2001::/23", "2002::/16", "3fff::/20", "192.0.0.0/24", "192.88.99.0/24")))
_PORTS: Final = (80, 443)


class BadTargetError(ValueError):
    """Error of a URL that is not permitted; the message says what is expected."""


class RefusedAddressError(Exception):
    """Error of a name none of whose addresses is permitted."""


@dataclass(frozen=True, slots=True)
class Target:
    """URL in its parts, parsed once for the check and for the request."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a request: the response's status, or the error that prevented one."""

    status: int | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Reach:
    """Permitted targets: the public internet by https, `networks`, and with `has_private` every address."""

    networks: tuple[Network, ...] = ()
    has_private: bool = False

    def check_url(self, url: str) -> Target:
        """Return the target of a permitted URL, as far as it can be checked without its address; raises
        BadTargetError."""
        target = parse(url)
        if target.scheme == "http" and not self.networks and not self.has_private:
            raise BadTargetError("an https URL")
        return target

    def permits(self, address: Address, *, is_encrypted: bool) -> bool:
        """Tell whether a request may go to an address."""
        if self.has_private or any(address in network for network in self.networks):
            return True
        return is_encrypted and is_public(address)


def parse(url: str) -> Target:
    """Parse a URL; raises BadTargetError unless it is http or https with only a host and a path."""
    wrong = BadTargetError(
        "an http or https URL of a host, without user name and fragment, such as https://example.org/x"
    )
    if len(url) > URL_LENGTH_MAX or _URL.fullmatch(url) is None or "\\" in url:
        raise wrong
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    if "@" in parts.netloc or "#" in url or not (_HOST.fullmatch(host) or _is_v6(host)):
        raise wrong
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if port not in _PORTS and port <= 1024:
        raise BadTargetError("port 80, 443 or one above 1024")
    return Target(parts.scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _is_v6(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return isinstance(ip_address(host), IPv6Address) and "%" not in host
    return False


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet and to a single host."""
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NEVER)


def _resolve(host: str, port: int) -> list[str]:
    """Resolve the addresses of a name with the system's resolver; raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Network backend that connects only to a checked address."""

    def __init__(self, reach: Reach, resolve: Callable[[str, int], Any], *, is_encrypted: bool) -> None:
        self._reach = reach
        self._resolve = resolve
        self._is_encrypted = is_encrypted
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = [ip_address(text) for text in await self._resolve(host, port)]
        allowed = [one for one in found if self._reach.permits(one, is_encrypted=self._is_encrypted)]
        if not allowed:
            raise RefusedAddressError
        *others, last = allowed[:ADDRESSES_MAX]
        for address in others:
            with contextlib.suppress(httpcore.ConnectError):
                return await self._network.connect_tcp(str(address), port, timeout)
        return await self._network.connect_tcp(str(last), port, timeout)


async def _drain(response: httpcore.Response) -> None:
    left = ANSWER_BYTES_MAX
    async for part in response.aiter_stream():
        left -= len(part)
        if left < 0:
            break


class Outbound:
    """Client for requests to URLs that users name; a silent one sends none, and says so."""

    def __init__(
        self,
        reach: Reach,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        lookup: Lookup = _resolve,
        trust: ssl.SSLContext | None = None,
        is_silent: bool = False,
    ) -> None:
        self.reach = reach
        self._is_silent = is_silent
        self._timeout_seconds = timeout_seconds
        self._lookup = lookup
        self._trust = trust
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="lookup")

    def close(self) -> None:
        """Stop resolving names."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def post(self, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Outcome:
        """Send a body of JSON to a URL and return the result; it raises nothing that a receiver could cause."""
        if self._is_silent:
            return Outcome(None, "this server is a drill and calls nobody", 0.0)
        began = time.monotonic()
        status, error = None, None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status = await self._post(self.reach.check_url(url), headers, body)
        except TimeoutError:
            error = "no answer in time"
        except (BadTargetError, RefusedAddressError):
            error = "no such address is reached from here"
        except (socket.gaierror, UnicodeError):
            error = "the name has no address"
        except (httpcore.NetworkError, OSError) as failed:
            error = "no secure connection" if isinstance(failed.__cause__, ssl.SSLError) else "no connection"
        except httpcore.ProtocolError:
            error = "the answer is not HTTP"
        return Outcome(status, error, time.monotonic() - began)

    async def _post(self, target: Target, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> int:
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        backend = _CheckedBackend(self.reach, self._resolve, is_encrypted=target.scheme == "https")
        trust = await self._trusted() if target.scheme == "https" else None
        connection = httpcore.AsyncHTTPConnection(url.origin, ssl_context=trust, network_backend=backend)
        sent = [(b"host", target.authority.encode()), (b"user-agent", b"Rookery"), *headers]
        sent += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        try:
            async with connection.stream("POST", url, headers=sent, content=body) as response:
                with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError):
                    await _drain(response)
                return response.status
        finally:
            await connection.aclose()

    async def _trusted(self) -> ssl.SSLContext:
        """Load the system's certificate authorities at the first use: that takes 40 ms."""
        if self._trust is None:
            loop = asyncio.get_running_loop()
            self._trust = await loop.run_in_executor(self._threads, ssl.create_default_context)
        return self._trust

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._lookup, host, port)
