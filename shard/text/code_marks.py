"""Code in a text: blocks in fences or indented, and spans in backticks, as CommonMark has them.

The rules of blocks and of backticks decide (https://spec.commonmark.org/0.31.2): HTML is text, links and emphasis
change nothing about what is code. The time grows with the length of a text, whatever is in it: parsers that enter each
quote and list anew read 8,000 hostile characters in 200 ms.
"""

import re
from bisect import bisect_left
from typing import Final

NESTED_MAX: Final = 50
"""Depth of quotes and lists: what is deeper is text of the last one. CommonMark has no bound, its parsers do."""

_MARKS: Final = ("`", "~~~", "    ", "\t")
_LINE_END: Final = re.compile(r"\r\n?|\n")
_QUOTE: Final = 0
"""A quote among the containers; a list item is the number of columns by which its text is indented."""
_FENCE: Final = re.compile(r"`{3,}(?!`)(?!.*`)|~{3,}")
_HEADING: Final = re.compile(r"#{1,6}(?= |$)")
_UNDERLINE: Final = re.compile(r"(?:=+|-+) *")
_ITEM: Final = re.compile(r"(?:[*+-]|(?P<number>[0-9]{1,9})[.)])(?P<spaces> *)")
_FIRST: Final = frozenset(">#`~=-_*+0123456789")
_TICKS: Final = re.compile("`+")
_TICKS_OR_ESCAPED: Final = re.compile(r"\\[!-/:-@\[-`{-~]|`+")


def may_be_in(text: str) -> bool:
    """Tell whether a text has a mark with which code can begin."""
    return any(mark in text for mark in _MARKS)


def outside(text: str) -> str:
    """Return a text without its code; a space or a line feed stands for what is left out."""
    if not may_be_in(text):
        return text
    blocks = _Blocks()
    for line in _LINE_END.split(text):
        # Columns are counted from the begin of the line, within quotes and lists too.
        blocks.read(line.expandtabs(4))
    return "\n".join(_outside_spans("\n".join(lines)) for lines in blocks.texts)


