"""Size of an image, read from the first bytes of its file alone: no pixel is decoded, so a false header does no harm.

Pillow reads the heads of PNG and JPEG. Those of GIF and WebP are read here, because there Pillow does more: it
fills the area of a GIF's first frame (a file of 40 bytes took 90 MiB), and takes whole files of WebP only.
"""

import io
import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from media import exif

log = logging.getLogger(__name__)

SIDE_MAX: Final = 32_768
"""Pixels of an image's side. Beyond it 422."""
PIXELS_MAX: Final = 100_000_000
"""Pixels of the largest image: a client needs four bytes for each to show it. Beyond it 422."""

READS_MAX: Final = 4_096
"""Steps in which Pillow may read a head, some three for each part of it: a hostile head makes it read single bytes.

Beyond it 422.
"""

_IHDR_END: Final = 33
"""Bytes of a PNG's signature and first chunk, which has the size (https://www.w3.org/TR/png-3/#11IHDR)."""
_EMPTY_IDAT: Final = b"\0\0\0\0IDAT"
_TURNED_FROM: Final = 5
"""Orientations from here on show width and height exchanged."""
_SOI: Final = b"\xff\xd8"
_DENSITY: Final = b"\xff\xe0\0\x10JFIF\0\1\2\1\0\x48\0\x48\0\0"
"""A JPEG's segment that says 72 dots to the inch (ITU-T T.871, 10.1)."""


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


def measure(mime_type: str, head: bytes) -> Size | None:
    """Return the size of an image of a type in SIZES; None where the first bytes are not of such an image, or it is
    larger than SIDE_MAX or PIXELS_MAX."""
    size = SIZES[mime_type](head)
    if size is None or min(size) < 1 or max(size) > SIDE_MAX or size.width * size.height > PIXELS_MAX:
        return None
    return size


def _of_png(head: bytes) -> Size | None:
    # Pillow would read on to the pixels, and inflate every colour profile on the way: 0.7 s for 1 MiB of them.
    return _opened(PngImageFile, head[:_IHDR_END] + _EMPTY_IDAT)


def _of_jpeg(head: bytes) -> Size | None:
    if not head.startswith(_SOI + b"\xff"):
        return None
    # Without a density Pillow looks for one in the EXIF, of which 65,535 entries can be nonsense, with a warning each.
    size = _opened(JpegImageFile, _SOI + _DENSITY + head[len(_SOI) :])
    if size is not None and exif.orientation(head) >= _TURNED_FROM:
        return Size(size.height, size.width)
    return size


class _Head(io.BytesIO):
    """First bytes of a file that may be read in READS_MAX steps."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > READS_MAX:
            raise EOFError("the head has too many parts")
        return super().read(size)


def _opened(opener: Callable[[io.BytesIO], ImageFile], head: bytes) -> Size | None:
    """Open a head with one reader of Pillow's, never with Image.open, which tries other formats too."""
    try:
        return Size(*opener(_Head(head)).size)
    except Exception as error:  # its readers stumble over hostile bytes in many ways, and each of them is a refusal
        log.debug("an image cannot be read", extra={"reason": repr(error)})
        return None


def _of_gif(head: bytes) -> Size | None:
    """Read a logical screen descriptor (https://www.w3.org/Graphics/GIF/spec-gif89a.txt, 18)."""
    if head[:6] not in (b"GIF87a", b"GIF89a") or len(head) < 10:
        return None
    return Size(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))


def _of_webp(head: bytes) -> Size | None:
    """Read the first chunk (RFC 9649, 2)."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8X":
            return Size(int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
        case b"VP8L" if head[20] == 0x2F:
            bits = int.from_bytes(head[21:25], "little")
            return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
            return Size(width & 0x3FFF, height & 0x3FFF)
        case _:
            return None


SIZES: Final[Mapping[str, Callable[[bytes], Size | None]]] = {
    "image/png": _of_png,
    "image/jpeg": _of_jpeg,
    "image/gif": _of_gif,
    "image/webp": _of_webp,
}
