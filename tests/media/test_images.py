"""How large images are, by the first bytes of their files: right for real ones, and never by mistake for others."""

import io
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from media import images
from media.exif import orientation
from media.images import PIXELS_MAX, SIDE_MAX, Size
from shard.tables.attachments import IMAGES


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, kind: bytes = b"\x08\x02\0\0\0") -> bytes:
    """A PNG's head: signature and first chunk, whose last bytes are the kind of its pixels."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", width, height) + kind)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def jpeg(width: int, height: int, *, before: bytes = b"", frame: int = 0xC0) -> bytes:
    """A JPEG's head: a marker, whatever stands before its frame, and the frame."""
    header = b"\xff\xe0" + struct.pack(">H", 16) + bytes(14)
    return b"\xff\xd8" + header + before + start(width, height, frame=frame)


def start(width: int, height: int, *, frame: int = 0xC0, bits: int = 8, components: int = 3) -> bytes:
    """The start of a JPEG's frame."""
    return bytes((0xFF, frame)) + struct.pack(">HBHHB", 17, bits, height, width, components) + bytes(9)


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
    for stray in (b"\xff\xe1\0\0", b"\xff\xe1\0\x01", b"\0", b"\xff\0stray"):
        assert images.measure("image/jpeg", jpeg(7, 5, before=stray)) == Size(7, 5), "browsers step over it too"


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


def test_what_no_browser_shows_is_refused() -> None:
    """A wrong checksum, kinds of pixels that a format does not have, and a file without a size are no image."""
    assert images.measure("image/png", png(7, 5)[:-1] + b"x") is None
    assert images.measure("image/png", png(7, 5, b"\x08\x05\0\0\0")) is None
    assert images.measure("image/png", png(7, 5, b"\x08\x02\0\1\0")) is None
    assert images.measure("image/png", b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"") + png(7, 5)[8:]) is None
    for frame in (start(7, 5, bits=12), start(7, 5, components=2), b""):
        assert images.measure("image/jpeg", b"\xff\xd8" + frame + b"\xff\xd9") is None


def saved(kind: str, **options: Any) -> bytes:
    """Return an image of 70 x 50 pixels as Pillow writes it."""
    file = io.BytesIO()
    Image.effect_noise((70, 50), 90).convert(options.pop("mode", "RGB")).save(file, kind, **options)
    return file.getvalue()


