"""What operators ask of the fleet of shards."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from router.wire.fields import Id, PageQuery, Wire

LIMIT_BYTES_MAX = 281_474_976_710_656
"""No SQLite database is larger."""


class ShardsQuery(PageQuery):
    """Shards of all levels, or of one."""

    level: Literal["ok", "warn", "critical", "full"] | None = None


class SizesQuery(Wire):
    """How many days of a shard's history."""

    days: Annotated[int, Field(ge=1, le=400)] = 30


class SetLimit(Wire):
    """A shard's own limit in bytes; null for that of the settings."""

    size_limit_bytes: Annotated[int, Field(ge=1_048_576, le=LIMIT_BYTES_MAX)] | None


class ReleaseQuery(Wire):
    """Whether everybody is let in whatever is wrong."""

    force: bool = False


class StartJob(Wire):
    """A job of one kind, upon one room."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
    room_id: Id


class AlertsQuery(PageQuery):
    """All alerts, or with `is_open` those that nobody acknowledged."""

    is_open: bool = False
