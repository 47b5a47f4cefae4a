"""Signing up, in and out over HTTP, and one's own account."""

import time
from pathlib import Path

import pytest

from tests.router.clients import PASSWORD, Client, client_of
from tests.router.serving import ORIGIN, Place, serving

COOKIE = "__Host-rookery"


@pytest.fixture(scope="module")
def anna(nobody: Client) -> Client:
    """Somebody with a password."""
    return nobody.register("anna")


def log_in(nobody: Client, username: str, password: str = PASSWORD) -> Client:
    answer = nobody.post("/v1/auth/login", {"username": username, "password": password})
    return nobody.with_token(answer["token"])


def test_registering_signs_in(anna: Client) -> None:
    """A new account comes with a session that knows who it is."""
    me = anna.get("/v1/users/me")
    assert (me["username"], me["is_anonymous"], me["capabilities"]) == ("anna", False, [])


@pytest.mark.parametrize("username", ["anna", "ANNA", "an_na"])
def test_a_username_is_given_once(nobody: Client, anna: Client, username: str) -> None:
    """A name that is taken, in any case or as a look-alike, is refused."""
    refusal = nobody.refused("POST", "/v1/auth/register", {"username": username, "password": PASSWORD})
    assert (refusal.status, refusal.type) == (409, "taken")


@pytest.mark.security
@pytest.mark.parametrize("username", ["1573346223362932736", "guest_anna", "deleted_1", "imported_bob", "everyone"])
def test_a_reserved_username_is_refused(nobody: Client, anna: Client, username: str) -> None:
    """Nobody takes a name that reads as an id, as one of the system's, or as a call, for themselves or a bot."""
    asked = {"username": username, "password": PASSWORD}
    for client, path in ((nobody, "/v1/auth/register"), (anna, "/v1/bots")):
        body = asked if client is nobody else {"username": username}
        refusal = client.refused("POST", path, body)
        assert (refusal.status, f"{username} is reserved" in refusal.detail) == (422, True)


def test_logging_in_needs_the_password(nobody: Client, anna: Client) -> None:
    """The right password starts a session, and a wrong one hears what an unknown name hears."""
    assert log_in(nobody, "anna").id == anna.id
    wrong = nobody.refused("POST", "/v1/auth/login", {"username": "anna", "password": "wrong password"})
    unknown = nobody.refused("POST", "/v1/auth/login", {"username": "nobody", "password": "wrong password"})
    assert wrong == unknown
    assert (wrong.status, wrong.type) == (401, "bad-credentials")


def test_logging_out_ends_this_session_alone(nobody: Client, anna: Client) -> None:
    """After logging out the token is worth nothing, and other sessions go on."""
    second = log_in(nobody, "anna")
    assert second.id == anna.id
    second.post("/v1/auth/logout")
    assert second.refused("GET", "/v1/users/me").status == 401
    assert anna.id


def test_logging_out_everywhere_ends_all(nobody: Client) -> None:
    """Logging out everywhere ends every session, this one too."""
    first = nobody.register("everywhere")
    second = log_in(nobody, "everywhere")
    first.post("/v1/auth/logout-all")
    assert {client.refused("GET", "/v1/users/me").status for client in (first, second)} == {401}


def test_changing_the_password_ends_other_sessions(nobody: Client) -> None:
    """Whoever changes the password stays in, everyone else is out, and only the new password works."""
    first = nobody.register("changer")
    second = log_in(nobody, "changer")
    wrong = {"current_password": "not the password", "new_password": "a new password"}
    assert first.refused("POST", "/v1/users/me/password", wrong).type == "bad-credentials"
    assert second.id
    first.post("/v1/users/me/password", {"current_password": PASSWORD, "new_password": "a new password"})
    assert first.id
    assert second.refused("GET", "/v1/users/me").status == 401
    assert nobody.refused("POST", "/v1/auth/login", {"username": "changer", "password": PASSWORD}).status == 401
    assert log_in(nobody, "changer", "a new password").id == first.id


def test_sessions_are_listed_and_ended_by_their_owner(nobody: Client, anna: Client, other: Client) -> None:
    """One sees one's sessions without tokens and ends any of them, and nobody else's."""
    second = log_in(nobody, "anna")
    listed = second.get("/v1/users/me/sessions")["sessions"]
    current = next(session for session in listed if session["is_current"])
    assert current["ip"] == "127.0.0.1"
    path = f"/v1/users/me/sessions/{current['id']}"
    assert other.refused("DELETE", path) == other.refused("DELETE", "/v1/users/me/sessions/1")
    assert second.id
    anna.did("DELETE", path)
    assert second.refused("GET", "/v1/users/me").status == 401
    assert anna.refused("DELETE", path).status == 404


def test_a_profile_changes_field_by_field(anna: Client) -> None:
    """What is sent changes, what is left out stays, null empties what may be empty."""
    sent = {"display_name": " Anna ", "bio": "hi\nthere", "avatar_url": "https://a.example/b.png", "locale": "de-AT"}
    assert anna.did("PATCH", "/v1/users/me", sent).items() >= {**sent, "display_name": "Anna"}.items()
    changed = anna.did("PATCH", "/v1/users/me", {"bio": None, "timezone": "Europe/Vienna"})
    assert (changed["bio"], changed["locale"], changed["timezone"]) == (None, "de-AT", "Europe/Vienna")
    assert anna.get("/v1/users/me") == changed
    assert anna.get(f"/v1/users/{changed['id']}")["display_name"] == "Anna"


