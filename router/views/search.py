"""Found messages, and why they were found."""

from typing_extensions import TypedDict

from router.views.people import UserView
from router.views.talk import MessageView
from shard.rows import Message
from shard.snippets import Snippet


class SnippetView(TypedDict):
    """A piece of a found message, up to 200 characters and … where it goes on; `matches` are [start, length] in
    characters (code points) of `text`."""

    message_id: str
    text: str
    matches: list[list[int]]


class SearchView(TypedDict):
    """Found messages, each with its snippet, and everyone who wrote them; `next_cursor` is null at the end.

    `is_cut` says that not all was looked at: with `next_cursor` the search goes on.
    """

    messages: list[MessageView]
    snippets: list[SnippetView]
    users: list[UserView]
    next_cursor: str | None
    is_cut: bool


def snippet(message: Message, piece: Snippet) -> SnippetView:
    """Render the piece of a message that shows why it was found."""
    return {
        "message_id": str(message.id),
        "text": piece.text,
        "matches": [[start, length] for start, length in piece.matches],
    }
