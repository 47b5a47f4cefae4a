"""Those who see the same of a room and hear it together: what they are told of a commit is made once for all."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ids import ChannelId, RoomId
from router.gateway import frames
from router.gateway.connections import Connection
from router.gateway.frames import Rendered, Span
from shard.audiences import Audience
from shard.replays import FOR_MODERATORS

CHANNEL_DELETED: Final = "channel.deleted"

Sees = Callable[[Rendered], bool]


@dataclass(slots=True, eq=False)
class Group:
    """Live connections with one audience. `gone` are channels that they saw until the commit that is being told.

    While nothing is theirs to see, `quiet_since` is the first number that they were not told of, else 0: one span tells
    of all of it later, instead of a frame for each hidden commit.
    """

    audience: Audience
    gone: frozenset[ChannelId] = frozenset()
    members: set[Connection] = field(default_factory=set)
    quiet_since: int = 0

    def tell(self, room_id: RoomId, rendered: Sequence[Rendered]) -> int:
        """Tell everybody of the next events, and return how many each was told of."""
        visible, spans = parted(rendered, self._sees)
        if not visible:
            self.quiet_since = self.quiet_since or rendered[0].seq
            return 0
        if self.quiet_since:
            first = spans.pop(0)[1] if spans and spans[0][0] == rendered[0].seq else rendered[0].seq - 1
            spans.insert(0, (self.quiet_since, first))
            self.quiet_since = 0
        self.write(frames.events(room_id, visible, spans))
        return len(visible)

    def write(self, frame: bytes) -> None:
        """Send a frame to everybody."""
        for connection in self.members:
            connection.socket.write(frame)

    def break_silence(self, room_id: RoomId, until: int) -> None:
        """Tell of what was hidden up to a number."""
        if self.quiet_since:
            self.write(frames.events(room_id, (), ((self.quiet_since, until),)))
            self.quiet_since = 0

    def _sees(self, one: Rendered) -> bool:
        if one.channel_id is None:
            return self.audience.is_told_of_bans or one.type not in FOR_MODERATORS
        return one.channel_id in self.audience.seen or (one.channel_id in self.gone and one.type == CHANNEL_DELETED)


def seen_by(audience: Audience, channels: frozenset[ChannelId]) -> Sees:
    """Return what tells which events an audience may be told of, where it hears these channels."""

    def sees(one: Rendered) -> bool:
        if one.channel_id is None:
            return audience.is_told_of_bans or one.type not in FOR_MODERATORS
        return one.channel_id in channels

    return sees


def parted(rendered: Iterable[Rendered], sees: Sees) -> tuple[list[Rendered], list[Span]]:
    """Return the events that are seen, and the spans of those between that are not."""
    visible: list[Rendered] = []
    spans: list[Span] = []
    for one in rendered:
        if sees(one):
            visible.append(one)
        elif spans and spans[-1][1] == one.seq - 1:
            spans[-1] = (spans[-1][0], one.seq)
        else:
            spans.append((one.seq, one.seq))
    return visible, spans
