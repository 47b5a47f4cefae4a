"""Messages and threads."""

from typing import Annotated

from pydantic import StringConstraints

from router.wire.fields import NO_NUL, VISIBLE, Id, Paged, Wire
from shard.messages import CONTENT_LENGTH_MAX, NONCE_LENGTH_MAX


class CreateThread(Wire):
    """A thread, by its title."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), NO_NUL]


class SendMessage(Wire):
    """A message. Repeating a `nonce` returns the message that it made; use a new one for every message."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=CONTENT_LENGTH_MAX), NO_NUL, VISIBLE]
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None
    thread_id: Id | None = None
    reply_to_id: Id | None = None


class HistoryQuery(Paged):
    """A stretch of history: next to at most one of `before`, `after`, `around`; without one, the newest."""

    before: Id | None = None
    after: Id | None = None
    around: Id | None = None
    thread_id: Id | None = None


class SearchQuery(Paged):
    """Words (all must occur), "phrases", beginnings* and -not; `before` goes on from a message id."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=500), NO_NUL]
    channel_id: Id | None = None
    before: Id | None = None
