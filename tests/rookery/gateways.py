"""Servers that a client connects to in tests: a relay that loses connections, and a scripted gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from rookery.client import Client, Happening

PATIENCE_SECONDS = 60.0


async def hear(
    client: Client, is_last: Callable[[Happening], bool], *, seconds: float = PATIENCE_SECONDS
) -> list[Happening]:
    """Return what happens up to what a test waits for; fails when that does not come."""
    heard = []
    async with asyncio.timeout(seconds):
        async for happening in client:
            heard.append(happening)
            if is_last(happening):
                break
    return heard


async def until(is_so: Callable[[], Any]) -> None:
    """Wait for something that happens elsewhere."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Relay:
    """Passes bytes on to a server and back. While it `mutes`, what the server says is lost."""

    port: int = 0
    mutes: bool = False
    links: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Lose every connection, as a network does."""
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not (is_answer and self.mutes):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    """Listen at another port than the server's."""
    relay = Relay()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay.links += 1
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", port)
        relay._writers += [writer, to_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(relay._pass_on(reader, to_writer, is_answer=False))
            group.create_task(relay._pass_on(to_reader, writer, is_answer=True))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.cut()
        await server.wait_closed()


@dataclass(slots=True)
class Guest:
    """A client as a played gateway sees it."""

    socket: ServerConnection
    number: int
    """Of its connection, from 1."""
    identified: Mapping[str, Any] = field(default_factory=dict)

    async def greet(self, rooms: Mapping[str, int], *, heartbeat_ms: int = 30_000) -> None:
        """Say hello, hear who it is, and tell it of its rooms and their last numbers."""
        await self.tell("hello", {"heartbeat_ms": heartbeat_ms})
        self.identified = (await self.next())["d"]
        told = [{"id": room_id, "last_seq": last_seq} for room_id, last_seq in rooms.items()]
        await self.tell("ready", {"user": {"id": "1"}, "rooms": told, "overviews": [], "users": []})

    async def tell(self, op: str, d: Any, **more: Any) -> None:
        await self.socket.send(orjson.dumps({"op": op, "d": d, **more}), text=True)

    async def tell_events(self, room_id: str, *seqs: int, skipped: tuple[tuple[int, int], ...] = ()) -> None:
        """Tell of a commit with events of these numbers."""
        at = "2026-11-20T14:32:31.163000Z"
        plain: dict[str, Any] = {"type": "member.renamed", "at": at, "channel_id": None, "actor_id": "1", "d": {}}
        events = [{"seq": seq, **plain} for seq in seqs]
        await self.tell("events", {"room_id": room_id, "events": events, "skipped": skipped})

    async def next(self) -> Any:
        return orjson.loads(await self.socket.recv())

    async def stay(self) -> None:
        """Listen until the client is gone."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()


@asynccontextmanager
async def playing(play: Callable[[Guest], Awaitable[None]]) -> AsyncIterator[str]:
    """Play a gateway for every client that connects, and yield its address."""
    numbers = iter(range(1, 1_000))

    async def welcome(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await play(Guest(socket, next(numbers)))

    async with serve(welcome, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/gateway"
