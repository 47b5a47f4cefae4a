"""Cache of the audiences of a room's subscribers: read from the shard in batches, kept until an event changes them."""

from collections.abc import Awaitable, Callable, Collection, Iterable

from ids import UserId
from router.gateway.coalescer import Coalescer
from shard.actions.gateway import Watch
from shard.visibility import Audience


class AudienceCache:
    """Cache of audiences by user; users with equal visibility share one object. `last` is the newest read of the
    shard."""

    def __init__(self, read: Callable[[Collection[UserId]], Awaitable[Watch]]) -> None:
        self._read = read
        self._reads: Coalescer[UserId, Watch | None] = Coalescer(self._read_and_keep)
        self._audiences: dict[UserId, Audience] = {}
        self._shared: dict[Audience, Audience] = {}
        self._invalidations = 0
        self.last: Watch | None = None

    def get(self, user_id: UserId) -> Audience | None:
        """Return a user's audience if it is cached."""
        return self._audiences.get(user_id)

    def invalidate(self, user_id: UserId) -> None:
        """Forget a user's audience because it changed; what is being read now is not kept."""
        self._invalidations += 1
        self._audiences.pop(user_id, None)

    def invalidate_all(self) -> None:
        """Forget every audience because they changed, likewise."""
        self._invalidations += 1
        self._audiences.clear()
        self._shared.clear()

    def discard(self, user_id: UserId) -> None:
        """Forget the audience of a user who has unsubscribed."""
        self._audiences.pop(user_id, None)

    async def refresh(self, user_ids: Iterable[UserId]) -> Watch | None:
        """Read the audiences of some users from the shard, as they are after this call.

        Returns None when something was invalidated meanwhile: the answer may be older than that, so read again. Raises
        what reading the shard raises.
        """
        return await self._reads.fetch(user_ids)

    async def _read_and_keep(self, user_ids: Collection[UserId]) -> Watch | None:
        invalidations = self._invalidations
        self.last = watch = await self._read(user_ids)
        if invalidations != self._invalidations:
            return None
        for user_id, audience in watch.audiences.items():
            self._audiences[user_id] = self._shared.setdefault(audience, audience)
        return watch
