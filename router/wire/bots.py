"""Bots and their tokens."""

from typing import Annotated

from pydantic import Field, StringConstraints, WithJsonSchema

from router.scopes import Scope
from router.wire.fields import NO_NUL, Name, Wire

ScopeName = Annotated[Scope, WithJsonSchema({"type": "string", "enum": [*Scope]})]


class CreateBot(Wire):
    """A bot of one's own. A public one can be added to rooms by everybody who manages one."""

    username: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{3,30}$")]
    display_name: Name | None = None
    is_public: bool = False


class UpdateBot(Wire):
    """What to change of a bot; fields that are left out stay."""

    display_name: Name | None = None
    bio: Annotated[str, StringConstraints(max_length=1000), NO_NUL] | None = None
    avatar_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    # Can be changed but not emptied, so null is refused. The default is never read.
    is_public: bool = Field(default_factory=bool)


class IssueToken(Wire):
    """A token that may do what its scopes say; without a time it works until it is revoked."""

    name: Name
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))]
    expires_in_seconds: Annotated[int, Field(ge=60, le=315_360_000)] | None = None
