"""Cursors and sizes of pages."""

import base64
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidError
from router.schemas import pages
from router.schemas.fields import PAGE_SIZE, Bounds, PageQuery

NUMBERS = st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=3)


@given(NUMBERS)
def test_a_cursor_is_read_as_it_was_written(numbers: list[int]) -> None:
    """What is written into a cursor comes out again, and clients may send it back in a query."""
    cursor = pages.write(*numbers)
    assert pages.read(cursor, len(numbers)) == numbers
    assert PageQuery.model_validate({"cursor": cursor}).cursor == cursor


@given(NUMBERS)
def test_a_cursor_of_another_list_is_refused(numbers: list[int]) -> None:
    """A cursor with more or fewer numbers belongs elsewhere."""
    with pytest.raises(InvalidError):
        pages.read(pages.write(*numbers), len(numbers) + 1)


@given(
    st.text(st.characters(codec="ascii"))
    | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_no_text_is_worse_than_refused(text: str) -> None:
    """Whatever is sent as a cursor is numbers that SQLite can hold, or refused by its name."""
    faults: list[str] = []
    numbers: Sequence[int] | None = ()
    try:
        numbers = pages.read(text, 2)
    except InvalidError as error:
        faults = [fault.field for fault in error.faults]
    assert numbers is not None
    assert faults == ([] if numbers else ["query.cursor"])
    assert all(abs(number) < 2**63 for number in numbers)


def test_no_cursor_is_the_beginning() -> None:
    """Without a cursor a list begins."""
    assert pages.read(None, 2) is None


@pytest.mark.parametrize(("asked", "size_max", "size"), [(None, 100, PAGE_SIZE), (None, 5, 5), (5, 5, 5), (1, 5, 1)])
def test_a_page_has_its_size(asked: int | None, size_max: int, size: int) -> None:
    """A page is as long as was asked for, or the default, and never longer than the operator allows."""
    query = PageQuery() if asked is None else PageQuery(limit=asked)
    assert query.within(Bounds(1, size_max, 1)).limit == size


def test_too_long_a_page_is_refused() -> None:
    """Asking for more than the operator allows is refused rather than cut."""
    with pytest.raises(InvalidError):
        PageQuery(limit=6).within(Bounds(1, 5, 1))
