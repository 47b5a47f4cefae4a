"""kill -9 while a server starts, and while rooms of every kind are made: each acknowledged room is there, and works."""

import asyncio
import contextlib
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.crash.killed_server import KilledServer, examine, member_of

CYCLES = int(os.environ.get("ROOKERY_CRASH_CYCLES", "6"))
FOUNDERS = 6
FRIENDS = 3
STARTS_KILLED = 0.5
"""Share of the cycles in which the next start is killed too, somewhere in it."""


@dataclass
class Made:
    """The rooms whose creation was acknowledged, each with the words said in it, and names without an answer."""

    said: dict[str, str | None] = field(default_factory=dict)
    """The path of the first channel's messages, and the acknowledged content; None when nothing was said."""
    unknown: list[str] = field(default_factory=list)


async def _make_until_killed(client: httpx.AsyncClient, friends: list[str], made: Made, name: str) -> None:
    """Make communities and groups, and speak in each."""
    with contextlib.suppress(httpx.TransportError):
        for number in range(1_000):
            room_name = f"{name}-{number}"
            if number % 2:
                answer = await client.post("/v1/groups", json={"user_ids": friends, "display_name": room_name})
            else:
                made.unknown.append(room_name)
                answer = await client.post("/v1/rooms", json={"name": room_name})
                made.unknown.remove(room_name)
            assert answer.status_code == 201, answer.text
            told = answer.json()
            messages = f"/v1/rooms/{told['room']['id']}/channels/{told['channels'][0]['id']}/messages"
            made.said[messages] = None
            sent = await client.post(messages, json={"content": f"first in {room_name}"})
            assert sent.status_code == 201, sent.text
            made.said[messages] = f"first in {room_name}"


async def _check(client: httpx.AsyncClient, said: dict[str, str | None], where: str) -> None:
    for messages, content in said.items():
        stored = (await client.get(messages)).raise_for_status().json()["messages"]
        assert content is None or [message["content"] for message in stored] == [content], where


@pytest.mark.crash
async def test_a_kill_loses_no_room_and_leaves_no_part_of_one(tmp_path: Path) -> None:
    """Each acknowledged room is there with its words, other names are free or taken, and nothing is left."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    server, made = KilledServer(tmp_path), Made()
    starts_killed = checked = 0
    try:
        await server.start()
        async with member_of(server) as (client, token, _):
            friends = [await _friend(server) for _ in range(FRIENDS)]
            for cycle in range(CYCLES):
                where = f"seed {seed}, cycle {cycle}"
                headers = {"Authorization": f"Bearer {token}"}
                async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as founder:
                    names = [f"room-{cycle}-{number}" for number in range(FOUNDERS)]
                    making = [asyncio.create_task(_make_until_killed(founder, friends, made, name)) for name in names]
                    await asyncio.sleep(chance.uniform(0.05, 0.4))
                    server.kill()
                    await asyncio.gather(*making)
                if chance.random() < STARTS_KILLED:
                    await server.kill_while_it_starts(chance.uniform(0.2, 0.9))
                    starts_killed += 1
                await server.start()
                new = list(made.said)[checked:]
                await _check(client, {path: made.said[path] for path in new}, where)
                checked = len(made.said)
            await _check(client, made.said, f"seed {seed}, at the end")
            for name in made.unknown:
                assert (await client.post("/v1/rooms", json={"name": name})).status_code in (201, 409)
            examine(server)
    finally:
        server.stop()
    assert len(made.said) >= CYCLES
    print(
        f"{CYCLES} kills, {starts_killed} more of starts, {len(made.said)} rooms, {len(made.unknown)} without an answer"
    )


async def _friend(server: KilledServer) -> str:
    async with httpx.AsyncClient(base_url=server.url) as client:
        answer = await client.post("/v1/auth/anonymous", json={})
    return str(answer.raise_for_status().json()["user"]["id"])
