"""Client: an iterator of happenings, and a method for each request."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Self

from rookery.client import events
from rookery.client.connection import Connection
from rookery.client.errors import ClosedError, UnreachableError
from rookery.client.events import Happening, Overview, Presence, Sent
from rookery.client.positions import Positions
from rookery.client.requests import FRAMES_PER_SECOND, Requests

NONCE_BYTES: Final = 12
"""Random bytes of a nonce, enough that none occurs twice."""

Ticket = Callable[[], Awaitable[str]]
"""Returns a new ticket for each connection."""


class Client:
    """Receives what happens in the rooms of a user, in order and without a loss, and sends requests.

    Iterating gives what happens; it ends when the client is closed, and raises ClientError when something ended it for
    good. A lost connection is replaced and its rooms are resumed, with Ready and then Resumed for each room.
    """

    def __init__(self, url: str, secret: str | Ticket, places: Mapping[str, int], frames_per_second: float) -> None:
        may_read = asyncio.Event()
        self._secret = secret
        self._presence: dict[str, Any] | None = None
        self._positions = Positions(places, may_read)
        self._requests = Requests(frames_per_second, may_read)
        self._connection = Connection(url, self._identity, self._positions, self._requests, may_read)
        self._running = asyncio.create_task(self._run())

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        *,
        token: str | None = None,
        ticket: Ticket | None = None,
        places: Mapping[str, int] | None = None,
        frames_per_second: float = FRAMES_PER_SECOND,
    ) -> AsyncIterator[Self]:
        """Connect to the server or gateway at `url`, with a token, or with the tickets that `ticket` returns.

        `places` are those of an earlier client (`Client.places`): later events are received. Raises
        UnreachableError and EndedError; later errors are raised by iterating.
        """
        secret = ticket if token is None else token
        if secret is None or None not in (token, ticket):
            raise ValueError("a client needs either a token or a ticket")
        client = cls(url, secret, places or {}, frames_per_second)
        opened = asyncio.create_task(client._connection.opened.wait())
        try:
            await asyncio.wait((opened, client._running), return_when=asyncio.FIRST_COMPLETED)
            if not client._connection.opened.is_set():
                await client._running
            yield client
        finally:
            opened.cancel()
            await client.close()

    async def close(self) -> None:
        """Close the connection; iterating ends, and requests that wait for an answer raise ClosedError."""
        self._end(ClosedError())
        self._running.cancel()
        await asyncio.wait((self._running,))

    async def _run(self) -> None:
        try:
            await self._connection.run()
        except Exception as error:
            self._end(error)
            if not self._connection.opened.is_set():
                raise

    def _end(self, error: Exception) -> None:
        self._positions.end(error)
        self._requests.end(error)

    async def _identity(self) -> dict[str, Any]:
        presence = {} if self._presence is None else {"presence": self._presence}
        if isinstance(self._secret, str):
            return {"token": self._secret, **presence}
        try:
            return {"ticket": await self._secret(), **presence}
        except Exception as error:
            raise UnreachableError(f"There is no ticket: {error!r}.", "See why the callback failed.") from error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Happening:
        try:
            return await self._positions.next()
        except ClosedError:
            raise StopAsyncIteration from None

    @property
    def places(self) -> dict[str, int]:
        """Positions in each room of what was iterated over, the last happening included: to resume from later."""
        return dict(self._positions.taken)

    async def send(
        self,
        room_id: str,
        channel_id: str,
        content: str,
        *,
        thread_id: str | None = None,
        reply_to_id: str | None = None,
        attachment_ids: Sequence[str] = (),
        nonce: str | None = None,
    ) -> Sent:
        """Send a message and return when it is on disk, however often the connection is lost meanwhile.

        It is stored once; to repeat it in a later run of the program, give it a nonce of your own. Raises RequestError.
        """
        request = {
            "room_id": room_id,
            "channel_id": channel_id,
            "content": content,
            "nonce": nonce or secrets.token_urlsafe(NONCE_BYTES),
            "thread_id": thread_id,
            "reply_to_id": reply_to_id,
            "attachment_ids": list(attachment_ids),
        }
        return events.sent(await self._requests.ask("send", request))

    async def typing(self, room_id: str, channel_id: str, *, thread_id: str | None = None) -> None:
        """Show for 8 seconds that the user types; without a connection nothing happens. Raises RequestError."""
        request = {"room_id": room_id, "channel_id": channel_id, "thread_id": thread_id}
        await self._requests.ask("typing", request, repeats=False)

    async def read(
        self,
        room_id: str,
        channel_id: str,
        last_read_id: str | None = None,
        *,
        thread_id: str | None = None,
        may_go_back: bool = False,
    ) -> str:
        """Mark a channel as read up to a message, None for all of it, and return the marker's message id.

        Raises RequestError.
        """
        request = {
            "room_id": room_id,
            "channel_id": channel_id,
            "thread_id": thread_id,
            "last_read_id": last_read_id,
            "may_go_back": may_go_back,
        }
        marker: str = (await self._requests.ask("read", request))["last_read_id"]
        return marker

    async def presence(
        self,
        status: Literal["online", "away", "offline"] = "online",
        *,
        activity: Literal["chatting", "browsing", "idle"] | None = None,
        room_id: str | None = None,
    ) -> None:
        """Report the presence of the user and the room in view, on later connections too. Raises RequestError."""
        self._presence = {"status": status, "activity": activity, "room_id": room_id}
        await self._requests.ask("presence", self._presence, repeats=False)

    async def presences(self, room_id: str, user_ids: Sequence[str] | None = None) -> tuple[Presence, ...]:
        """Return the presences of some users of a room, None for all who are connected. Raises RequestError."""
        request = {"room_id": room_id, "user_ids": None if user_ids is None else list(user_ids)}
        return events.presences(await self._requests.ask("presences", request))

    async def subscribe(self, room_id: str, *, after: int | None = None) -> Overview:
        """Subscribe to a room, from its next event on or from the one behind `after`, and return its overview as of the
        event `last_seq`. Without `after` nothing else changes for a room that is subscribed already. Raises
        RequestError."""
        request = {"room_id": room_id, "overview": True}
        answer = None
        if after is not None:
            # None of its events may be on their way any more when it begins again.
            await self.unsubscribe(room_id)
            self._positions.subscribe(room_id, after)
            answer = await self._requests.ask("subscribe", {**request, "after": after}, repeats=False)
        return events.overview(answer or await self._requests.ask("subscribe", request))

    async def unsubscribe(self, room_id: str) -> None:
        """Unsubscribe from a room, on later connections too. Raises RequestError."""
        self._positions.unsubscribe(room_id)
        await self._requests.ask("unsubscribe", {"room_id": room_id}, repeats=False)