EXIF = Image.Exif()
EXIF[0x0112] = 6
SAVED = {
    "png": ("image/png", saved("PNG")),
    "png of a palette": ("image/png", saved("PNG", mode="P")),
    "png with words": ("image/png", saved("PNG", icc_profile=bytes(9_000), exif=EXIF, dpi=(300, 300))),
    "animated png": ("image/png", saved("PNG", save_all=True, append_images=[Image.new("RGB", (70, 50))] * 2)),
    "jpeg": ("image/jpeg", saved("JPEG")),
    "progressive jpeg": ("image/jpeg", saved("JPEG", progressive=True, exif=EXIF, icc_profile=bytes(90_000))),
    "gray jpeg": ("image/jpeg", saved("JPEG", mode="L", comment="x" * 60_000)),
    "jpeg for printers": ("image/jpeg", saved("JPEG", mode="CMYK")),
    "jpeg of several": ("image/jpeg", saved("MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))])),
    "gif": ("image/gif", saved("GIF")),
    "animated gif": ("image/gif", saved("GIF", save_all=True, append_images=[Image.new("RGB", (70, 50))], disposal=2)),
    "webp": ("image/webp", saved("WEBP")),
    "lossless webp": ("image/webp", saved("WEBP", lossless=True)),
    "animated webp": ("image/webp", saved("WEBP", save_all=True, append_images=[Image.new("RGB", (70, 50))])),
}


@pytest.mark.parametrize(("kind", "file"), SAVED.values(), ids=SAVED)
def test_files_of_every_sort_have_their_size(kind: str, file: bytes) -> None:
    """Files as programs write them have the size that they are shown with, cut short too, and are of no other type."""
    shown = Size(50, 70) if b"Exif\0\0" in file else Size(70, 50)
    assert images.measure(kind, file) == shown
    assert images.measure(kind, file[:-900]) == shown
    assert [images.measure(other, file) for other in MAKERS if other != kind] == [None] * 3


MIB = 1_048_576
PROFILE = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(MIB), 9))
TAGS = b"".join(
    b"\xff\xe1\xff\xf8Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff" * (at == 0) + b"\1\1\2\0\0\0\1\0\0\0\0\0" * 5_461
    for at in range(15)
)  # fmt: skip
FRAME = struct.pack("<HHHHB", 0, 0, 10_000, 10_000, 0)
HOSTILE = {
    "profiles that inflate": ("image/png", png(7, 5) + PROFILE * 900, Size(7, 5)),
    "a chunk that never ends": ("image/png", png(7, 5) + b"\x7f\xff\xff\xfftEXt" + bytes(MIB), Size(7, 5)),
    "chunks of nothing": ("image/png", png(7, 5) + chunk(b"abCd", b"") * 80_000, Size(7, 5)),
    "more pixels than there are": ("image/png", png(2**31 - 1, 2**31 - 1), None),
    "single bytes": ("image/jpeg", b"\xff\xd8\xff\xd9" + bytes(MIB), None),
    "filling": ("image/jpeg", b"\xff\xd8" + b"\xff" * MIB, None),
    "segments of nothing": ("image/jpeg", b"\xff\xd8" + b"\xff\xe5\0\2" * (MIB // 4), None),
    "tags of nonsense": ("image/jpeg", b"\xff\xd8" + TAGS + start(7, 5), Size(7, 5)),
    "65,535 pixels square": ("image/jpeg", jpeg(65_535, 65_535), None),
    "a frame to dispose of": (
        "image/gif",
        gif(10_000, 10_000) + b"!\xf9\x04\x08\0\0\0\0," + FRAME + b"\x08\0;",
        Size(10_000, 10_000),
    ),
    "a canvas and no picture": ("image/webp", vp8x(10_000, 10_000), Size(10_000, 10_000)),
    "a canvas too large": ("image/webp", vp8x(16_777_216, 16_777_216), None),
}


@pytest.mark.parametrize(("kind", "file", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_cost_little(
    kind: str, file: bytes, expected: Size | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a file of 1 MiB claims, it is judged in a moment, without memory for pixels, and without a warning."""
    for name in ("new", "fill"):
        monkeypatch.setattr(f"PIL.Image.core.{name}", None)
    began = time.thread_time()
    assert images.measure(kind, file[:MIB]) == expected
    assert time.thread_time() - began < 0.1


def exif(*entries: tuple[int, int, int, int], order: str = "<", count: int | None = None) -> bytes:
    """A JPEG's segment with a directory of entries: tag, kind, number of values, value."""
    packed = b"".join(struct.pack(f"{order}HHIHH", *entry, 0) for entry in entries)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    number = len(entries) if count is None else count
    block = b"Exif\0\0" + mark + struct.pack(f"{order}IH", 8, number) + packed + bytes(4)
    return b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(10))
def test_a_size_is_that_of_the_picture_as_it_is_shown(value: int, order: str) -> None:
    """Orientations 5 to 8 exchange width and height; others, and none that is defined, do not."""
    segment = exif((0x010F, 2, 4, 0), (0x0112, 3, 1, value), order=order)
    shown = Size(5, 7) if 5 <= value <= 8 else Size(7, 5)
    other = b"\xff\xed" + struct.pack(">H", 400) + bytes(398)
    for before in (segment, other + segment, b"\xff" + segment, segment + exif((0x0112, 3, 1, 1), order=order)):
        assert images.measure("image/jpeg", jpeg(7, 5, before=before)) == shown


def test_a_turned_photo_is_measured_as_pillow_turns_it() -> None:
    """A file that Pillow wrote with each orientation has the size that Pillow gives it when it is turned."""
    for value in range(1, 9):
        notes = Image.Exif()
        notes[0x0112] = value
        notes[0x010E] = "a nest" * 50
        file = io.BytesIO()
        Image.new("RGB", (70, 50)).save(file, "JPEG", exif=notes)
        with Image.open(file) as image:
            turned = ImageOps.exif_transpose(image)
        assert images.measure("image/jpeg", file.getvalue()) == turned.size


@pytest.mark.parametrize(
    "segment",
    [
        exif((0x0112, 4, 1, 6)),
        exif((0x0112, 3, 2, 6)),
        exif((0x0112, 3, 1, 6), count=0),
        exif(*[(0x0110, 3, 1, 6)] * 5_000, count=65_535),
        exif((0x0112, 3, 1, 6)).replace(b"\x08\0\0\0", b"\xff\xff\xff\xff"),
        exif((0x0112, 3, 1, 6)).replace(b"II*", b"XX*"),
        b"\xff\xe1\0\x08Exif\0\0",
        b"\xff\xe1\0\x12Exif\0\0II*\0\x08\0\0\0\1\0",
    ],
)
@pytest.mark.security
def test_an_exif_that_says_nothing_turns_nothing(segment: bytes) -> None:
    """Entries of another kind, behind the end or behind the bound, and broken blocks leave the size, at once."""
    began = time.thread_time()
    assert images.measure("image/jpeg", jpeg(7, 5, before=segment)) == Size(7, 5)
    assert time.thread_time() - began < 0.1


@given(st.binary(max_size=80), st.integers(0, 80))
def test_no_exif_breaks_it(noise: bytes, at: int) -> None:
    """Whatever bytes stand in a block, the orientation is one of eight."""
    head = jpeg(7, 5, before=exif((0x0112, 3, 1, 6)))
    assert 1 <= orientation(head[:at] + noise + head[at + len(noise) :]) <= 8


def test_types_that_are_measured_are_those_of_images() -> None:
    """Each type that a room takes for an image can be measured, and no other."""
    assert set(images.SIZES) == set(IMAGES)
