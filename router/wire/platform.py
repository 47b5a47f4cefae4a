"""What administrators and moderators of the whole platform do."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from router.wire.fields import NO_NUL, Id, PageQuery, Reason, Wire
from router.wire.moderate import BAN_SECONDS_MAX, Action


class BanUser(Wire):
    """Why somebody is banned from the platform, and for how long; for good without `expires_in_seconds`."""

    reason: Reason
    expires_in_seconds: Annotated[int, Field(ge=60, le=BAN_SECONDS_MAX)] | None = None


class SuspendUser(Wire):
    """Why an account is closed until somebody opens it again."""

    reason: Reason


class AuditQuery(PageQuery):
    """Acts of one actor, of one kind, upon one resource (its type and id), or all that is told of these."""

    actor_id: Id | None = None
    action: Action | None = None
    resource_type: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")] | None = None
    resource_id: Annotated[str, StringConstraints(min_length=1, max_length=64), NO_NUL] | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.resource_type is None) != (self.resource_id is None):
            raise ValueError("resource_type and resource_id go together")
        return self
