"""The shape of a room."""

from typing import Literal

from router.wire.fields import Description, Title, Wire
from shard.acts.shaping import ChannelDraft


class CreateChannel(Wire):
    """A channel at the end of the list."""

    name: Title
    type: Literal["text", "voice", "announcement"] = "text"
    description: Description | None = None
    thread_mode: Literal["required", "optional", "disabled"] = "optional"

    def draft(self) -> ChannelDraft:
        return ChannelDraft(self.name, self.type, self.description, self.thread_mode)
