"""Access to rooms: from a room's id to the room, scoped to one caller and one moment, if its state permits the use."""

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Concatenate, Final, TypeVar

from directory.caches import ChatCache, RoomCache
from directory.errors import RoomNotFoundError
from directory.rooms import RoomAddress
from ids import RoomId, UserId
from shard.actions import members
from shard.engine.connections import Reader, Writer
from shard.engine.pool import ShardPool
from shard.errors import ConflictError, NotFoundError, ShardFullError

T = TypeVar("T")

FULL: Final = "This room is full, so it is read-only. Deleting goes on; it takes messages again once there is space."
DISK: Final = "The server's disk is full. Reading and deleting go on; messages are taken again once there is space."
CLOSED: Final = "This room is read-only, because an operator closed it."


class Need(Enum):
    """Use of a room, which the room's state permits or not. For its kind a route has `community_only`."""

    READ = auto()
    WRITE = auto()
    FREE = auto()
    """Content is deleted or a member removed: permitted in a full room, which needs it most."""
    TALK = auto()
    """The other members notice it."""
    END = auto()
    """The room is deleted, which no state of it forbids."""


class ScopedRoom:
    """Room for one caller at one moment: room, caller and time are passed to every action on it.

    tests/mypy_scoped_rooms.py checks the remaining arguments against the action's own.
    """

    __slots__ = ("_now_ms", "_pool", "_user_id", "address", "room_id")

    def __init__(self, address: RoomAddress, pool: ShardPool, user_id: UserId, now_ms: int) -> None:
        self.address = address
        self.room_id = address.room_id
        self._pool = pool
        self._user_id = user_id
        self._now_ms = now_ms

    def read(self, act: Callable[Concatenate[Reader, UserId, ...], T], *arguments: Any, **options: Any) -> Awaitable[T]:
        """Run `ShardPool.read`."""
        return self._pool.read(self.room_id, act, self._user_id, *arguments, now_ms=self._now_ms, **options)

    def write(
        self, act: Callable[Concatenate[Writer, UserId, ...], T], *arguments: Any, **options: Any
    ) -> Awaitable[T]:
        """Run `ShardPool.write`."""
        return self._pool.write(self.room_id, act, self._user_id, *arguments, now_ms=self._now_ms, **options)

    def ask(
        self, method: Callable[Concatenate[RoomId, UserId, ...], Awaitable[T]], *arguments: Any, **options: Any
    ) -> Awaitable[T]:
        """Call a method of History or of Searches, which also read the room's archived segments."""
        return method(self.room_id, self._user_id, *arguments, now_ms=self._now_ms, **options)


class RoomAccess:
    """Registry of rooms, and the uses that a room's state refuses; the shard decides who may enter."""

    def __init__(self, rooms: RoomCache, chats: ChatCache, pool: ShardPool) -> None:
        self._rooms = rooms
        self._chats = chats
        self._pool = pool

    async def enter(
        self, room_id: RoomId, user_id: UserId, need: Need, *, community_only: bool = False, now_ms: int
    ) -> ScopedRoom:
        """Return a room, scoped to the caller; raises the errors of `readable` and of the need's own method.

        With `community_only`, raises ConflictError to a member of a group or a direct chat, and NotFoundError to
        everyone else.
        """
        address = self._rooms.peek(room_id)
        # An active community refuses nothing by its state, and most requests are for one.
        is_full = self._pool.space.is_disk_full
        if address is None or address.state != "active" or address.kind != "community" or is_full:
            if community_only:
                await self._require_community(room_id, user_id, now_ms)
            match need:
                case Need.READ | Need.END:
                    address = await self.readable(room_id)
                case Need.WRITE:
                    address = await self.writable(room_id, user_id, now_ms=now_ms)
                case Need.FREE:
                    address = await self.deletable(room_id, user_id, now_ms=now_ms)
                case Need.TALK:
                    address = await self.talkable(room_id, user_id, now_ms=now_ms)
        return ScopedRoom(address, self._pool, user_id, now_ms)

    async def readable(self, room_id: RoomId) -> RoomAddress:
        """Return a room that may be read; raises the shard's NotFoundError for one that does not exist or is still
        being created, as for a room that the caller may not see."""
        try:
            address = self._rooms.peek(room_id) or await self._rooms.load(room_id)
        except RoomNotFoundError:
            raise NotFoundError("room") from None
        if address.state == "creating":
            raise NotFoundError("room")
        return address

    async def writable(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room that may be written to; raises ShardFullError for one that is closed for writing, and
        NotFoundError for a stranger to a private one too."""
        address = await self.readable(room_id)
        if address.state == "readonly" or self._pool.space.is_disk_full:
            await self._refuse_strangers(address, user_id, now_ms)
            self.refuse_read_only(address)
        return address

    async def deletable(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room for an act that deletes content or removes a member. A full room needs that most, so only one
        that an operator closed is refused, as by `writable`."""
        address = await self.readable(room_id)
        if address.state == "readonly" and address.readonly_reason != "full":
            await self._refuse_strangers(address, user_id, now_ms)
            self.refuse_read_only(address)
        return address

    async def _refuse_strangers(self, address: RoomAddress, user_id: UserId, now_ms: int) -> None:
        """Raise NotFoundError to a caller who may not know that a room exists."""
        if not address.is_public:
            await self._pool.read(address.room_id, members.membership, user_id, now_ms=now_ms)

    async def talkable(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room for an act that the other members notice. Beside the errors of `writable`, a direct chat raises
        MessagesRefusedError if the other person accepts no messages, and BlockingError if one blocks the other."""
        address = await self.writable(room_id, user_id, now_ms=now_ms)
        if address.kind == "direct":
            terms = self._chats.peek(room_id) or await self._chats.load(room_id)
            terms.require(user_id)
        return address

    def peek_talkable(self, room_id: RoomId, user_id: UserId) -> RoomAddress | None:
        """Return the result of `talkable`, if everything that it needs is cached; None means unknown, or refused."""
        address = self._rooms.peek(room_id)
        if address is None or address.state != "active" or self._pool.space.is_disk_full:
            return None
        if address.kind == "direct":
            terms = self._chats.peek(room_id)
            if terms is None or not terms.permit(user_id):
                return None
        return address

    async def _require_community(self, room_id: RoomId, user_id: UserId, now_ms: int) -> None:
        address = await self.readable(room_id)
        if address.kind != "community":
            await self._pool.read(room_id, members.membership, user_id, now_ms=now_ms)
            raise ConflictError("Only communities have this; this is a chat of people who were added by hand.")

    def refuse_read_only(self, address: RoomAddress) -> None:
        """Raise ShardFullError for a room that is closed for writing, or on a full disk, with the reason."""
        if address.state == "readonly":
            raise ShardFullError(FULL if address.readonly_reason == "full" else CLOSED)
        if self._pool.space.is_disk_full:
            raise ShardFullError(DISK)
