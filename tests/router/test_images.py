"""How large images are, by the first bytes of their files: right for real ones, and never by mistake for others."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import images
from router.images import PIXELS_MAX, SIDE_MAX, Size


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def jpeg(width: int, height: int, *, before: bytes = b"", frame: int = 0xC0) -> bytes:
    """A JPEG's head: a marker, whatever stands before its frame, and the frame."""
    header = b"\xff\xe0" + struct.pack(">H", 16) + bytes(14)
    return b"\xff\xd8" + header + before + bytes((0xFF, frame)) + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)


def vp8(width: int, height: int) -> bytes:
    body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width | 1 << 14, height | 2 << 14)
    return b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8 " + struct.pack("<I", 80) + body


def vp8l(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14 | 1 << 28
    return b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8L" + struct.pack("<IBI", 80, 0x2F, bits) + bytes(9)


def vp8x(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8X" + struct.pack("<II", 10, 0x10) + sides


Maker = Callable[[int, int], bytes]
MAKERS: dict[str, list[Maker]] = {
    "image/png": [png],
    "image/gif": [gif],
    "image/jpeg": [jpeg],
    "image/webp": [vp8, vp8l, vp8x],
}
EVERY = [(kind, make) for kind, makers in MAKERS.items() for make in makers]
side = st.integers(1, 9_999)


@pytest.mark.parametrize(("kind", "make"), EVERY)
@given(width=side, height=side)
def test_a_size_is_read_as_it_was_written(kind: str, make: Maker, width: int, height: int) -> None:
    """Width and height come back from the head of each format, and from no part of it that is too short."""
    head = make(width, height)
    assert images.measure(kind, head) == Size(width, height)
    assert images.measure(kind, head + b"whatever follows") == Size(width, height)
    assert images.measure(kind, head[:9]) is None


@pytest.mark.parametrize(("kind", "make"), EVERY)
def test_an_image_of_another_type_is_none(kind: str, make: Maker) -> None:
    """What is announced as one type and is another has no size."""
    for other in MAKERS:
        assert (images.measure(other, make(3, 2)) is not None) == (other == kind)


@pytest.mark.parametrize(
    "text", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'>", b"<!DOCTYPE html>", b"\x89PNG", b"MZ"]
)
def test_what_is_no_image_has_no_size(text: bytes) -> None:
    """Pages, programs and beginnings are not images."""
    assert [images.measure(kind, text + bytes(40)) for kind in MAKERS] == [None] * len(MAKERS)


def test_absurd_sizes_are_refused() -> None:
    """Sides of nothing, sides that are too long, and too many pixels are as no image; what just fits is one."""
    for width, height in ((0, 5), (5, 0), (SIDE_MAX + 1, 1), (2**31, 2**31), (10_000, PIXELS_MAX // 10_000 + 1)):
        assert images.measure("image/png", png(width, height)) is None
    assert images.measure("image/png", png(SIDE_MAX, 1)) == Size(SIDE_MAX, 1)
    assert images.measure("image/png", png(10_000, PIXELS_MAX // 10_000)) == Size(10_000, PIXELS_MAX // 10_000)


def test_a_jpeg_may_have_much_before_its_size() -> None:
    """Previews, filling and tables stand before the frame, which may be of any kind, and are not taken for it."""
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"\xff\xc0" * 32_766 + b"x"
    table = b"\xff\xc4" + struct.pack(">H", 4) + b"\xff\xc0"
    assert images.measure("image/jpeg", jpeg(7, 5, before=segment * 3 + b"\xff\xff\xff" + table)) == Size(7, 5)
    assert images.measure("image/jpeg", jpeg(7, 5, frame=0xC2)) == Size(7, 5)
    for broken in (b"\xff\xe1\0\0", b"\xff\xe1\0\x01", b"\0"):
        assert images.measure("image/jpeg", jpeg(7, 5, before=broken)) is None


@given(
    st.sampled_from([make(300, 200) for _, make in EVERY]),
    st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=8))),
)
def test_no_bytes_break_it(head: bytes, cuts: list[tuple[int, bytes]]) -> None:
    """Whatever is changed in a head, the answer is a size within bounds or none, in every format."""
    for at, instead in cuts:
        head = head[:at] + instead + head[at + len(instead) :]
    for kind in MAKERS:
        size = images.measure(kind, head)
        assert size is None or (min(size) >= 1 and max(size) <= SIDE_MAX and size.width * size.height <= PIXELS_MAX)
