"""Direct and group chats, and what a room listens to."""

import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from router.wire.fields import NO_NUL, Id, Reason, Title, Wire

GROUP_ADDED_MAX: Final = 1_000
"""People named in one request; the setting group_members_max allows fewer."""
_MUSIC: Final = {
    "open.spotify.com": re.compile(r"/(?:track|album|playlist|artist|episode|show)/[A-Za-z0-9]{22}"),
    "soundcloud.com": re.compile(r"/[A-Za-z0-9_-]+/(?:sets/)?[A-Za-z0-9_-]+(?:/s-[A-Za-z0-9]+)?"),
}


def _music(text: str) -> str:
    """Return a link to music without what follows a question mark, which tells who shared it."""
    parts = urlsplit(text) if text.isascii() and text.isprintable() else urlsplit("")
    known = _MUSIC.get(parts.netloc)
    if parts.scheme != "https" or known is None or known.fullmatch(parts.path) is None:
        raise ValueError(
            "a link to music is https://open.spotify.com/ and a track, album, playlist, artist, episode or show, or "
            "https://soundcloud.com/ with a person and what is theirs"
        )
    return f"https://{parts.netloc}{parts.path}"


class CreateGroup(Wire):
    """A group of oneself and others."""

    user_ids: Annotated[list[Id], Field(max_length=GROUP_ADDED_MAX)]
    display_name: Title | None = None


class SetMusic(Wire):
    """What a room listens to: a link to Spotify or SoundCloud."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=512), NO_NUL, AfterValidator(_music)]
    reason: Reason | None = None
