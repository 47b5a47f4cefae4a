"""The one tag of a JPEG's EXIF that is needed: how the picture is turned when it is shown.

Everything else of an EXIF is left alone: a whole parser follows offsets anywhere, and hostile blocks make that dear.
"""

import struct
from typing import Final

SEGMENTS_MAX: Final = 256
"""Segments of a JPEG that are stepped over to find its EXIF, which stands first or second."""
ENTRIES_MAX: Final = 256
"""Entries of an EXIF's first directory that are looked at; cameras write about twenty."""

UPRIGHT: Final = 1
_APP1: Final = 0xE1
_START_OF_SCAN: Final = 0xDA
_EXIF: Final = b"Exif\0\0"
_ORIENTATION: Final = 0x0112
_SHORT: Final = 3


def orientation(head: bytes) -> int:
    """Return the orientation, 1 to 8, that the first bytes of a JPEG give (CIPA DC-008, 4.6.5); 1 where they give none.

    From 5 on the picture is shown with width and height exchanged. Never raises, and looks at a bounded number of
    places, whatever the bytes are.
    """
    at = 2
    for _ in range(SEGMENTS_MAX):
        if head[at : at + 1] != b"\xff":
            return UPRIGHT
        marker, size = head[at + 1 : at + 2], int.from_bytes(head[at + 2 : at + 4])
        if marker == b"\xff":  # a byte of filling before a marker
            at += 1
            continue
        if not marker or marker[0] == _START_OF_SCAN or size < 2:
            return UPRIGHT
        if marker[0] == _APP1 and head[at + 4 : at + 10] == _EXIF:
            return _of_block(head[at + 10 : at + 2 + size])
        at += 2 + size
    return UPRIGHT


def _of_block(block: bytes) -> int:
    """Read the first directory of a TIFF header (TIFF 6.0, section 2)."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return UPRIGHT
    (at,) = struct.unpack_from(f"{order}I", block, 4)
    if at + 2 > len(block):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", block, at)
    for place in range(at + 2, at + 2 + 12 * min(count, ENTRIES_MAX), 12):
        if place + 12 > len(block):
            break
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", block, place)
        if tag == _ORIENTATION:
            return value if (kind, values) == (_SHORT, 1) and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