@pytest.mark.parametrize("field", ["locale", "timezone"])
def test_what_everybody_has_cannot_be_emptied(anna: Client, field: str) -> None:
    """Null for a field that has no empty value is refused by its name."""
    assert f"body.{field}" in anna.refused("PATCH", "/v1/users/me", {field: None}).errors


@pytest.mark.parametrize("name", ["Mars/Base", "Europe", "europe berlin", "/etc/passwd"])
def test_a_time_zone_exists(anna: Client, name: str) -> None:
    """A time zone that is none is refused by its field."""
    assert "body.timezone" in anna.refused("PATCH", "/v1/users/me", {"timezone": name}).errors


def test_settings_are_kept(other: Client) -> None:
    """Settings begin with defaults, and change field by field; the client's own are replaced whole."""
    assert other.get("/v1/users/me/settings")["theme"] == "auto"
    other.did("PATCH", "/v1/users/me/settings", {"theme": "dark", "settings": {"a": {"b": [1, 2.5, None, "ü"]}}})
    kept = other.did("PATCH", "/v1/users/me/settings", {"compact_mode": True})
    assert (kept["theme"], kept["compact_mode"], kept["settings"]) == ("dark", True, {"a": {"b": [1, 2.5, None, "ü"]}})
    assert other.get("/v1/users/me/settings") == kept


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", str(10**30)])
def test_settings_that_could_not_be_answered_are_refused(other: Client, number: str) -> None:
    """A number that JSON cannot carry back is refused before it is stored, and the settings stay readable."""
    kept = other.get("/v1/users/me/settings")
    content = f'{{"settings": {{"a": {number}}}}}'.encode()
    headers = {"content-type": "application/json"}
    refusal = other.refused("PATCH", "/v1/users/me/settings", content=content, headers=headers)
    assert (refusal.status, "body.settings" in refusal.errors) == (422, True)
    assert other.get("/v1/users/me/settings") == kept


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer garbage", "Bearer " + "A" * 43, "Bearer " + "A" * 5_000, "bearer \xff\xfe", "Basic YTpi"],
)
def test_garbage_in_the_authorization_header_is_nobody(nobody: Client, header: str) -> None:
    """A token that is none is refused as a missing one is, and what is not a bearer token is called malformed."""
    refusal = nobody.refused("GET", "/v1/users/me", headers={"authorization": header.encode("latin-1")})
    is_bearer = header.lower().startswith("bearer ")
    assert (refusal.status, refusal.type) == ((401, "unauthenticated") if is_bearer else (400, "bad-request"))


def test_an_expired_session_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its time has passed a token is worth nothing, also when the clock goes back."""
    day_ns, now_ns = 86_400 * 1_000_000_000, time.time_ns
    with serving(Place(tmp_path, server={"session_days": "1"})) as server, client_of(server) as nobody:
        guest = nobody.guest()
        with monkeypatch.context() as clock:
            clock.setattr(time, "time_ns", lambda: now_ns() + day_ns - 60_000_000_000)
            assert guest.ask("GET", "/v1/users/me").status_code == 200
            clock.setattr(time, "time_ns", lambda: now_ns() + day_ns + 60_000_000_000)
            assert guest.refused("GET", "/v1/users/me").status == 401
        assert guest.refused("GET", "/v1/users/me").status == 401


def test_a_cookie_counts_only_from_our_own_pages(nobody: Client, anna: Client) -> None:
    """A cookie session reads without Origin and does anything from a known one; a foreign page gets nothing."""
    response = nobody.ask("POST", "/v1/auth/login", {"username": "anna", "password": PASSWORD, "cookie": True})
    assert response.json()["token"] is None
    cookie = response.headers["set-cookie"]
    nobody.http.cookies.clear()
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    pair = cookie.split(";")[0]
    assert pair.startswith(f"{COOKIE}=")

    def ask(method: str, **headers: str) -> int:
        body = {"display_name": "Anna"} if method == "PATCH" else None
        return nobody.ask(method, "/v1/users/me", body, headers={"cookie": pair, **headers}).status_code

    assert ask("GET") == 200
    assert ask("GET", origin=ORIGIN) == 200
    assert ask("PATCH", origin=ORIGIN) == 200
    assert ask("PATCH") == 403
    for foreign in ("https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.replace("https", "http")):
        assert ask("PATCH", origin=foreign) == 403
        assert ask("GET", origin=foreign) == 403
    # A token in the header is not sent by a browser on its own, so its Origin does not matter.
    assert anna.ask("PATCH", "/v1/users/me", {"display_name": "Anna"}, headers={"origin": "null"}).status_code == 200


def test_other_cookies_do_not_hide_ours(nobody: Client, anna: Client) -> None:
    """Cookies of other applications on the same host, well-formed or not, leave a session what it is."""
    for cookies in (f"a=b; {COOKIE}={{}}", f'x={{"a":[1 2]}}; {COOKIE}={{}}; y', f"{COOKIE}={{}};b=\xfc,\x01"):
        header = cookies.replace(f"{COOKIE}={{}}", f"{COOKIE}={anna.token}").replace("\x01", "")
        headers = {"cookie": header.encode("latin-1")}
        assert nobody.ask("GET", "/v1/users/me", headers=headers).status_code == 200
    assert nobody.refused("GET", "/v1/users/me", headers={"cookie": f"x{COOKIE}={anna.token}"}).status == 401


def test_logging_out_takes_the_cookie_back(nobody: Client, anna: Client) -> None:
    """Logging out makes the browser forget the cookie."""
    second = log_in(nobody, "anna")
    response = second.ask("POST", "/v1/auth/logout")
    assert "Max-Age=0" in response.headers["set-cookie"]
    nobody.http.cookies.clear()
