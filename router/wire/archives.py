"""What operators ask of a room's history."""

from typing import Annotated

from pydantic import Field, field_validator

from router.wire.fields import Id, Reason, Wire
from shard.policies import AGE_DAYS_MIN

DAYS_MAX = 36_500


class ChannelQuery(Wire):
    """One channel; without it the whole room."""

    channel_id: Id | None = None


class SetPolicy(ChannelQuery):
    """After how many days messages move, at least 7 and 0 for never, and after how many they are deleted for good; null
    is what goes for the room, or for all rooms."""

    archive_after_days: Annotated[int, Field(ge=0, le=DAYS_MAX)] | None
    delete_after_days: Annotated[int, Field(ge=1, le=DAYS_MAX)] | None

    @field_validator("archive_after_days")
    @classmethod
    def _not_too_soon(cls, value: int | None) -> int | None:
        if value is not None and 0 < value < AGE_DAYS_MIN:
            raise ValueError(f"0 for never, or at least {AGE_DAYS_MIN}")
        return value


class Hold(ChannelQuery):
    """Why everything is kept."""

    reason: Reason
