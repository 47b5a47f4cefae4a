"""Live connections of a room with equal visibility: each commit is encoded once for all of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ids import ChannelId, RoomId
from router.gateway import frames
from router.gateway.connection import Connection
from router.gateway.frames import Rendered, Span
from router.gateway.subscription import Live
from shard.event_types import FOR_MODERATORS, EventType
from shard.visibility import Audience

IsVisible = Callable[[Rendered], bool]


@dataclass(slots=True, eq=False)
class AudienceGroup:
    """Live connections in one state: with the same audience, and the same channels just revoked.

    While no event is visible to them, `skipped_since` is the first number that they were not sent, else 0: one span
    covers all of them later, instead of a frame for each hidden commit.
    """

    state: Live
    members: set[Connection] = field(default_factory=set)
    skipped_since: int = 0

    def publish(self, room_id: RoomId, rendered: Sequence[Rendered]) -> int:
        """Send the next events to every member, and return how many of them are visible."""
        visible, spans = split(rendered, self._is_visible)
        if not visible:
            self.skipped_since = self.skipped_since or rendered[0].seq
            return 0
        if self.skipped_since:
            first = spans.pop(0)[1] if spans and spans[0][0] == rendered[0].seq else rendered[0].seq - 1
            spans.insert(0, (self.skipped_since, first))
            self.skipped_since = 0
        self.write(frames.events(room_id, visible, spans))
        return len(visible)

    def write(self, frame: bytes) -> None:
        """Send a frame to every member."""
        for connection in self.members:
            connection.socket.write(frame)

    def flush_skipped(self, room_id: RoomId, until: int) -> None:
        """Send the span of hidden events up to a number, if there is one."""
        if self.skipped_since:
            self.write(frames.events(room_id, (), ((self.skipped_since, until),)))
            self.skipped_since = 0

    def _is_visible(self, one: Rendered) -> bool:
        if one.channel_id is None:
            return self.state.audience.is_told_of_bans or one.type not in FOR_MODERATORS
        if one.channel_id in self.state.audience.seen:
            return True
        return one.channel_id in self.state.revoked and one.type == EventType.CHANNEL_DELETED


def visible_to(audience: Audience, channels: frozenset[ChannelId]) -> IsVisible:
    """Return the test for events that an audience may be sent, of these channels."""

    def is_visible(one: Rendered) -> bool:
        if one.channel_id is None:
            return audience.is_told_of_bans or one.type not in FOR_MODERATORS
        return one.channel_id in channels

    return is_visible


def split(rendered: Iterable[Rendered], is_visible: IsVisible) -> tuple[list[Rendered], list[Span]]:
    """Return the visible events, and the spans of hidden ones between them."""
    visible: list[Rendered] = []
    spans: list[Span] = []
    for one in rendered:
        if is_visible(one):
            visible.append(one)
        elif spans and spans[-1][1] == one.seq - 1:
            spans[-1] = (spans[-1][0], one.seq)
        else:
            spans.append((one.seq, one.seq))
    return visible, spans
