"""What the shard's tables do not have, and a segment may: an answer that names where to look, in the same snapshot."""

from collections.abc import Sequence

from ids import MessageId
from shard.access import Channel
from shard.errors import NotFoundError
from shard.segments import Segment


class MovedError(NotFoundError):
    """A message is not in the tables. `segments` may have it; who does not look there hears that it is not there."""

    def __init__(self, channel: Channel, message_id: MessageId, segments: Sequence[Segment]) -> None:
        self.channel = channel
        self.message_id = message_id
        self.segments = segments
        super().__init__("message")
