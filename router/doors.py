"""From a request's room id to a shard that may be asked, and from user ids to people."""

from collections.abc import Iterable
from typing import Final

from directory.caches import ChatCache, ProfileCache, RoomCache
from directory.errors import RoomNotFoundError
from directory.rooms import RoomAddress
from ids import RoomId, UserId
from router.views import people as views
from router.views.people import UserView
from shard.acts import joining
from shard.errors import ConflictError, NotFoundError, ShardFullError
from shard.pool import ShardPool

FULL: Final = "This room is full, so it is read-only. Deleting goes on; it takes messages again once there is space."
CLOSED: Final = "This room is read-only, because an operator closed it."


class RoomDoor:
    """Knows which rooms there are; who may enter is the shard's business."""

    def __init__(self, rooms: RoomCache, chats: ChatCache, pool: ShardPool) -> None:
        self._rooms = rooms
        self._chats = chats
        self._pool = pool

    async def reach(self, room_id: RoomId) -> RoomAddress:
        """Return a room that may be read; raises the shard's NotFoundError for one that is not there, or not yet: who
        may not see a room hears the same."""
        try:
            address = self._rooms.peek(room_id) or await self._rooms.load(room_id)
        except RoomNotFoundError:
            raise NotFoundError("room") from None
        if address.state == "creating":
            raise NotFoundError("room")
        return address

    async def reach_for_writing(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room that may be written to; raises ShardFullError for one that is closed for writing, and
        NotFoundError for a stranger to one that is private too."""
        address = await self.reach(room_id)
        if address.state == "readonly":
            await self._refuse_strangers(address, user_id, now_ms)
            self.refuse_read_only(address)
        return address

    async def reach_for_freeing(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room for an act that takes something away, or somebody out: what a full room needs most, so only one
        that an operator closed is refused as by `reach_for_writing`."""
        address = await self.reach(room_id)
        if address.state == "readonly" and address.readonly_reason != "full":
            await self._refuse_strangers(address, user_id, now_ms)
            self.refuse_read_only(address)
        return address

    async def _refuse_strangers(self, address: RoomAddress, user_id: UserId, now_ms: int) -> None:
        """Raise NotFoundError to whoever may not know that a room is there."""
        if not address.is_public:
            await self._pool.read(address.room_id, joining.membership, user_id, now_ms=now_ms)

    async def reach_for_talking(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> RoomAddress:
        """Return a room for an act that the others in it notice: to what `reach_for_writing` raises, a direct chat adds
        MessagesRefusedError where the other person takes no messages, and BlockingError where one blocks them."""
        address = await self.reach_for_writing(room_id, user_id, now_ms=now_ms)
        if address.kind == "direct":
            terms = self._chats.peek(room_id) or await self._chats.load(room_id)
            terms.require(user_id)
        return address

    def peek_for_talking(self, room_id: RoomId, user_id: UserId) -> RoomAddress | None:
        """Return what `reach_for_talking` would, if everything that it asks is known here; None says nothing."""
        address = self._rooms.peek(room_id)
        if address is None or address.state != "active":
            return None
        if address.kind == "direct":
            terms = self._chats.peek(room_id)
            if terms is None:
                return None
            terms.require(user_id)
        return address

    async def require_community(self, room_id: RoomId, user_id: UserId, *, now_ms: int) -> None:
        """Raise ConflictError to a member of a group or a direct chat, and NotFoundError to whoever is not in it."""
        address = await self.reach(room_id)
        if address.kind != "community":
            await self._pool.read(room_id, joining.membership, user_id, now_ms=now_ms)
            raise ConflictError("Only communities have this; this is a chat of people who were added by hand.")

    def refuse_read_only(self, address: RoomAddress) -> None:
        """Raise ShardFullError for a room that is closed for writing, with the reason."""
        if address.state == "readonly":
            raise ShardFullError(FULL if address.readonly_reason == "full" else CLOSED)


class People:
    """Paints user ids."""

    def __init__(self, profiles: ProfileCache) -> None:
        self._profiles = profiles

    async def of(self, user_ids: Iterable[UserId]) -> list[UserView]:
        """Return the users of these ids, each once; ids that nobody has are left out."""
        profiles = await self._profiles.load(set(user_ids))
        return [views.user(profile) for profile in profiles.values()]
