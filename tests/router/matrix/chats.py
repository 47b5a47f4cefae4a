"""Direct and group chats: what a community answers that is none, and what is everybody's own."""

from tests.router.matrix.rows import PEOPLE, ROOM, SIGNED_IN, Row, Rows, inside

MUSIC = "https://open.spotify.com/track/4uLU6hMCjMI75M1A2tKUQC"

ROWS: Rows = {
    ("PUT", "/v1/users/{user_id}/chat"): Row(SIGNED_IN.replace("200", "201")),
    ("POST", "/v1/groups"): Row(PEOPLE.replace("200", "201"), {"user_ids": ["{user_id}"]}),
    ("GET", "/v1/users/me/blocks"): Row(PEOPLE),
    ("PUT", "/v1/users/me/blocks/{user_id}"): Row(PEOPLE.replace("200", "204")),
    ("DELETE", "/v1/users/me/blocks/{user_id}"): Row(PEOPLE.replace("200", "204")),
    # Groups have these: tests/router/test_chats_http.py asks as everybody in one.
    ("PUT", ROOM + "/members/{user_id}"): Row(inside(409)),
    ("PUT", ROOM + "/moderators/{user_id}"): Row(inside(409)),
    ("DELETE", ROOM + "/moderators/{user_id}"): Row(inside(409)),
    ("PUT", ROOM + "/music"): Row(inside(200, 200, 403), {"url": MUSIC}),
    ("DELETE", ROOM + "/music"): Row(inside(204, 204, 403)),
}