class _Blocks:
    """The blocks of a text, line by line: https://spec.commonmark.org/0.31.2/#phase-1-block-structure."""

    def __init__(self) -> None:
        self.texts: list[list[str]] = []
        """The lines of each paragraph and heading."""
        self._containers: list[int] = []
        self._is_bare = False
        """Flag: the innermost item has nothing in it yet."""
        self._is_paragraph = False
        self._is_indented = False
        self._fence: str | None = None

    def read(self, line: str) -> None:
        """Read the next line, which has no tabs."""
        rest, matched = self._enter(line)
        is_inside = matched == len(self._containers)
        if is_inside and self._fence is not None:
            self._read_fenced(rest)
            return
        if not is_inside and not self._is_paragraph:
            self._leave(matched)
            is_inside = True
        text = rest.lstrip(" ")
        if self._is_indented:
            if not text or len(rest) - len(text) >= 4:
                return
            self._is_indented = False
        if text:
            self._begin(rest, matched, is_inside=is_inside)
            return
        self._leave(matched)

    def _enter(self, line: str) -> tuple[str, int]:
        """Return what is left of a line within the open containers that go on in it, and their number."""
        for at, container in enumerate(self._containers):
            text = line.lstrip(" ")
            if not text:
                return line, self._end_of_items(at)
            indent = len(line) - len(text)
            if container == _QUOTE:
                if indent > 3 or text[0] != ">":
                    return line, at
                line = text[1:].removeprefix(" ")
            elif indent < container:
                return line, at
            else:
                line = line[container:]
        return line, len(self._containers)

    def _end_of_items(self, at: int) -> int:
        """Return the number of containers that an empty line leaves open: it ends quotes, and an item that is bare."""
        end = len(self._containers) - self._is_bare
        return self._containers.index(_QUOTE, at) if _QUOTE in self._containers[at:] else end

    def _leave(self, kept: int) -> None:
        """End the containers after the first `kept` ones, and the block in the innermost."""
        if kept < len(self._containers):
            del self._containers[kept:]
            self._is_bare = False
        self._is_paragraph = self._is_indented = False
        self._fence = None

    def _read_fenced(self, rest: str) -> None:
        assert self._fence is not None
        text = rest.strip(" ")
        indent = len(rest) - len(rest.lstrip(" "))
        if indent <= 3 and text.startswith(self._fence) and not text.strip(self._fence[0]):
            self._fence = None

    def _begin(self, rest: str, matched: int, *, is_inside: bool) -> None:
        """Begin the blocks that a line with text begins, and add its text to the innermost."""
        while True:
            text = rest.lstrip(" ")
            indent = len(rest) - len(text)
            if not text:
                return
            if indent > 3 and not self._is_paragraph:
                self._is_bare, self._is_indented = False, True
                return
            if indent > 3 or text[0] not in _FIRST:
                break
            if self._is_leaf(text, matched, is_inside=is_inside):
                return
            found = _container(text, indent, is_interrupting=self._is_paragraph and is_inside)
            if found is None or matched == NESTED_MAX:
                break
            container, rest = found
            self._leave(matched)
            self._containers.append(container)
            matched, is_inside = len(self._containers), True
            self._is_bare = container != _QUOTE
        # A paragraph goes on without the marks of its containers.
        if not self._is_paragraph:
            self._is_bare, self._is_paragraph = False, True
            self.texts.append([])
        self.texts[-1].append(text)

    def _is_leaf(self, text: str, matched: int, *, is_inside: bool) -> bool:
        """Read a line that is a block of its own or begins a fence; tell whether it is one."""
        fence, heading = _FENCE.match(text), _HEADING.match(text)
        is_underline = self._is_paragraph and is_inside and _UNDERLINE.fullmatch(text)
        if not (fence or heading or is_underline or _is_break(text)):
            return False
        self._leave(matched)
        self._is_bare = False
        if fence is not None:
            self._fence = fence[0]
        elif heading is not None:
            self.texts.append([text])
        return True


def _is_break(text: str) -> bool:
    """Tell whether a line is a rule between paragraphs, such as * * *."""
    if text[0] not in "*-_":
        return False
    signs = text.replace(" ", "")
    return len(signs) >= 3 and not signs.strip(text[0])


def _container(text: str, indent: int, *, is_interrupting: bool) -> tuple[int, str] | None:
    """Return the quote or the list item that a text begins, and the rest of the line in it; None if it begins none.

    One that interrupts a paragraph cannot be empty, and its number is 1.
    """
    if text[0] == ">":
        return _QUOTE, text[1:].removeprefix(" ")
    found = _ITEM.match(text)
    if found is None or (is_interrupting and (found.end() == len(text) or int(found["number"] or 1) != 1)):
        return None
    spaces = len(found["spaces"])
    if spaces == 0 and found.end() < len(text):
        return None
    mark = found.end() - spaces
    if not 1 <= spaces <= 4 or found.end() == len(text):
        spaces = 1
    return indent + mark + spaces, text[mark + spaces :]


def _outside_spans(text: str) -> str:
    """Return the text of a paragraph with a space for each span: https://spec.commonmark.org/0.31.2/#code-spans."""
    if "`" not in text:
        return text
    starts: dict[int, list[int]] = {}
    for run in _TICKS.finditer(text):
        starts.setdefault(run.end() - run.start(), []).append(run.start())
    kept: list[str] = []
    begin = at = 0
    while (found := _TICKS_OR_ESCAPED.search(text, at)) is not None:
        at = found.end()
        length = at - found.start()
        closing = starts.get(length, []) if found[0][0] == "`" else []
        number = bisect_left(closing, at)
        if number < len(closing):
            kept.append(text[begin : found.start()])
            begin = at = closing[number] + length
    return " ".join([*kept, text[begin:]])
