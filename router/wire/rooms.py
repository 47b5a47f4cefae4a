"""Rooms and invitations to them."""

from typing import Annotated

from pydantic import Field, StringConstraints

from router.wire.fields import Description, Title, Wire


class CreateRoom(Wire):
    """A community: `name` is its address, `display_name` its title."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,49}$")]
    display_name: Title | None = None
    description: Description | None = None
    is_public: bool = False


class CreateInvite(Wire):
    """An invitation; without bounds it works until it is revoked."""

    max_uses: Annotated[int, Field(ge=1, le=100_000)] | None = None
    expires_in_seconds: Annotated[int, Field(ge=60, le=31_536_000)] | None = 604_800
