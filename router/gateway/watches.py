"""What the listeners of a room see of it, asked of the shard together and remembered until an event changes it."""

from collections.abc import Awaitable, Callable, Collection, Iterable

from ids import UserId
from router.gateway.gathering import Gathering
from shard.acts.watching import Watch
from shard.audiences import Audience


class Watches:
    """Audiences by user; those who see the same share one object. `last` is the newest answer of the shard."""

    def __init__(self, look: Callable[[Collection[UserId]], Awaitable[Watch]]) -> None:
        self._look = look
        self._asked: Gathering[UserId, Watch | None] = Gathering(self._learn)
        self._known: dict[UserId, Audience] = {}
        self._shared: dict[Audience, Audience] = {}
        self._changes = 0
        self.last: Watch | None = None

    def known(self, user_id: UserId) -> Audience | None:
        """Return what somebody sees if that is remembered."""
        return self._known.get(user_id)

    def forget(self, user_id: UserId) -> None:
        """Forget what somebody sees, because it changed."""
        self._changes += 1
        self._known.pop(user_id, None)

    def forget_all(self) -> None:
        """Forget what everybody sees, because it changed."""
        self._changes += 1
        self._known.clear()
        self._shared.clear()

    def leave_out(self, user_id: UserId) -> None:
        """Remember no longer what somebody sees who does not listen any more."""
        self._known.pop(user_id, None)

    async def ask(self, user_ids: Iterable[UserId]) -> Watch | None:
        """Ask the shard what some see, as it is after this call.

        Returns None when something changed while the shard was asked: the answer may be of before, so ask again. Raises
        what reading the shard raises.
        """
        return await self._asked.ask(user_ids)

    async def _learn(self, user_ids: Collection[UserId]) -> Watch | None:
        changes = self._changes
        self.last = watch = await self._look(user_ids)
        if changes != self._changes:
            return None
        for user_id, audience in watch.audiences.items():
            self._known[user_id] = self._shared.setdefault(audience, audience)
        return watch
