"""Guesses at the password of one account: bounded from however many addresses, and nobody is locked out by them."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from directory.errors import BadCredentialsError
from ids import UserId
from router import sign_ins
from router.errors import TooManyRequestsError
from router.rate_limits import Rate
from router.sign_ins import SignIns
from tests.router.clients import PASSWORD, Answer, Client, client_of
from tests.router.serving import Place, serving

HOME = "203.0.113.7"
PROXIED = {"trusted_proxies": '["127.0.0.0/8"]'}
SLOW = 2**-16
"""Guesses a second."""
NAMES, PLACES = 7, 3
"""Failed sign-ins with one name, from everywhere and from one place, that the tests' server takes."""

pytestmark = pytest.mark.security


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that believes its tests where they are, and gives no guess back while they run."""
    place = Place(tmp_path_factory.mktemp("served"), server=PROXIED)
    with ExitStack() as served:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sign_ins, "NAME_RATE", Rate(SLOW, NAMES))
            patched.setattr(sign_ins, "PLACE_RATE", Rate(SLOW, PLACES))
            server = served.enter_context(serving(place))
        yield served.enter_context(client_of(server))


def register(nobody: Client, name: str, address: str = HOME) -> Client:
    body = {"username": name, "password": PASSWORD}
    made = nobody.did("POST", "/v1/auth/register", body, headers={"x-forwarded-for": address})
    return nobody.with_token(made["token"])


def sign_in(client: Client, name: str, password: str, address: str) -> int:
    body = {"username": name, "password": password}
    return client.ask("POST", "/v1/auth/login", body, headers={"x-forwarded-for": address}).status_code


def refusal(client: Client, name: str, address: str, password: str = "a wrong guess") -> Answer:
    body = {"username": name, "password": password}
    return client.refused("POST", "/v1/auth/login", body, headers={"x-forwarded-for": address})


def far(number: int) -> str:
    return f"2001:db8:{number:x}::1"


def exhaust(nobody: Client, name: str) -> None:
    """Guess from many addresses, until the name has no guess left."""
    heard = [sign_in(nobody, name, "a wrong guess", far(number)) for number in range(NAMES + 1)]
    assert heard == [401] * NAMES + [429]


def test_many_addresses_share_the_guesses_at_a_name(nobody: Client) -> None:
    """However many addresses guess, one name takes so many, in whatever spelling; other names are as they were."""
    register(nobody, "anna")
    exhaust(nobody, "anna")
    for spelling in ("anna", "ANNA"):
        assert refusal(nobody, spelling, far(999)).type == "too-many-requests"
    assert refusal(nobody, "ben", far(999)).type == "bad-credentials"


def test_the_owner_is_let_in_while_others_guess(nobody: Client) -> None:
    """The right password works where the account was used before, and with a session of it; elsewhere it is a guess."""
    session = register(nobody, "carla")
    register(nobody, "eve", far(77))
    exhaust(nobody, "carla")
    assert sign_in(nobody, "carla", PASSWORD, HOME) == 201
    assert sign_in(session, "carla", PASSWORD, "198.51.100.1") == 201
    assert sign_in(nobody, "carla", PASSWORD, "198.51.100.1") == 201  # it was used from there a moment ago
    session.post("/v1/auth/logout-all")
    assert sign_in(nobody, "carla", PASSWORD, HOME) == 201  # signed out, and known all the same
    for client, address in ((nobody, "192.0.2.1"), (session, "192.0.2.2"), (nobody, far(77))):
        assert sign_in(client, "carla", PASSWORD, address) == 429


def test_another_persons_session_helps_nobody(nobody: Client) -> None:
    """A session counts for its own account alone."""
    register(nobody, "dora")
    mallory = register(nobody, "mallory", "192.0.2.9")
    exhaust(nobody, "dora")
    assert sign_in(mallory, "dora", PASSWORD, "192.0.2.9") == 429


def test_unknown_names_hear_what_known_ones_do(nobody: Client) -> None:
    """Wrong guesses at a name that exists, at one that does not, and from the owner's address hear the same."""
    register(nobody, "flora")

    def heard(name: str) -> list[Answer]:
        first = [refusal(nobody, name, far(number)) for number in range(NAMES + 2)]
        return [*first, *(refusal(nobody, name, HOME) for _ in range(PLACES + 2))]

    def told(answers: list[Answer]) -> list[tuple[int, str, str, str]]:
        return [(each.status, each.type, each.title, each.detail.split(";")[0]) for each in answers]

    known, unknown = told(heard("flora")), told(heard("nobody_at_all"))
    assert known == unknown
    assert {status for status, *_ in known[NAMES:]} == {429}


def test_one_address_has_fewer_guesses_than_a_name(nobody: Client) -> None:
    """One address guesses at a name a few times; that is its own limit, and the owner elsewhere meets none."""
    register(nobody, "gina", "198.51.100.200")
    heard = [sign_in(nobody, "gina", "a wrong guess", HOME) for _ in range(PLACES + 5)]
    assert heard == [401] * PLACES + [429] * 5
    assert sign_in(nobody, "gina", PASSWORD, HOME) == 429
    assert sign_in(nobody, "gina", PASSWORD, far(1)) == 201


def test_signing_in_is_free(nobody: Client) -> None:
    """Right passwords use nothing up: neither those of the place nor those of the name."""
    register(nobody, "hana")
    assert [sign_in(nobody, "hana", PASSWORD, far(5)) for _ in range(NAMES + 5)] == [201] * (NAMES + 5)
    assert sign_in(nobody, "hana", "a wrong guess", far(5)) == 401


def test_waiting_as_told_lets_the_owner_in_anywhere() -> None:
    """When the guessing stops, the right password works after Retry-After from an address that was never seen."""
    now = 1_000.0
    guard = SignIns(64, clock=lambda: now)
    assert sign_ins.NAME_RATE.burst > sign_ins.PLACE_RATE.burst  # one place hears the same for every name
    for number in range(sign_ins.NAME_RATE.burst + 3):
        place = far(number)
        with pytest.raises((BadCredentialsError, TooManyRequestsError)), guard.attempt("a", place, place, None):
            raise BadCredentialsError
    with guard.attempt("a", HOME, HOME, None) as attempt:
        assert not attempt.admits(UserId(7), {far(0)})
        assert attempt.wait_seconds == 60
    now += attempt.wait_seconds
    with guard.attempt("a", HOME, HOME, None) as attempt:
        assert attempt.admits(UserId(7), {far(0)})
    with guard.attempt("a", HOME, HOME, None) as attempt:  # who was let in used nothing up
        assert attempt.admits(UserId(7), ())


def test_a_stolen_session_guesses_no_password(nobody: Client) -> None:
    """Changing one's password takes few wrong current ones, from all addresses and sessions together."""
    thief = register(nobody, "ida")
    wrong = {"current_password": "a wrong guess", "new_password": "a password of thieves"}
    path = "/v1/users/me/password"
    heard = [
        thief.ask("POST", path, wrong, headers={"x-forwarded-for": far(number)}).status_code
        for number in range(PLACES + 2)
    ]
    assert heard == [401] * PLACES + [429] * 2
    assert sign_in(nobody, "ida", PASSWORD, far(500)) == 201
