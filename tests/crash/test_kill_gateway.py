"""kill -9 under gateway load: every acknowledged send is in every subscriber's stream once, in order, without a gap."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage

from tests.crash.killed_server import KilledServer, Ledger, Sender, member_of

CYCLES = int(os.environ.get("ROOKERY_CRASH_CYCLES", "6"))
SENDERS = 4
"""Over each of HTTP and the gateway."""
IN_FLIGHT = 8
"""Messages of one sender over the gateway that wait for their answer."""
SUBSCRIBERS = 5
CATCH_UP_SECONDS_MAX = 30.0
ACKED_PER_CYCLE_MIN = 20
GONE = (ConnectionClosed, ConnectionError, InvalidMessage, TimeoutError)


@contextlib.asynccontextmanager
async def connected(server: KilledServer, token: str, **more: Any) -> AsyncIterator[ClientConnection]:
    """Open the gateway and identify."""
    url = f"ws://127.0.0.1:{server.port}/v1/gateway"
    async with connect(url, compression=None, max_size=2**24, ping_interval=None, close_timeout=0.1) as connection:
        await connection.recv()
        await connection.send(orjson.dumps({"op": "identify", "d": {"token": token, **more}}).decode())
        yield connection


@dataclass
class Subscriber:
    """Listens to one room through all kills, each time from where it was."""

    room_id: str
    token: str
    leaves_early: bool
    place: int = 0
    nonces: list[str] = field(default_factory=list)
    """Of the messages that came, in their order."""
    ids: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    endings: int = 0

    async def listen(self, server: KilledServer, until: asyncio.Event) -> None:
        """Listen until told to stop, and come back whenever the connection ends."""
        while not until.is_set():
            with contextlib.suppress(*GONE):
                async with connected(server, self.token, resume={self.room_id: self.place}) as connection:
                    await self._hear(connection, until)
            self.endings += 1
            await asyncio.sleep(0.02)

    async def _hear(self, connection: ClientConnection, until: asyncio.Event) -> None:
        frames = 0
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                self._take(orjson.loads(await asyncio.wait_for(connection.recv(), 0.2)))
            frames += 1
            if self.leaves_early and frames % 40 == 0:
                return

    def _take(self, frame: dict[str, Any]) -> None:
        assert frame["op"] != "resync", frame
        if frame["op"] != "events" or frame["d"]["room_id"] != self.room_id:
            return
        spans = [number for first, last in frame["d"]["skipped"] for number in range(first, last + 1)]
        for event in frame["d"]["events"]:
            if event["type"] == "message.created":
                self.nonces.append(event["d"]["nonce"])
                self.ids.append(int(event["d"]["id"]))
        told = sorted(spans + [event["seq"] for event in frame["d"]["events"]])
        self.numbers += told
        self.place = max([self.place, *told])


@dataclass
class GatewaySender:
    """Sends over the gateway with several messages on their way, until the server is gone."""

    number: int
    place: dict[str, str]
    token: str
    ledger: Ledger

    async def send_until_killed(self, server: KilledServer, cycle: int) -> None:
        with contextlib.suppress(*GONE):
            async with connected(server, self.token) as connection:
                space = asyncio.Semaphore(IN_FLIGHT)
                answers = asyncio.create_task(self._take_answers(connection, space))
                try:
                    for at in range(1_000_000):
                        await space.acquire()
                        if answers.done():
                            break
                        await self._send(connection, f"{cycle}-{self.number}-{at}")
                finally:
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)

    async def _send(self, connection: ClientConnection, nonce: str) -> None:
        self.ledger.sent[nonce] = content = f"message {nonce}"
        said = {"op": "send", "ref": nonce, "d": {**self.place, "content": content, "nonce": nonce}}
        await connection.send(orjson.dumps(said).decode())

    async def _take_answers(self, connection: ClientConnection, space: asyncio.Semaphore) -> None:
        try:
            async for text in connection:
                frame = orjson.loads(text)
                if frame["op"] == "ok":
                    self.ledger.acked[frame["ref"]] = int(frame["d"]["id"])
                    self.ledger.order.setdefault(self.number, []).append(frame["ref"])
                    space.release()
                assert frame["op"] != "error", frame
        finally:
            space.release()


@pytest.mark.crash
async def test_subscribers_hear_every_acknowledged_send_once(tmp_path: Path) -> None:
    """After every kill each subscriber that resumes has all that was acknowledged, once, in order, without a gap."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    server, ledger = KilledServer(tmp_path), Ledger()
    server.settings.write_text(
        server.settings.read_text() + "[limits.rates.frames]\nper_second = 1_000_000\nburst = 1_000_000\n"
    )
    done = asyncio.Event()
    try:
        await server.start()
        async with member_of(server) as (client, token, path):
            room_id, channel_id = path.split("/")[3], path.split("/")[5]
            subscribers = [Subscriber(room_id, token, number == 0) for number in range(SUBSCRIBERS)]
            listening = [asyncio.create_task(one.listen(server, done)) for one in subscribers]
            place = {"room_id": room_id, "channel_id": channel_id}
            plain = [Sender(number, path, token, ledger) for number in range(SENDERS)]
            live = [GatewaySender(SENDERS + number, place, token, ledger) for number in range(SENDERS)]
            for cycle in range(CYCLES):
                await _send_until_killed(server, token, plain, live, cycle, chance)
                await server.start()
            await plain[0].send_again(client, _last(ledger))
            await _await_everything(server, client, path, subscribers)
            done.set()
            await asyncio.gather(*listening)
    finally:
        done.set()
        server.stop()
    for subscriber in subscribers:
        _check(subscriber, ledger, f"seed {seed}")
    assert len(ledger.acked) >= CYCLES * ACKED_PER_CYCLE_MIN
    print(f"{CYCLES} kills, {len(ledger.acked)} acknowledged, {sum(one.endings for one in subscribers)} resumes")


