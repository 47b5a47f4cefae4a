"""Schemas of groups, blocks and a room's music."""

import re
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from typing_extensions import TypedDict

from directory.blocks import Block
from router.schemas.fields import NO_NUL, Id, Reason, Title, Wire, moment
from router.schemas.people import UserView

GROUP_ADDED_MAX: Final = 1_000
"""People named in one request; the setting group_members_max allows fewer. Beyond it 422."""
_MUSIC: Final = {
    "open.spotify.com": re.compile(r"/(?:track|album|playlist|artist|episode|show)/[A-Za-z0-9]{22}"),
    "soundcloud.com": re.compile(r"/[A-Za-z0-9_-]+/(?:sets/)?[A-Za-z0-9_-]+(?:/s-[A-Za-z0-9]+)?"),
}


def _music(text: str) -> str:
    """Return a link to music without its query string, which identifies the user who shared it."""
    parts = urlsplit(text) if text.isascii() and text.isprintable() else urlsplit("")
    known = _MUSIC.get(parts.netloc)
    if parts.scheme != "https" or known is None or known.fullmatch(parts.path) is None:
        raise ValueError(
            "a link to music is https://open.spotify.com/ and a track, album, playlist, artist, episode or show, or "
            "https://soundcloud.com/ with a person and what is theirs"
        )
    return f"https://{parts.netloc}{parts.path}"


class CreateGroup(Wire):
    """Group to create of the caller and other users."""

    user_ids: Annotated[list[Id], Field(max_length=GROUP_ADDED_MAX)]
    display_name: Title | None = None


class SetMusic(Wire):
    """Music that a room listens to: a link to Spotify or SoundCloud."""

    url: Annotated[
        str,
        StringConstraints(min_length=1, max_length=512),
        NO_NUL,
        AfterValidator(_music),
        Field(examples=["https://soundcloud.com/rookery/twigs"]),
    ]
    reason: Reason | None = None


class BlockView(TypedDict):
    """User whom the caller blocks."""

    user_id: str
    created_at: datetime


class BlockPageView(TypedDict):
    """Users whom the caller blocks, by id. `next_cursor` is null on the last page."""

    blocks: list[BlockView]
    users: list[UserView]
    next_cursor: str | None


def block(row: Block) -> BlockView:
    """Render a block."""
    return {"user_id": str(row.blocked_id), "created_at": moment(row.created_at)}
