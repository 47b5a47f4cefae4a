"""The route table as it is declared, without a server behind it."""

from typing import Any, Final, cast

from router import app
from router.context import AppContext, Options
from router.rate_limits import Rate
from router.routes import Route
from router.schemas.fields import Bounds

OPTIONS: Final = Options(
    title="t",
    version="v",
    own_origin="http://t",
    cross_origins=(),
    registration_is_open=True,
    bounds=Bounds(message_length_max=1, page_size_max=1, file_bytes_max=1),
    search_deadline_seconds=1.0,
    rooms_owned_max=1,
    room_members_max=1,
    group_members_max=1,
    storage_user_bytes_max=1,
    size_limit_bytes=1,
    webhook_rate=Rate(1, 1),
    site_vars={},
    link_secret=bytes(32),
)


class _Absent:
    """A substitute for the parts of endpoints: nothing uses it until an endpoint is called."""

    def __getattr__(self, name: str) -> "_Absent":
        return self


def declared() -> tuple[Route, ...]:
    """Return every route of the server."""
    absent = cast(Any, _Absent())
    parts = dict.fromkeys(AppContext.__dataclass_fields__, absent) | {"options": OPTIONS}
    return app.routes(AppContext(**parts))
