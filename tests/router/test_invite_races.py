"""Invites under pressure: however many try at once, as many come in as it says, and both stores agree who."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx

from directory import placeholders, sessions
from directory.database import Writer
from rookery import composition
from rookery.composition import now_ms
from rookery.server.application import Application
from tests.router.serving import Place

CROWD = 1_000


async def sign_in(writer: Writer, count: int) -> list[str]:
    """Make people with a session each, in one transaction, and return their tokens."""
    made = await placeholders.create(writer, [f"guest{n}" for n in range(count)], now_ms=now_ms())
    return [(await sessions.start(writer, user_id, session_ms=10**9, now_ms=now_ms()))[0] for user_id in made.values()]


async def test_a_thousand_parallel_uses_of_one_give_one_join(tmp_path: Path) -> None:
    """Of a thousand people who use an invite of one use at once, one is in, in the shard and in the directory."""
    settings = Place(tmp_path).settings()
    async with composition.open_directory(settings) as directory, directory.database.write() as writer:
        owner, *crowd = await sign_in(writer, CROWD + 1)
    application = Application(settings)
    transport = httpx.ASGITransport(application)
    async with application._open({}), httpx.AsyncClient(transport=transport, base_url="http://rookery") as http:

        async def ask(token: str, method: str, path: str, **options: object) -> httpx.Response:
            return await http.request(method, path, headers={"authorization": f"Bearer {token}"}, json=options or None)

        room = (await ask(owner, "POST", "/v1/rooms", name="narrow")).json()["room"]
        path = f"/v1/rooms/{room['id']}"
        code = (await ask(owner, "POST", f"{path}/invites", max_uses=1)).json()["code"]
        answers = await asyncio.gather(*(ask(token, "POST", f"/v1/invites/{code}/use") for token in crowd))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 404: CROWD - 1}
        winner = crowd[[answer.status_code for answer in answers].index(200)]
        assert len((await ask(winner, "GET", f"{path}/members")).json()["members"]) == 2
        assert (await ask(winner, "GET", path)).json()["room"]["member_count"] == 2
        assert [len((await ask(token, "GET", "/v1/rooms")).json()["rooms"]) for token in (winner, owner)] == [1, 1]


async def test_a_use_that_is_refused_lets_another_one_in(tmp_path: Path) -> None:
    """Somebody banned who uses the invite of one use again and again keeps nobody else out in the end."""
    settings = Place(tmp_path).settings()
    async with composition.open_directory(settings) as directory, directory.database.write() as writer:
        owner, banned, guest = await sign_in(writer, 3)
    application = Application(settings)
    transport = httpx.ASGITransport(application)
    async with application._open({}), httpx.AsyncClient(transport=transport, base_url="http://rookery") as http:

        async def ask(token: str, method: str, path: str, **options: object) -> httpx.Response:
            return await http.request(method, path, headers={"authorization": f"Bearer {token}"}, json=options or None)

        room = (await ask(owner, "POST", "/v1/rooms", name="narrow")).json()["room"]
        path = f"/v1/rooms/{room['id']}"
        code = (await ask(owner, "POST", f"{path}/invites", max_uses=1)).json()["code"]
        banned_id = (await ask(banned, "GET", "/v1/users/me")).json()["id"]
        await ask(owner, "PUT", f"{path}/bans/{banned_id}", reason="spam")
        answers = await asyncio.gather(*(ask(banned, "POST", f"/v1/invites/{code}/use") for _ in range(50)))
        assert {answer.status_code for answer in answers} <= {403, 404}
        assert (await ask(guest, "POST", f"/v1/invites/{code}/use")).status_code == 200
        assert (await ask(guest, "GET", path)).json()["room"]["member_count"] == 2


async def test_bans_and_joins_at_once_leave_both_stores_of_one_mind(tmp_path: Path) -> None:
    """Whatever comes last of joins and bans of one person, the index of rooms says what the shard says."""
    settings = Place(tmp_path).settings()
    async with composition.open_directory(settings) as directory, directory.database.write() as writer:
        owner, guest = await sign_in(writer, 2)
    application = Application(settings)
    transport = httpx.ASGITransport(application)
    async with application._open({}), httpx.AsyncClient(transport=transport, base_url="http://rookery") as http:

        async def ask(token: str, method: str, path: str, **options: object) -> httpx.Response:
            return await http.request(method, path, headers={"authorization": f"Bearer {token}"}, json=options or None)

        room = (await ask(owner, "POST", "/v1/rooms", name="busy", is_public=True)).json()["room"]
        path = f"/v1/rooms/{room['id']}"
        guest_id = (await ask(guest, "GET", "/v1/users/me")).json()["id"]
        is_in = False
        for _ in range(30):
            await asyncio.gather(
                ask(guest, "POST", f"{path}/join"),
                ask(owner, "PUT", f"{path}/bans/{guest_id}"),
                ask(owner, "DELETE", f"{path}/bans/{guest_id}"),
                ask(guest, "POST", f"{path}/join"),
            )
            is_in = (await ask(guest, "GET", f"{path}/channels")).status_code == 200
            assert bool((await ask(guest, "GET", "/v1/rooms")).json()["rooms"]) is is_in
        assert (await ask(owner, "GET", path)).json()["room"]["member_count"] == 1 + is_in
