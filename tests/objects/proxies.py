"""A proxy before a real server that loses, cuts or delays its answers, as networks do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

_ASIDE = b"HTTP/1.1 100 "
"""What a server says before it has taken a body; an answer comes after it."""


@dataclass
class Proxy:
    """Passes everything on, except what its fields say."""

    target: str
    answers_lost: int = 0
    """So many answers are thrown away after the server gave them."""
    answer_bytes_max: int | None = None
    """Answers are cut off behind so many bytes."""
    is_silent: bool = False
    """Nothing is passed on at all, and nothing refused."""
    requests: int = 0
    endpoint: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.requests += 1
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            if self.is_silent:
                await reader.read()
                return
            target = urlsplit(self.target)
            from_server, to_server = await asyncio.open_connection(target.hostname, target.port)
            with contextlib.closing(to_server):
                forth = asyncio.create_task(self._forth(reader, to_server))
                await self._back(from_server, writer)
                forth.cancel()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        given = 0
        while data := await reader.read(65_536):
            if not data.startswith(_ASIDE):
                if self.answers_lost:
                    self.answers_lost -= 1
                    return
                if self.answer_bytes_max is not None:
                    data = data[: max(self.answer_bytes_max - given, 0)]
                given += len(data)
            writer.write(data)
            await writer.drain()
            if self.answer_bytes_max is not None and given >= self.answer_bytes_max:
                return


@contextlib.asynccontextmanager
async def serving(target: str) -> AsyncIterator[Proxy]:
    """Run a proxy on a free port of loopback."""
    proxy = Proxy(target)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await proxy.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
