"""What a search looks for in a text, and where it is.

The index only proposes messages; a term decides. Both cut and fold words the same way, with the index's own tokenizer,
so a place found here is a place in the message as it was written.
"""

from dataclasses import dataclass

from shard import words
from shard.connections import Reader

PLACES_MAX = 100
"""Places of one term in one message: more neither show in a snippet nor make it more relevant."""

Place = tuple[int, int]
"""Begin and end in a text, in characters."""


@dataclass(frozen=True, slots=True)
class Term:
    """Words next to each other, as typed. With `is_prefix` the last may go on; `tail` are signs right behind (C++)."""

    text: str
    is_prefix: bool = False
    tail: str = ""

    @property
    def phrase(self) -> str:
        """The term as a quoted FTS5 string: nothing in it is syntax."""
        quoted = words.to_find(self.text).replace('"', " ")
        return f'"{quoted}"*' if self.is_prefix else f'"{quoted}"'


class Text:
    """A message's content with its words."""

    def __init__(self, reader: Reader, content: str) -> None:
        self.content = content
        self._laid_out, self._places = words.laid_out(content)
        self._tokens = reader.tokens(self._laid_out)
        self._utf8 = None if self._laid_out.isascii() else self._laid_out.encode()
        self.words = [word for _, _, word in self._tokens]

    def place(self, first: int, last: int) -> Place:
        """Return where a run of words stands in the content."""
        begin, end = self._character(self._tokens[first][0]), self._character(self._tokens[last][1])
        if self._places is None:
            return begin, end
        return self._places[begin], self._places[end - 1] + 1

    def _character(self, byte: int) -> int:
        return byte if self._utf8 is None else len(self._utf8[:byte].decode())


class Pattern:
    """A term in the index's words. One without any (👍, ∀) is looked for as it stands."""

    def __init__(self, reader: Reader, term: Term) -> None:
        self.term = term
        self.words = [word for _, _, word in reader.tokens(words.to_find(term.text))]
        last = self.words[-1] if self.words else ""
        self._is_piece = term.is_prefix and len(last) == 1 and words.is_unspaced(last)

    def places(self, text: Text) -> list[Place]:
        """Return where a text has this, up to PLACES_MAX places."""
        if not self.words:
            return _literal_places(text.content, self.term.text)
        found: list[Place] = []
        count, tail = len(self.words), self.term.tail
        for first in self._beginnings(text.words):
            begin, end = text.place(first, first + count - 1)
            if self._is_piece and len(text.words[first + count - 1]) > 1:
                end -= 1  # the first half of a pair
            if tail:
                if not text.content.startswith(tail, end):
                    continue
                end += len(tail)
            found.append((begin, end))
            if len(found) == PLACES_MAX:
                break
        return found

    def _beginnings(self, said: list[str]) -> list[int]:
        """Return the numbers of the words with which this begins."""
        wanted, count = self.words, len(self.words)
        if self.term.is_prefix:
            last = wanted[-1]
            ends = [at for at, word in enumerate(said) if word.startswith(last)]
        else:
            ends = [at for at, word in enumerate(said) if word == wanted[-1]]
        if count == 1:
            return ends
        firsts = [end - count + 1 for end in ends if end >= count - 1]
        return [first for first in firsts if said[first : first + count - 1] == wanted[:-1]]


def _literal_places(content: str, literal: str) -> list[Place]:
    found: list[Place] = []
    at = content.find(literal)
    while at >= 0 and len(found) < PLACES_MAX:
        found.append((at, at + len(literal)))
        at = content.find(literal, at + len(literal))
    return found


def merged(places: list[Place]) -> list[Place]:
    """Return places in order, those that overlap as one."""
    joined: list[Place] = []
    for begin, end in sorted(places):
        if joined and begin < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined
