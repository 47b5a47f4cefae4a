"""kill -9 under load: what was acknowledged is there once, in order, and the server is back at once."""

import os
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.killed_server import (
    KilledServer,
    Ledger,
    Sender,
    examine,
    history,
    load_until_killed,
    member_of,
)

CYCLES = int(os.environ.get("ROOKERY_CRASH_CYCLES", "12"))
SENDERS = 16
ACKED_PER_CYCLE_MIN = 5
"""Fewer would mean that the server was killed while idle, which proves nothing."""


@pytest.mark.crash
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """After every kill each acknowledged message is there once, each sender's in order, and none was invented."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    server, ledger = KilledServer(tmp_path), Ledger()
    try:
        await server.start()
        async with member_of(server) as (client, token, path):
            senders = [Sender(number, path, token, ledger) for number in range(SENDERS)]
            checked_to = "1"
            for cycle in range(CYCLES):
                await load_until_killed(server, senders, cycle, chance)
                await server.start()
                stored = await history(client, path, after=checked_to)
                _check(ledger, stored, f"{cycle}-", seed)
                if stored:
                    checked_to = str(stored[-1]["id"])
            _check(ledger, await history(client, path), "", seed)
            await _settle(client, senders[0], ledger, path)
            examine(server)
    finally:
        server.stop()
    assert len(ledger.acked) >= CYCLES * ACKED_PER_CYCLE_MIN
    print(f"{CYCLES} kills, {len(ledger.acked)} acknowledged, slowest start {max(server.start_seconds):.2f} s")


def _check(ledger: Ledger, stored: list[dict[str, Any]], begins: str, seed: int) -> None:
    """Compare what is stored with the ledger's nonces that begin so: those of one cycle, or all."""
    where = f"seed {seed}, cycle {begins or 'all'}"
    ids = [int(str(message["id"])) for message in stored]
    assert ids == sorted(set(ids)), where
    by_nonce = {str(message["nonce"]): message for message in stored}
    assert len(by_nonce) == len(stored), f"{where}: a message was stored twice"
    acked = {nonce: message_id for nonce, message_id in ledger.acked.items() if nonce.startswith(begins)}
    for nonce, message_id in acked.items():
        assert nonce in by_nonce, f"{where}: the acknowledged message {nonce} is lost"
        assert int(str(by_nonce[nonce]["id"])) == message_id, where
    for nonce, message in by_nonce.items():
        assert message["content"] == ledger.sent[nonce], where
    for number, nonces in ledger.order.items():
        of_sender = [ledger.acked[nonce] for nonce in nonces]
        assert of_sender == sorted(of_sender), f"{where}: messages of sender {number} changed places"


async def _settle(client: httpx.AsyncClient, sender: Sender, ledger: Ledger, path: str) -> None:
    """Repeat whatever nobody acknowledged: a client learns its fate by the nonce, and nothing is doubled."""
    unknown = [nonce for nonce in ledger.sent if nonce not in ledger.acked]
    before = {message["nonce"]: message["id"] for message in await history(client, path)}
    for nonce in unknown:
        message = await sender.send_again(client, nonce)
        assert before.get(nonce, message["id"]) == message["id"]
    stored = await history(client, path)
    assert sorted(str(message["nonce"]) for message in stored) == sorted(ledger.sent)
