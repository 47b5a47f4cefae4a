"""Voice."""

from typing import Annotated, cast

from pydantic import Field, StringConstraints

from router.wire.fields import NO_NUL, PageQuery, Reason, Wire
from shard.acts.speaking import RecordFields

RECORDS_MAX = 25
"""A session of history tells up to 500 spans, so its pages are shorter than others."""


class VoiceHistoryQuery(PageQuery):
    """Where the history goes on; a page has at most 25 sessions."""

    limit: Annotated[int, Field(ge=1, le=RECORDS_MAX)] = RECORDS_MAX


class NoteSession(Wire):
    """What to change of a session's record; fields that are left out stay, null empties them."""

    external_session_id: Annotated[str, StringConstraints(min_length=1, max_length=255), NO_NUL] | None = None
    recording_url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$", max_length=2000), NO_NUL] | None = None
    reason: Reason | None = None

    def fields(self) -> RecordFields:
        return cast(RecordFields, self.model_dump(exclude_unset=True, exclude={"reason"}))
