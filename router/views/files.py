"""Files: what is told of them, and the headers under which their bytes are answered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from typing_extensions import TypedDict

from ids import RoomId
from objects.store import attachment as saved_as
from router.views import talk
from router.views.talk import AttachmentView
from router.views.values import moment
from shard.attachments import IMAGES, Attachment

WARN_PERCENT: Final = 80
CRITICAL_PERCENT: Final = 95

_OPAQUE: Final = "application/octet-stream"
_SERVED: Final = ("audio/", "video/")


class StorageView(TypedDict):
    """How many bytes the caller stores, of how many; `warning` from 80 percent on, `critical` from 95 percent on."""

    used_bytes: int
    limit_bytes: int
    file_bytes_max: int
    warning: Literal["warning", "critical"] | None


class SendingView(TypedDict):
    """How to send the bytes: this method to this address, resolved against the server's, with all of these headers."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


class UploadView(TypedDict):
    """An upload that was announced, how to send it, and what the caller stores with it."""

    attachment: AttachmentView
    upload: SendingView
    storage: StorageView


class LinkView(TypedDict):
    """An address, resolved against the server's, that answers with the file to whoever has it, until `expires_at`."""

    url: str
    expires_at: datetime


def attachment(room_id: RoomId, row: Attachment) -> AttachmentView:
    """Render an upload or a file."""
    return talk.attachment(
        room_id, row.channel_id, row.id, row.filename, row.size_bytes, row.mime_type, row.width, row.height,
        row.duration_ms,
    )  # fmt: skip


def sending(url: str, headers: Mapping[str, str], expires_at: int) -> SendingView:
    """Render how to send bytes; `expires_at` in milliseconds UTC."""
    return {"method": "PUT", "url": url, "headers": headers, "expires_at": moment(expires_at)}


def link(url: str, expires_at: int) -> LinkView:
    """Render a link; `expires_at` in milliseconds UTC."""
    return {"url": url, "expires_at": moment(expires_at)}


def storage(used_bytes: int, limit_bytes: int, file_bytes_max: int) -> StorageView:
    """Render what somebody stores."""
    return {
        "used_bytes": used_bytes,
        "limit_bytes": limit_bytes,
        "file_bytes_max": file_bytes_max,
        "warning": _warning(used_bytes, limit_bytes),
    }


def _warning(used_bytes: int, limit_bytes: int) -> Literal["warning", "critical"] | None:
    if used_bytes * 100 >= limit_bytes * CRITICAL_PERCENT:
        return "critical"
    return "warning" if used_bytes * 100 >= limit_bytes * WARN_PERCENT else None


def served_type(mime_type: str) -> str:
    """Return the type under which a file is answered: its own where a browser cannot run it."""
    return mime_type if mime_type in IMAGES or mime_type.startswith(_SERVED) else _OPAQUE


def headers(filename: str, mime_type: str, etag: bytes, *, inline: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a file's bytes: to be saved, unless it is an image that shall be shown; never to be run."""
    disposition = saved_as(filename)
    if inline and mime_type in IMAGES:
        disposition = disposition.replace("attachment", "inline", 1)
    return (
        (b"content-type", served_type(mime_type).encode()),
        (b"content-disposition", disposition.encode()),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag),
    )
