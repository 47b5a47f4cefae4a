"""Reactions and pins."""

from typing_extensions import TypedDict

from router.views.people import UserView
from router.views.talk import MessageView


class ReactorPageView(TypedDict):
    """Who reacted with one emoji, by id; `next_cursor` is null on the last page."""

    user_ids: list[str]
    users: list[UserView]
    next_cursor: str | None


class PinPageView(TypedDict):
    """Pinned messages, newest first, with everyone who wrote them; `next_cursor` is null on the last page."""

    messages: list[MessageView]
    users: list[UserView]
    next_cursor: str | None
