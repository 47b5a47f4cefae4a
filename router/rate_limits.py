"""Rate limits: token buckets per user, address and room, reported to clients in RateLimit headers.

A bucket holds `burst` tokens and gains `per_second`; a request takes one. The headers follow
draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "user";q=60;w=3` and `RateLimit: "user";r=59;t=1`.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_address
from typing import Final

from router.errors import TooManyRequestsError

BUCKETS_MAX: Final = 50_000
"""Keys remembered per limit; the least recently used is dropped first, and starts full again."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Rate of one key: `burst` requests at once, `per_second` in the long run."""

    per_second: float
    burst: int


def network_of(address: str, ipv6_prefix_length: int) -> str:
    """Return the key under which an address is counted: an IPv4 address itself, of an IPv6 one its network.

    A provider gives each customer a /64 at least (RFC 6177), so one person has 2**64 addresses. An IPv4 address in
    IPv6 form is the IPv4 address; what is no address stands for itself.
    """
    if ":" not in address:
        return address
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    assert found.version == 6, "only IPv6 addresses have colons"
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Network((int(found), ipv6_prefix_length), strict=False))


class Buckets:
    """Buckets of one limit, by key."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name = name
        self._rate = rate
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        window_seconds = max(1, math.ceil(rate.burst / rate.per_second))
        self.policy_header = f'"{name}";q={rate.burst};w={window_seconds}'.encode()

    def take(self, key: Hashable, now_seconds: float) -> int:
        """Take a token and return how many are left.

        `now_seconds` is a monotonic clock. Raises TooManyRequestsError when none is left; waiting costs nothing.
        """
        level, since = self._levels.pop(key, (float(self._rate.burst), now_seconds))
        level = min(self._rate.burst, level + (now_seconds - since) * self._rate.per_second)
        if level < 1.0:
            self._levels[key] = (level, now_seconds)
            raise TooManyRequestsError(math.ceil((1.0 - level) / self._rate.per_second))
        self._levels[key] = (level - 1.0, now_seconds)
        if len(self._levels) > BUCKETS_MAX:
            self._levels.popitem(last=False)
        return int(level - 1.0)

    def give_back(self, key: Hashable) -> None:
        """Give a taken token back."""
        if key in self._levels:
            level, since = self._levels[key]
            self._levels[key] = (level + 1.0, since)

    def header(self, left: int) -> bytes:
        """Return the RateLimit header of a request that left so many tokens."""
        refill_seconds = math.ceil(1.0 / self._rate.per_second)
        return b'"%b";r=%d;t=%d' % (self.name.encode(), left, refill_seconds)
