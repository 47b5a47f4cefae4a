"""kill -9 while a server puts its room away and brings it back for those who send: nothing acknowledged is lost."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

import httpx
import pytest

from config import settings
from directory import rooms
from directory.hibernations import find_asleep
from directory.room_orders import place
from rookery import composition
from rookery.composition import now_ms
from tests.crash.killed_server import KilledServer, Ledger, Sender, examine, history, member_of

CYCLES = int(os.environ.get("ROOKERY_CRASH_CYCLES", "20")) // 5
SENDERS = 4


async def _put_away(server: KilledServer) -> None:
    """Ask the server to hibernate the room, as the command does."""
    chosen = settings.load(server.settings, environ={})
    async with composition.open_directory(chosen) as directory, directory.database.write() as writer:
        room = await rooms.find_by_name(writer, "crash")
        await place(writer, room.id, "hibernate", now_ms=now_ms())


async def _is_asleep(server: KilledServer) -> bool:
    chosen = settings.load(server.settings, environ={})
    async with composition.open_directory(chosen) as directory, directory.database.read() as reader:
        room = await rooms.find_by_name(reader, "crash")
        return await find_asleep(reader, room.id) is not None


async def _send_and_sleep(server: KilledServer, senders: list[Sender], cycle: int, chance: random.Random) -> None:
    """Have everybody send, have the room put away and woken by sending again, and kill the server somewhere in it."""
    headers = {"Authorization": f"Bearer {senders[0].token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:

        async def go() -> None:
            for at in range(1_000):
                for sender in senders:
                    await sender._send(client, f"{cycle}-{sender.number}-{at}", f"message {cycle} {sender.number} {at}")
                await _put_away(server)
                await asyncio.sleep(chance.choice((0.0, 0.6, 0.9)))

        with contextlib.suppress(httpx.TransportError):
            going = asyncio.ensure_future(go())
            await asyncio.wait([going], timeout=chance.uniform(0.3, 2.5))
            server.kill()
            await going


@pytest.mark.crash
async def test_a_kill_loses_nothing_of_a_room_that_sleeps(tmp_path: Path) -> None:
    """After each kill every acknowledged message is there once and in order, whether the room slept or not."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    server, ledger, slept = KilledServer(tmp_path), Ledger(), 0
    try:
        await server.start()
        async with member_of(server) as (client, token, path):
            senders = [Sender(number, path, token, ledger) for number in range(SENDERS)]
            for cycle in range(CYCLES):
                await _send_and_sleep(server, senders, cycle, chance)
                slept += await _is_asleep(server)
                await server.start()
                stored = [message for message in await history(client, path) if message["nonce"]]
                by_nonce = {message["nonce"]: int(message["id"]) for message in stored}
                assert len(by_nonce) == len(stored), f"seed {seed}: a message was stored twice"
                for nonce, message_id in ledger.acked.items():
                    assert by_nonce.get(nonce) == message_id, f"seed {seed}, cycle {cycle}: {nonce} is lost"
                for message in stored:
                    assert message["content"] == ledger.sent[message["nonce"]]
            examine(server)
    finally:
        server.stop()
    assert len(ledger.acked) >= CYCLES * SENDERS
    print(f"{CYCLES} kills, {slept} of them while the room slept, {len(ledger.acked)} acknowledged")