async def _send_until_killed(
    server: KilledServer,
    token: str,
    plain: list[Sender],
    live: list[GatewaySender],
    cycle: int,
    chance: random.Random,
) -> None:
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as client:
        tasks = [asyncio.create_task(sender.send_until_killed(client, cycle)) for sender in plain]
        tasks += [asyncio.create_task(sender.send_until_killed(server, cycle)) for sender in live]
        await asyncio.sleep(chance.uniform(0.2, 0.7))
        server.kill()
        await asyncio.gather(*tasks)


def _last(ledger: Ledger) -> str:
    """Make up a message that is sent at the very end."""
    ledger.sent["the end"] = "the end"
    return "the end"


async def _await_everything(
    server: KilledServer, client: httpx.AsyncClient, path: str, subscribers: list[Subscriber]
) -> None:
    end = asyncio.get_running_loop().time() + CATCH_UP_SECONDS_MAX
    while not all("the end" in subscriber.nonces for subscriber in subscribers):
        assert asyncio.get_running_loop().time() < end, "a subscriber did not catch up"
        await asyncio.sleep(0.05)


def _check(subscriber: Subscriber, ledger: Ledger, where: str) -> None:
    """Compare what a subscriber heard with what was acknowledged and with itself."""
    assert subscriber.numbers == list(range(1, subscriber.numbers[-1] + 1)), f"{where}: twice, out of order or a gap"
    assert len(set(subscriber.nonces)) == len(subscriber.nonces), f"{where}: a message was told twice"
    assert subscriber.ids == sorted(subscriber.ids), where
    heard = dict(zip(subscriber.nonces, subscriber.ids, strict=True))
    for nonce, message_id in ledger.acked.items():
        assert heard.get(nonce) == message_id, f"{where}: the acknowledged message {nonce} was not told"
    assert heard.keys() <= ledger.sent.keys(), where
    for nonces in ledger.order.values():
        of_sender = [ledger.acked[nonce] for nonce in nonces]
        assert of_sender == sorted(of_sender), where
