"""The client as its users see it: an iterator of happenings, and what one can ask for."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Self

from rookery.client import happenings
from rookery.client.errors import ClosedError, UnreachableError
from rookery.client.happenings import Happening, Overview, Presence, Sent
from rookery.client.hearing import Hearing
from rookery.client.lines import Line
from rookery.client.requests import FRAMES_PER_SECOND, Requests

NONCE_BYTES: Final = 12
"""Of randomness in a nonce: nobody makes the same one twice."""

Ticket = Callable[[], Awaitable[str]]
"""Asks for a ticket, for each connection anew."""


class Client:
    """Hears what happens in one's rooms, in order and without a loss, and takes part in it.

    Iterating gives what happens; it ends when the client is closed and raises ClientError when something ended it for
    good. Lost connections are made again and rooms resumed by themselves, with Ready and then Resumed for each room.
    """

    def __init__(self, url: str, secret: str | Ticket, places: Mapping[str, int], frames_per_second: float) -> None:
        go_on = asyncio.Event()
        self._secret = secret
        self._presence: dict[str, Any] | None = None
        self._hearing = Hearing(places, go_on)
        self._requests = Requests(frames_per_second, go_on)
        self._line = Line(url, self._identity, self._hearing, self._requests, go_on)
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
        """Connect to the server or gateway at `url`, as whoever a token is of, or the tickets that `ticket` returns.

        `places` are those of an earlier client (`Client.places`): what came after them is told. Raises UnreachableError
        and EndedError; whatever happens later is told to who iterates.
        """
        secret = ticket if token is None else token
        if secret is None or None not in (token, ticket):
            raise ValueError("a client needs either a token or a ticket")
        client = cls(url, secret, places or {}, frames_per_second)
        opened = asyncio.create_task(client._line.opened.wait())
        try:
            await asyncio.wait((opened, client._running), return_when=asyncio.FIRST_COMPLETED)
            if not client._line.opened.is_set():
                await client._running
            yield client
        finally:
            opened.cancel()
            await client.close()

    async def close(self) -> None:
        """Say goodbye; who iterates gets no more, and who waits for an answer gets ClosedError."""
        self._end(ClosedError())
        self._running.cancel()
        await asyncio.wait((self._running,))

    async def _run(self) -> None:
        try:
            await self._line.run()
        except Exception as error:
            self._end(error)
            if not self._line.opened.is_set():
                raise

    def _end(self, error: Exception) -> None:
        self._hearing.end(error)
        self._requests.end(error)

    async def _identity(self) -> dict[str, Any]:
        told = {} if self._presence is None else {"presence": self._presence}
        if isinstance(self._secret, str):
            return {"token": self._secret, **told}
        try:
            return {"ticket": await self._secret(), **told}
        except Exception as error:
            raise UnreachableError(f"There is no ticket: {error!r}.", "See why the callback failed.") from error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Happening:
        try:
            return await self._hearing.next()
        except ClosedError:
            raise StopAsyncIteration from None

    @property
    def places(self) -> dict[str, int]:
        """How far whoever iterates has come in each room, the happening in hand included: to go on from there later."""
        return dict(self._hearing.places)

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
        asked = {
            "room_id": room_id,
            "channel_id": channel_id,
            "content": content,
            "nonce": nonce or secrets.token_urlsafe(NONCE_BYTES),
            "thread_id": thread_id,
            "reply_to_id": reply_to_id,
            "attachment_ids": list(attachment_ids),
        }
        return happenings.sent(await self._requests.ask("send", asked))

    async def typing(self, room_id: str, channel_id: str, *, thread_id: str | None = None) -> None:
        """Show the others for 8 seconds that one writes; without a connection nothing happens. Raises RequestError."""
        asked = {"room_id": room_id, "channel_id": channel_id, "thread_id": thread_id}
        await self._requests.ask("typing", asked, repeats=False)

    async def read(
        self,
        room_id: str,
        channel_id: str,
        last_read_id: str | None = None,
        *,
        thread_id: str | None = None,
        may_go_back: bool = False,
    ) -> str:
        """Mark a channel as read up to a message, None for all of it, and return where the marker stands.

        Raises RequestError.
        """
        asked = {
            "room_id": room_id,
            "channel_id": channel_id,
            "thread_id": thread_id,
            "last_read_id": last_read_id,
            "may_go_back": may_go_back,
        }
        marker: str = (await self._requests.ask("read", asked))["last_read_id"]
        return marker

    async def presence(
        self,
        status: Literal["online", "away", "offline"] = "online",
        *,
        activity: Literal["chatting", "browsing", "idle"] | None = None,
        room_id: str | None = None,
    ) -> None:
        """Say how present one is, and which room one looks at, on later connections too. Raises RequestError."""
        self._presence = {"status": status, "activity": activity, "room_id": room_id}
        await self._requests.ask("presence", self._presence, repeats=False)

    async def presences(self, room_id: str, user_ids: Sequence[str] | None = None) -> tuple[Presence, ...]:
        """Return how some people of a room are present, None for all who are connected. Raises RequestError."""
        asked = {"room_id": room_id, "user_ids": None if user_ids is None else list(user_ids)}
        return happenings.presences(await self._requests.ask("presences", asked))

    async def subscribe(self, room_id: str, *, after: int | None = None) -> Overview:
        """Hear a room, from its next event on or from the one behind `after`, and return what is in it after the event
        `last_seq`. A room that is heard already is only looked at, unless `after` is given. Raises RequestError."""
        asked = {"room_id": room_id, "overview": True}
        answer = None
        if after is not None:
            # Nothing of it may be on its way any more when it begins anew.
            await self.unsubscribe(room_id)
            self._hearing.begin(room_id, after)
            answer = await self._requests.ask("subscribe", {**asked, "after": after}, repeats=False)
        return happenings.overview(answer or await self._requests.ask("subscribe", asked))

    async def unsubscribe(self, room_id: str) -> None:
        """Hear nothing more of a room, on later connections too. Raises RequestError."""
        self._hearing.leave(room_id)
        await self._requests.ask("unsubscribe", {"room_id": room_id}, repeats=False)
