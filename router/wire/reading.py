"""Reading."""

from typing import Literal

from router.wire.fields import Id, Wire


class MarkRead(Wire):
    """How far one has read; without an id everything is read.

    A marker only goes forward, unless `may_go_back` says that this is meant: that marks what follows as unread.
    """

    last_read_id: Id | None = None
    may_go_back: bool = False


class ChooseLevel(Wire):
    """What one wants to be told of: everything, what calls one, or nothing."""

    level: Literal["all", "mentions", "none"]
