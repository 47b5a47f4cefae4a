"""Schemas of files: uploads, links, storage use, and the headers of their content."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from ids import RoomId
from objects.store import SIZE_BYTES_MAX
from objects.store import attachment as saved_as
from router.errors import FieldFault, InvalidError
from router.schemas import messages
from router.schemas.fields import NO_NUL, Bounds, Wire, moment
from router.schemas.messages import AttachmentView
from shard.tables.attachments import FILENAME_LENGTH_MAX, IMAGES, MIME_TYPE_LENGTH_MAX, Announced, Attachment
from shard.tables.messages import NONCE_LENGTH_MAX

MIME_TYPE_PATTERN: Final = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?: *;.*)?$"

_DIRECTING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that change the direction of text, and so can make `gpj.exe` look like `exe.jpg`."""

Headers = tuple[tuple[bytes, bytes], ...]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AnnounceUpload(Wire):
    """Upload to announce, of exactly these bytes. A path before the name and parameters of the type are dropped.

    Repeating a `nonce` returns the upload that it announced; use a new one for every upload."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=FILENAME_LENGTH_MAX), NO_NUL]
    size_bytes: Annotated[int, Field(ge=0, le=SIZE_BYTES_MAX)]
    mime_type: Annotated[
        str, StringConstraints(min_length=3, max_length=MIME_TYPE_LENGTH_MAX, pattern=MIME_TYPE_PATTERN), NO_NUL
    ] = "application/octet-stream"
    sha256: Sha256
    nonce: Annotated[str, StringConstraints(min_length=1, max_length=NONCE_LENGTH_MAX), NO_NUL] | None = None

    def within(self, bounds: Bounds) -> Self:
        """Return it; raises InvalidError for a file above the size limit."""
        if self.size_bytes > bounds.file_bytes_max:
            raise InvalidError([FieldFault("body.size_bytes", f"at most {bounds.file_bytes_max}")])
        return super().within(bounds)

    def announced(self) -> Announced:
        mime_type = self.mime_type.partition(";")[0].strip().lower()
        return Announced(plain_name(self.filename), self.size_bytes, mime_type, self.sha256)


def plain_name(filename: str) -> str:
    """Return a file's name without path, control characters and characters that change the text direction."""
    name = unicodedata.normalize("NFC", filename.replace("\\", "/").rpartition("/")[2])
    name = _DIRECTING.sub("", name)
    name = "".join(sign for sign in name if unicodedata.category(sign) not in ("Cc", "Zl", "Zp", "Cs"))
    return name[:FILENAME_LENGTH_MAX].strip().rstrip(". ") or "file"


class ContentQuery(Wire):
    """Option to show an image in the browser instead of saving it; ignored for other files."""

    inline: bool = False


class SignedQuery(Wire):
    """Signed parameters of an address, exactly as the server issued them. `inline` shows an image instead of saving
    it."""

    type: Annotated[str, StringConstraints(max_length=255), NO_NUL]
    size: Annotated[str, StringConstraints(max_length=20), NO_NUL]
    sha256: Annotated[str, StringConstraints(max_length=64), NO_NUL]
    name: Annotated[str, StringConstraints(max_length=FILENAME_LENGTH_MAX), NO_NUL]
    expires: Annotated[str, StringConstraints(max_length=20), NO_NUL]
    signature: Annotated[str, StringConstraints(max_length=64), NO_NUL]
    inline: bool = False


WARN_PERCENT: Final = 80
"""Percent of a quota from which a person's storage is at `warning`."""
CRITICAL_PERCENT: Final = 95
"""Percent of a quota from which it is at `critical`."""

OPAQUE: Final = "application/octet-stream"
_SERVED: Final = ("audio/", "video/")


class StorageView(TypedDict):
    """Bytes that the caller stores, and the limit. `warning` is `warning` from 80 percent on and `critical` from 95
    percent on."""

    used_bytes: int
    limit_bytes: int
    file_bytes_max: int
    warning: Literal["warning", "critical"] | None


class SendingView(TypedDict):
    """Request that sends the bytes: this method to this address, resolved against the server's, with all of these
    headers."""

    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: datetime


class UploadView(TypedDict):
    """Announced upload, the request that sends its bytes, and the caller's storage use with it."""

    attachment: AttachmentView
    upload: SendingView
    storage: StorageView


class LinkView(TypedDict):
    """Address, resolved against the server's, that returns the file to anyone who has it, until `expires_at`."""

    url: str
    expires_at: datetime


def attachment(room_id: RoomId, row: Attachment) -> AttachmentView:
    """Render an upload or a file."""
    return messages.attachment(
        room_id, row.channel_id, row.id, row.filename, row.size_bytes, row.mime_type, row.width, row.height,
        row.duration_ms,
    )  # fmt: skip


def sending(url: str, headers: Mapping[str, str], expires_at: int) -> SendingView:
    """Render the request that sends the bytes; `expires_at` in milliseconds UTC."""
    return {"method": "PUT", "url": url, "headers": headers, "expires_at": moment(expires_at)}


def link(url: str, expires_at: int) -> LinkView:
    """Render a link; `expires_at` in milliseconds UTC."""
    return {"url": url, "expires_at": moment(expires_at)}


def storage(used_bytes: int, limit_bytes: int, file_bytes_max: int) -> StorageView:
    """Render a user's storage use."""
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
    """Return the media type that a file is served with: its own if browsers cannot execute it."""
    return mime_type if mime_type in IMAGES or mime_type.startswith(_SERVED) else OPAQUE


def headers(filename: str, mime_type: str, *, inline: bool, fresh_seconds: int) -> Headers:
    """Return the headers of a file's content: to be saved, unless it is an image to be shown; never to be executed.

    A browser may keep them for itself, without asking again for `fresh_seconds`; with 0 it asks each time, by the ETag.
    """
    disposition = saved_as(filename)
    if inline and mime_type in IMAGES:
        disposition = disposition.replace("attachment", "inline", 1)
    return (
        (b"content-type", served_type(mime_type).encode()),
        (b"content-disposition", disposition.encode()),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
        (b"accept-ranges", b"bytes"),
        (b"cache-control", b"private, max-age=%d" % fresh_seconds if fresh_seconds > 0 else b"private, no-cache"),
    )


def unchanged(of_file: Headers) -> Headers:
    """Return the headers of a 304 out of those that the file would have (RFC 9110, section 15.4.5)."""
    return tuple((name, value) for name, value in of_file if name in (b"cache-control", b"etag"))
