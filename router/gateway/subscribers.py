"""Subscribers of one room, by user and by the state of their subscriptions."""

from collections.abc import Collection, Mapping
from typing import Final

from ids import RoomId, UserId
from router.gateway.audience_cache import AudienceCache
from router.gateway.audience_group import AudienceGroup
from router.gateway.connection import Connection
from router.gateway.subscription import CatchingUp, Idle, Live, Subscription

State = Subscription | None
_NEXT: Final[Mapping[type[State], tuple[type[State], ...]]] = {
    type(None): (Idle, CatchingUp),
    Idle: (CatchingUp, type(None)),
    CatchingUp: (Live, type(None)),
    Live: (Live, type(None)),
}


class Subscribers:
    """Connections that are subscribed to a room.

    Each state is stored in the connection's `subscriptions`; the index of the idle ones and the groups of the live ones
    change with it, in `_move` alone.
    """

    def __init__(self, room_id: RoomId, audiences: AudienceCache) -> None:
        self._room_id = room_id
        self._audiences = audiences
        self._by_user: dict[UserId, set[Connection]] = {}
        self._idle: set[Connection] = set()
        self._groups: dict[Live, AudienceGroup] = {}

    @property
    def users(self) -> Collection[UserId]:
        """Users with a subscribed connection."""
        return self._by_user.keys()

    @property
    def idle(self) -> Collection[Connection]:
        """Connections whose subscription is idle."""
        return self._idle

    @property
    def groups(self) -> Collection[AudienceGroup]:
        """Live connections by state; none of the groups is empty."""
        return self._groups.values()

    def live_users(self) -> set[UserId]:
        """Return the users with a live connection."""
        return {connection.user_id for group in self._groups.values() for connection in group.members}

    def of_user(self, user_id: UserId) -> Collection[Connection]:
        """Return the subscribed connections of a user."""
        return self._by_user.get(user_id, ())

    def has(self, connection: Connection, state: Subscription) -> bool:
        """Tell whether this is still the state of a connection: after an await it must be checked again."""
        return connection.subscriptions.get(self._room_id) is state

    def add(self, connection: Connection, state: Idle | CatchingUp) -> None:
        """Subscribe a connection that is not subscribed."""
        assert self._room_id not in connection.subscriptions, "a connection subscribes once"
        self._move(connection, state)
        self._by_user.setdefault(connection.user_id, set()).add(connection)

    def remove(self, connection: Connection) -> None:
        """End the subscription of a connection, if it has one."""
        if self._room_id not in connection.subscriptions:
            return
        self._move(connection, None)
        own = self._by_user[connection.user_id]
        own.remove(connection)
        if not own:
            del self._by_user[connection.user_id]
            self._audiences.discard(connection.user_id)

    def remove_user(self, user_id: UserId, reason: str) -> None:
        """End the subscriptions of a user who lost access, for a reason that `removed` will have."""
        for connection in list(self.of_user(user_id)):
            self.remove(connection)
            connection.remove(self._room_id, reason)

    def wake(self, connection: Connection, published_from: int) -> CatchingUp:
        """Have an idle connection catch up; events up to `published_from` are history to it, whatever end of the log
        `ready` reported."""
        idle = connection.subscriptions[self._room_id]
        assert isinstance(idle, Idle)
        state = CatchingUp(idle.position, max(published_from, idle.position))
        self._move(connection, state)
        return state

    def make_live(self, connection: Connection, state: Live) -> None:
        """Have a connection that has caught up join a group, or a live one change to it."""
        self._move(connection, state)

    def _move(self, connection: Connection, state: State) -> None:
        before = connection.subscriptions.get(self._room_id)
        assert type(state) in _NEXT[type(before)], f"a subscription never goes from {before} to {state}"
        if isinstance(before, Idle):
            self._idle.remove(connection)
        elif isinstance(before, Live):
            members = self._groups[before].members
            members.remove(connection)
            if not members:
                del self._groups[before]
        if state is None:
            del connection.subscriptions[self._room_id]
            return
        connection.subscriptions[self._room_id] = state
        if isinstance(state, Idle):
            self._idle.add(connection)
        elif isinstance(state, Live):
            group = self._groups.get(state)
            if group is None:
                group = self._groups[state] = AudienceGroup(state)
            group.members.add(connection)
