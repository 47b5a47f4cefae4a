"""Sending of messages, over HTTP and over the gateway: a repeated nonce is answered with its message also where the
room's state, or a block, refuses a new one."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from directory.errors import BlockingError, MessagesRefusedError
from ids import ChannelId, RoomId, UserId
from router.room_access import RoomAccess
from shard.actions.messages import Sent
from shard.errors import ShardFullError
from shard.history.history import History
from shard.tables.messages import Draft

REFUSALS: Final = (ShardFullError, BlockingError, MessagesRefusedError)
"""Errors of `RoomAccess.talkable` that only concern what is new."""


@dataclass(slots=True)
class Sends:
    """Sending, and its dependencies."""

    rooms: RoomAccess
    history: History

    async def send(self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int) -> Sent:
        """Send a message. Raises the errors of `RoomAccess.talkable` and of `History.send_message`."""
        if self.rooms.peek_talkable(room_id, user_id) is None:
            return await self._reach_and_send(room_id, user_id, channel_id, draft, now_ms=now_ms)
        return await self.history.send_message(room_id, user_id, channel_id, draft, now_ms=now_ms)

    def begin(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int
    ) -> Awaitable[Sent]:
        """Send a message as `send` does; where the room's state is cached and permits it, it is in its queue when this
        returns."""
        if self.rooms.peek_talkable(room_id, user_id) is None:
            return self._reach_and_send(room_id, user_id, channel_id, draft, now_ms=now_ms)
        return self.history.begin_message(room_id, user_id, channel_id, draft, now_ms=now_ms)

    async def _reach_and_send(
        self, room_id: RoomId, user_id: UserId, channel_id: ChannelId, draft: Draft, *, now_ms: int
    ) -> Sent:
        try:
            await self.rooms.talkable(room_id, user_id, now_ms=now_ms)
        except REFUSALS:
            known = await self.history.find_sent(room_id, user_id, channel_id, draft.nonce, now_ms=now_ms)
            if known is None:
                raise
            return Sent(known, is_new=False)
        return await self.history.send_message(room_id, user_id, channel_id, draft, now_ms=now_ms)
