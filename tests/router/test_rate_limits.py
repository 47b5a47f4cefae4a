"""The arithmetic of token buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import rate_limits
from router.errors import TooManyRequestsError
from router.rate_limits import Buckets, Rate

RATES = st.builds(Rate, st.floats(0.01, 10_000), st.integers(1, 1_000))
PAUSES = st.lists(st.floats(0, 100, allow_subnormal=False), max_size=60)


def takes(buckets: Buckets, now_seconds: float) -> bool:
    try:
        buckets.take("key", now_seconds)
    except TooManyRequestsError:
        return False
    return True


@given(RATES, PAUSES)
def test_no_stretch_of_time_has_more_than_its_share(rate: Rate, pauses: list[float]) -> None:
    """In every stretch a key gets at most its burst and what came back meanwhile."""
    buckets = Buckets("user", rate)
    now, taken = 1_000.0, []
    for pause in pauses:
        now += pause
        if takes(buckets, now):
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            share = rate.burst + (taken[last] - taken[first]) * rate.per_second
            assert last - first + 1 <= share * (1 + 1e-9) + 1e-6


@given(RATES, PAUSES)
def test_waiting_as_told_is_enough(rate: Rate, pauses: list[float]) -> None:
    """Whoever waits for as long as the refusal says gets a token, and asking meanwhile costs nothing."""
    buckets = Buckets("user", rate)
    now = 1_000.0
    for pause in pauses:
        now += pause
        left, wait_seconds = 0, None
        try:
            left = buckets.take("key", now)
        except TooManyRequestsError as error:
            wait_seconds = error.retry_after_seconds
        assert 0 <= left < rate.burst
        if wait_seconds is not None:
            assert wait_seconds >= 1
            assert not takes(buckets, now)
            now += wait_seconds
            assert takes(buckets, now)


@given(RATES)
def test_a_full_bucket_holds_its_burst(rate: Rate) -> None:
    """A new key, and one that was left alone for the policy's window, has its whole burst at once and no more."""
    buckets = Buckets("user", rate)
    window = float(buckets.policy_header.rpartition(b"=")[2])
    for now in (5.0, 5.0 + window + 1):
        assert [buckets.take("key", now) for _ in range(rate.burst)] == list(range(rate.burst))[::-1]
        assert not takes(buckets, now)


def test_keys_do_not_share() -> None:
    """One key's requests leave another's bucket full."""
    buckets = Buckets("user", Rate(1, 1))
    assert buckets.take("anna", 0.0) == 0
    assert buckets.take("ben", 0.0) == 0
    with pytest.raises(TooManyRequestsError):
        buckets.take("anna", 0.5)


def test_the_longest_unused_key_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys come, only so many are remembered, and those in use stay among them."""
    monkeypatch.setattr(rate_limits, "BUCKETS_MAX", 3)
    buckets = Buckets("address", Rate(0.001, 2))
    buckets.take("busy", 0.0)
    for number in range(10):
        buckets.take(number, float(number))
        assert len(buckets._levels) <= 3
        if number == 0:
            assert buckets.take("busy", 0.5) == 0
        else:
            with pytest.raises(TooManyRequestsError):
                buckets.take("busy", float(number))
    assert buckets.take(0, 11.0) == 1


def test_the_headers_are_structured_fields() -> None:
    """The headers read as draft-ietf-httpapi-ratelimit-headers-10 has them."""
    buckets = Buckets("user", Rate(0.5, 60))
    assert buckets.policy_header == b'"user";q=60;w=120'
    assert buckets.header(buckets.take("key", 0.0)) == b'"user";r=59;t=2'


@pytest.mark.security
@pytest.mark.parametrize(
    ("address", "prefix_length", "network"),
    [
        ("203.0.113.7", 64, "203.0.113.7"),
        ("203.0.113.7", 32, "203.0.113.7"),
        ("::ffff:203.0.113.7", 64, "203.0.113.7"),
        ("::FFFF:cb00:7107", 64, "203.0.113.7"),
        ("2001:db8:0:1:ffff::9", 64, "2001:db8:0:1::/64"),
        ("2001:0DB8:0:1::1", 64, "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", 64, "2001:db8:0:2::/64"),
        ("2001:db8:0:12::1", 56, "2001:db8::/56"),
        ("2001:db8::1", 128, "2001:db8::1/128"),
        ("fe80::1%eth0", 64, "fe80::/64"),
        ("", 64, ""),
        ("nonsense", 64, "nonsense"),
    ],
)
def test_addresses_count_by_network(address: str, prefix_length: int, network: str) -> None:
    """All addresses of one IPv6 network are one key, IPv4 addresses each their own, in either of their forms."""
    assert rate_limits.network_of(address, prefix_length) == network
