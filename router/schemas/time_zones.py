"""Time zones by their names in the IANA database, as a user's account and a search have them."""

from datetime import tzinfo
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, StringConstraints

_SHAPE: Final = StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,64}$")


def find(name: str) -> tzinfo | None:
    """Return a time zone, such as Europe/Berlin; None for a name that is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path that leads elsewhere; a folder, such as Europe
        return None


def _known(name: str) -> str:
    if find(name) is None:
        raise ValueError("a time zone of the IANA database, such as Europe/Berlin or UTC")
    return name


TimeZone = Annotated[str, _SHAPE, AfterValidator(_known)]
"""Name of a time zone that exists."""
