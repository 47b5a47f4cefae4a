"""Files: what is announced before it is uploaded, and the signed paths of a store on disk."""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from objects.store import SIZE_BYTES_MAX
from router.wire.fields import NO_NUL, Wire
from shard.attachments import FILENAME_LENGTH_MAX, MIME_TYPE_LENGTH_MAX, Announced

MIME_TYPE_PATTERN: Final = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?: *;.*)?$"

_DIRECTING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that change in which direction a text is read, and so can make `gpj.exe` look like `exe.jpg`."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AnnounceUpload(Wire):
    """A file that one will upload: exactly these bytes. A path before the name is left out, and so are parameters of
    the type."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=FILENAME_LENGTH_MAX), NO_NUL]
    size_bytes: Annotated[int, Field(ge=1, le=SIZE_BYTES_MAX)]
    mime_type: Annotated[
        str, StringConstraints(min_length=3, max_length=MIME_TYPE_LENGTH_MAX, pattern=MIME_TYPE_PATTERN), NO_NUL
    ] = "application/octet-stream"
    sha256: Sha256

    def announced(self) -> Announced:
        mime_type = self.mime_type.partition(";")[0].strip().lower()
        return Announced(plain_name(self.filename), self.size_bytes, mime_type, self.sha256)


def plain_name(filename: str) -> str:
    """Return a file's name without path, control characters and what turns the direction of reading."""
    name = unicodedata.normalize("NFC", filename.replace("\\", "/").rpartition("/")[2])
    name = _DIRECTING.sub("", name)
    name = "".join(sign for sign in name if unicodedata.category(sign) not in ("Cc", "Zl", "Zp", "Cs"))
    return name[:FILENAME_LENGTH_MAX].strip().rstrip(". ") or "file"


class ContentQuery(Wire):
    """Whether a browser may show the file instead of saving it: images only."""

    inline: bool = False


class SignedQuery(Wire):
    """What the server signed, as it gave it; `inline` as elsewhere."""

    type: Annotated[str, StringConstraints(max_length=255), NO_NUL]
    size: Annotated[str, StringConstraints(max_length=20), NO_NUL]
    sha256: Annotated[str, StringConstraints(max_length=64), NO_NUL]
    name: Annotated[str, StringConstraints(max_length=FILENAME_LENGTH_MAX), NO_NUL]
    expires: Annotated[str, StringConstraints(max_length=20), NO_NUL]
    signature: Annotated[str, StringConstraints(max_length=64), NO_NUL]
    inline: bool = False
