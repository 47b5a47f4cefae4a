"""Rooms and invitations to them."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

from router.wire.fields import NO_NUL, VISIBLE, Description, Id, PageQuery, Reason, Title, Wire

WORDS_MAX: Final = 5
"""Words of a search for communities: each is looked for in each of them."""

RoomName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,49}$")]
ImageUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL]


class CreateRoom(Wire):
    """A community: `name` is its address, `display_name` its title."""

    name: RoomName
    display_name: Title | None = None
    description: Description | None = None
    is_public: bool = False


class UpdateRoom(Wire):
    """What to change of a room; fields that are left out stay. Only communities have a name and can be public."""

    # These can be changed but not emptied, so null is refused. The defaults are never read.
    name: RoomName = Field(default_factory=str)
    display_name: Title = Field(default_factory=str)
    is_public: bool = Field(default_factory=bool)
    description: Description | None = None
    icon_url: ImageUrl | None = None
    banner_url: ImageUrl | None = None
    reason: Reason | None = None


class HandOver(Wire):
    """Who shall own the room."""

    user_id: Id
    reason: Reason | None = None


def _few_words(text: str) -> str:
    if len(text.split()) > WORDS_MAX:
        raise ValueError(f"at most {WORDS_MAX} words")
    return text


Words = Annotated[str, StringConstraints(min_length=1, max_length=100), NO_NUL, VISIBLE, AfterValidator(_few_words)]


class PublicRoomsQuery(PageQuery):
    """With `q`, only communities that have all of its words (5 at most) in their name, display name or description."""

    q: Words | None = None


class CreateInvite(Wire):
    """An invitation; without bounds it works until it is revoked. Whoever it lets in gets the role `role_id`."""

    max_uses: Annotated[int, Field(ge=1, le=100_000)] | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = 604_800
    role_id: Id | None = None
