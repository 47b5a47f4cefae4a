"""Which part of a file is answered: as RFC 9110 has it, for one range; everything else is the whole file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import ranges
from router.errors import RangeRefusedError
from router.ranges import Range

ETAG = b'"abc"'


def read(header: bytes, whole: int = 10, if_range: bytes = b"") -> Range | None:
    return ranges.read(header, if_range, etag=ETAG, whole_bytes=whole)


@pytest.mark.parametrize(
    ("header", "part", "told"),
    [
        (b"bytes=0-0", Range(0, 1), b"bytes 0-0/10"),
        (b"bytes=2-4", Range(2, 3), b"bytes 2-4/10"),
        (b"bytes=9-", Range(9, 1), b"bytes 9-9/10"),
        (b"bytes=0-", Range(0, 10), b"bytes 0-9/10"),
        (b"bytes=5-99", Range(5, 5), b"bytes 5-9/10"),
        (b"bytes=-3", Range(7, 3), b"bytes 7-9/10"),
        (b"bytes=-99", Range(0, 10), b"bytes 0-9/10"),
        (b"Bytes=1-1", Range(1, 1), b"bytes 1-1/10"),
    ],
)
def test_one_range_is_a_part(header: bytes, part: Range, told: bytes) -> None:
    """A range from, to, or at the end is clipped to the file and told as it is."""
    assert read(header) == part
    assert part.header(10) == told


@pytest.mark.parametrize(
    "header",
    [b"", b"bytes=", b"bytes=-", b"bytes=4-2", b"bytes=0-1,3-4", b"lines=1-2", b"bytes=a-b", b"bytes=1-2x", b"\xff"],
)
def test_what_is_no_range_is_the_whole(header: bytes) -> None:
    """Several ranges, other units and nonsense are answered with the whole file."""
    assert read(header) is None


@pytest.mark.parametrize("header", [b"bytes=10-", b"bytes=10-20", b"bytes=999999999999999999-", b"bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: bytes) -> None:
    """A range without a byte of the file says how long the file is."""
    with pytest.raises(RangeRefusedError) as caught:
        read(header)
    assert caught.value.size_bytes == 10


def test_a_range_of_another_file_is_the_whole() -> None:
    """Whoever has the beginning of something else gets everything, whoever has that of this file goes on."""
    assert read(b"bytes=2-", if_range=ETAG) == Range(2, 8)
    for other in (b'"abd"', b'W/"abc"', b"Fri, 20 Nov 2026 14:00:00 GMT"):
        assert read(b"bytes=2-", if_range=other) is None
        assert read(b"bytes=20-", if_range=other) is None


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20))
def test_a_part_is_the_slice(first: int, last: int, whole: int) -> None:
    """Whatever is asked for, the part is the slice of the file."""
    data = bytes(range(whole))
    try:
        part = read(b"bytes=%d-%d" % (first, last), whole)
    except RangeRefusedError:
        assert first >= whole
        return
    if part is None:
        assert last < first
    else:
        assert data[part.start : part.start + part.size_bytes] == data[first : last + 1]
