"""A server whose shards are full at LIMIT_BYTES, with an administrator, and rounds of the monitor beside it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlite
from monitor.rounds import Round
from rookery import composition
from rookery.server import monitor
from tests.monitor.fleets import place_of
from tests.router.clients import Client, client_of
from tests.router.serving import Running, serving

SEEN_SECONDS = 1.2
"""Another process's change is seen within a second."""


@dataclass(frozen=True, slots=True)
class Site:
    """A server with an administrator and somebody else."""

    server: Running
    nobody: Client
    admin: Client
    user: Client

    def go_round(self) -> Round:
        """Go round beside the server, as the command does, and wait until the server has seen it."""

        async def go() -> Round | None:
            settings = self.server.place.settings()
            async with composition.open_directory(settings) as directory:
                with monitor.rounds(settings, directory) as rounds:
                    return await rounds.run_round()

        done = asyncio.run(go())
        assert done is not None
        time.sleep(SEEN_SECONDS)
        return done


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    """Serve from a folder until the block ends."""
    with serving(place_of(folder)) as server, client_of(server) as nobody:
        admin, user = nobody.register("queen"), nobody.register("pawn")
        directory = sqlite.connect(folder / "data" / "directory.db")
        directory.execute("INSERT INTO permissions VALUES (?, 'admin', NULL, 1)", (int(admin.id),))
        directory.close()
        time.sleep(SEEN_SECONDS)
        yield Site(server, nobody, admin, user)
