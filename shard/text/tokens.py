"""Words of the search index, and the words of a search.

The index has folded words (word_forms.py), told apart by FTS5's plainest tokenizer: letters and digits of
ASCII and everything beyond it belong to words. A text beyond ASCII is indexed as `to_index` returns it.

Scripts written without spaces (Chinese, Japanese, Korean, Thai and others) would be one word per sentence. Runs of them
are indexed as overlapping pairs of characters (bigrams) and the last character alone: 日本語 becomes 日本 本語 語. A
search for two characters or more is the phrase of its bigrams, a search for one is a prefix; both then find what a
substring search finds. Symbols and punctuation beyond ASCII stand behind all words, so that they part no phrase.
"""

import re
from typing import Final

import word_forms
from shard.text.layouts import laid_out
from word_forms import POINT, SIGN, UNSPACED, UNSPACED_SCRIPTS

TOKENIZER: Final = "ascii"
"""The tokenizer of the search index, the same as in the schema of `messages_fts`."""

_WORD = re.compile("[a-z0-9\x80-\U0010ffff]+")
_PART_OF_WORD = re.compile(f"[{UNSPACED_SCRIPTS}]+|[^{UNSPACED_SCRIPTS}]+")
_SIGN = re.compile(f"([{SIGN}{POINT}])(.)")


def to_index(content: str) -> str | None:
    """Return the text to index instead of `content`, None where the tokenizer itself cuts and folds its words."""
    if content.isascii():
        return None
    folded = word_forms.fold(content)
    signs = sorted({sign for _, sign in _SIGN.findall(folded)})
    words = UNSPACED.sub(lambda run: _bigrams(run[0], with_last=True), _SIGN.sub(" ", folded))
    return f"{words} {' '.join(signs)}" if signs else words


def to_find(term: str) -> list[str]:
    """Return the words of a search term in order, with its unspaced runs cut as `to_index` cuts them.

    The last run may continue in the message; before another word, a run ends as it does in the index.
    """
    folded = laid_out(term).folded
    last = max((word.end() for word in _WORD.finditer(folded)), default=0)
    cut = UNSPACED.sub(lambda run: _bigrams(run[0], with_last=len(run[0]) == 1 or run.end() < last), folded)
    return _WORD.findall(cut)


def signs(term: str, marks: str) -> list[str]:
    """Return the signs of a term: with SIGN among `marks` its symbols, with POINT its punctuation beyond ASCII."""
    return [] if term.isascii() else [sign for mark, sign in _SIGN.findall(word_forms.fold(term)) if mark in marks]


def count(text: str) -> int:
    """Return about how many words a text has; each character of an unspaced run counts as one."""
    unspaced = [] if text.isascii() else UNSPACED.findall(text)
    return text.count(" ") + 1 + sum(map(len, unspaced))


def words(text: str, marks: str = "") -> list[str]:
    """Return the words of a text in order, with `marks` its signs too; unspaced runs and other letters are apart."""
    folded = laid_out(text, marks).folded
    return [word for part in _WORD.findall(folded) for word in _PART_OF_WORD.findall(part)]


def continues(character: str) -> bool:
    """Tell whether a character belongs to a word that another letter beside it would be in too."""
    return ("a" <= character <= "z" or "0" <= character <= "9" or character > "\x7f") and not is_unspaced(character)


def rest_of_word(folded: str, at: int) -> int:
    """Return where the word ends of which the letters before a place are a part."""
    while at < len(folded) and continues(folded[at]):
        at += 1
    return at


def has_any(term: str) -> bool:
    """Tell whether a term has anything that can be searched for: a letter, a digit, or a sign beyond ASCII."""
    return _WORD.search(word_forms.fold(term).lower()) is not None


def ends_single(term: str) -> bool:
    """Tell whether a term ends in one unspaced character, which is found as the beginning of a bigram."""
    last = words(term)[-1:]
    return bool(last) and len(last[0]) == 1 and is_unspaced(last[0])


def is_unspaced(character: str) -> bool:
    """Tell whether a character is of a script that is written without spaces."""
    return character > "\x7f" and UNSPACED.match(character) is not None


def _bigrams(run: str, *, with_last: bool) -> str:
    pairs = [run[at : at + 2] for at in range(len(run) - 1)]
    if with_last:
        pairs.append(run[-1])
    return f" {' '.join(pairs)} "
