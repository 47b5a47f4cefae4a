"""Schemas of reactions and pins."""

from typing_extensions import TypedDict

from router.schemas.messages import MessageView
from router.schemas.people import UserView


class ReactorPageView(TypedDict):
    """Users who reacted with one emoji, by id. `next_cursor` is null on the last page."""

    user_ids: list[str]
    users: list[UserView]
    next_cursor: str | None


class PinPageView(TypedDict):
    """Pinned messages, newest first, with the users who wrote or are mentioned in them. `next_cursor` is null on the
    last page."""

    messages: list[MessageView]
    users: list[UserView]
    next_cursor: str | None
