"""Threads."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from router.wire.fields import NO_NUL, PageQuery, Reason, Wire
from shard.acts.branching import ThreadChange

ThreadTitle = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL]


class CreateThread(Wire):
    """A thread, by its title."""

    title: ThreadTitle


class ChangeThread(Wire):
    """What to change of a thread; fields that are left out stay."""

    # Every thread has these: they can be changed but not emptied, so null is refused. The defaults are never read.
    title: ThreadTitle = Field(default_factory=str)
    is_locked: bool = Field(default_factory=bool)
    is_archived: bool = Field(default_factory=bool)
    reason: Reason | None = None

    def change(self) -> ThreadChange:
        return ThreadChange(**self.model_dump(include=self.model_fields_set - {"reason"}))


class ThreadsQuery(PageQuery):
    """Which threads of a channel, last active first.

    With `title`, those whose titles begin so, by title, in one page: A to Z are the same in either case.
    """

    state: Literal["active", "archived", "all"] = "all"
    title: Annotated[str, StringConstraints(min_length=1, max_length=200), NO_NUL] | None = None
