"""The shell examples of the documents: pasted one after the other, they use no variable that none of them has set."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"^\| \[[^\]]+\]\((api/\w+\.md)\) \|", re.MULTILINE)
_SET = re.compile(r"(?:^|[;&|(]|\b(?:export|for|read))\s*([A-Za-z_]\w*)(?==| in )")
_USED = re.compile(r"\$\{?([A-Za-z_]\w*)(:-)?")
_LITERAL = re.compile(r"(?<![\w\"])'[^']*'")
_ALWAYS = {"HOME", "PATH", "PWD", "USER"}
"""Variables that every shell has."""


def unset(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the variables that a line of these blocks uses, and that neither it nor an earlier one has set."""
    known = set(_ALWAYS)
    for block in blocks:
        for line in _LITERAL.sub("''", block).splitlines():
            given = set(_SET.findall(line))
            yield from (name for name, default in _USED.findall(line) if not default and name not in known | given)
            known |= given


def blocks(name: str) -> list[str]:
    """Return the shell examples of a page."""
    return _BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))


def test_the_examples_of_the_api_can_be_pasted_in_order() -> None:
    """The pages of docs/api/, in the order of docs/api.md, set each variable before they use it."""
    pages = _PAGE.findall((ROOT / "docs/api.md").read_text(encoding="utf-8"))
    assert sorted(f"docs/{page}" for page in pages) == sorted(
        page.relative_to(ROOT).as_posix() for page in (ROOT / "docs/api").glob("*.md")
    )
    examples = [block for page in ("api.md", *pages) for block in blocks(f"docs/{page}")]
    assert len(examples) > 100
    assert list(unset(examples)) == []


def test_the_examples_of_every_other_page_can_be_pasted() -> None:
    """README.md and the pages of docs/ set each variable that they use themselves."""
    for name in ("README.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))):
        assert list(unset(blocks(name))) == [], name


def test_an_unset_variable_is_found() -> None:
    """A variable is unset before its line, in the line of its own value too, and not in single quotes."""
    assert list(unset(["A=1\nB=$A; echo $B '$C' \"${D:-1}\" \"'$E'\"", "echo $F\nF=2\necho $F"])) == ["E", "F"]
