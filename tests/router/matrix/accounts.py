"""Accounts: everybody has one's own."""

from tests.router.clients import PASSWORD
from tests.router.matrix.rows import EVERYBODY, PEOPLE, SIGNED_IN, Row, Rows

ROWS: Rows = {
    ("GET", "/v1/site"): Row(EVERYBODY),
    ("GET", "/healthz"): Row(EVERYBODY),
    ("GET", "/readyz"): Row(EVERYBODY),
    ("GET", "/metrics"): Row(EVERYBODY),
    ("GET", "/openapi.json"): Row(EVERYBODY),
    ("GET", "/docs"): Row(EVERYBODY),
    ("POST", "/v1/auth/register"): Row(
        EVERYBODY.replace("200", "201"), {"username": "{role}_{number}", "password": PASSWORD}
    ),
    ("POST", "/v1/auth/anonymous"): Row(EVERYBODY.replace("200", "201"), {}),
    ("POST", "/v1/auth/login"): Row(
        EVERYBODY.replace("200", "401"), {"username": "nobody_at_all", "password": PASSWORD}
    ),
    ("POST", "/v1/auth/logout"): Row(PEOPLE.replace("200", "204")),
    ("POST", "/v1/auth/logout-all"): Row(PEOPLE.replace("200", "204")),
    ("GET", "/v1/users/me"): Row(SIGNED_IN),
    ("PATCH", "/v1/users/me"): Row(PEOPLE, {"display_name": "Me"}),
    # Guests have none to change.
    ("POST", "/v1/users/me/password"): Row(
        "401 401 204 403 401 401 401 401 401", {"current_password": PASSWORD, "new_password": PASSWORD}
    ),
    ("GET", "/v1/users/me/settings"): Row(PEOPLE),
    ("PATCH", "/v1/users/me/settings"): Row(PEOPLE, {"theme": "dark"}),
    ("GET", "/v1/users/me/sessions"): Row(PEOPLE),
    # The session of the member: the others come first, so that it is still there.
    ("DELETE", "/v1/users/me/sessions/{session_id}"): Row("404 404 204 403 404 404 404 404 401"),
    ("GET", "/v1/users/{user_id}"): Row(SIGNED_IN),
}
