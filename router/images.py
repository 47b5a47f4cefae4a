"""How large an image is, by the first bytes of its file alone: nothing is decoded, so no image can cost more than that.

The formats are those that browsers show: PNG (https://www.w3.org/TR/png-3/#11IHDR), GIF
(https://www.w3.org/Graphics/GIF/spec-gif89a.txt), JPEG (ITU-T T.81, annex B) and WebP (RFC 9649).
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

HEAD_BYTES: Final = 1_048_576
"""First bytes that are looked at: cameras write previews and colour profiles of some 100 KB before a JPEG's size."""
SIDE_MAX: Final = 32_768
PIXELS_MAX: Final = 100_000_000
"""Larger ones are refused: whoever shows them needs four bytes for each pixel."""

_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers of JPEG without a segment (T.81, B.1.1.3)."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG whose segment has the size (T.81, B.2.2)."""


class Size(NamedTuple):
    """Pixels."""

    width: int
    height: int


def measure(mime_type: str, head: bytes) -> Size | None:
    """Return the size of an image of a type in SIZES; None where the first bytes are not such an image's, or are of one
    that is absurdly large."""
    size = SIZES[mime_type](head)
    if size is None or min(size) < 1 or max(size) > SIDE_MAX or size.width * size.height > PIXELS_MAX:
        return None
    return size


def _of_png(head: bytes) -> Size | None:
    if not head.startswith(_PNG) or len(head) < 24:
        return None
    return Size(int.from_bytes(head[16:20]), int.from_bytes(head[20:24]))


def _of_gif(head: bytes) -> Size | None:
    if head[:6] not in (b"GIF87a", b"GIF89a") or len(head) < 10:
        return None
    return Size(int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little"))


def _of_jpeg(head: bytes) -> Size | None:
    if not head.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            return Size(int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7]))
        elif (length := int.from_bytes(head[at + 2 : at + 4])) >= 2:
            at += 2 + length
        else:
            return None
    return None


def _of_webp(head: bytes) -> Size | None:
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
