"""Words of scripts that are written without spaces.

The tokenizer splits at spaces and punctuation, so a Chinese, Japanese, Korean or Thai sentence would be one word.
Runs of these scripts are indexed as overlapping pairs of characters (bigrams) and the last character alone:
日本語 becomes 日本 本語 語. A search for two characters or more is the phrase of its bigrams, a search for one is a
prefix; both then find what a substring search finds.
"""

import re
from typing import Final

TOKENIZER: Final = ("unicode61", ["remove_diacritics", "2", "categories", "L* N* Co Mn Mc"])
"""How the search index cuts and folds words; the schema of `messages_fts` says the same."""

_SCRIPTS = (
    "\u0e00-\u0e7f"  # Thai
    "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"  # Hangul
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"
)
_UNSPACED = re.compile(f"[{_SCRIPTS}]+")
_SINGLE_AT_END = re.compile(rf"(?<![{_SCRIPTS}])[{_SCRIPTS}][^\w{_SCRIPTS}]*$")
_LAST_LETTER = re.compile(r".*\w", re.DOTALL)


def to_index(content: str) -> str | None:
    """Return what to index instead of `content`, or None where its own spaces cut it into words."""
    if content.isascii() or _UNSPACED.search(content) is None:
        return None
    return _UNSPACED.sub(lambda run: _bigrams(run[0], with_last=True), content)


def laid_out(content: str) -> tuple[str, list[int] | None]:
    """Return what the index has of a content, and of each of its characters the place in the content that it is from;
    None when both are the same."""
    if content.isascii() or _UNSPACED.search(content) is None:
        return content, None
    parts: list[str] = []
    places: list[int] = []
    done = 0
    for run in _UNSPACED.finditer(content):
        start, end = run.span()
        parts += content[done:start], _bigrams(run[0], with_last=True)
        places += range(done, start)
        places.append(start)  # a space, then every pair with the space after it, then the last character and its space
        for at in range(start, end - 1):
            places += at, at + 1, at + 1
        places += end - 1, end - 1
        done = end
    parts.append(content[done:])
    places += range(done, len(content))
    return "".join(parts), places


def to_find(term: str) -> str:
    """Return a search term with its unspaced runs cut as `to_index` cuts them.

    The last run may go on in the message; before another word, a run ends as it does in the index.
    """
    letters = _LAST_LETTER.match(term)
    if term.isascii() or letters is None:
        return term
    return _UNSPACED.sub(
        lambda run: _bigrams(run[0], with_last=len(run[0]) == 1 or run.end() < letters.end()), term
    ).strip()


def ends_single(term: str) -> bool:
    """Tell whether a term ends in one unspaced character, which is found as the beginning of a bigram."""
    return _SINGLE_AT_END.search(term) is not None


def is_unspaced(character: str) -> bool:
    """Tell whether a character is of a script that is written without spaces."""
    return _UNSPACED.match(character) is not None


def _bigrams(run: str, *, with_last: bool) -> str:
    pairs = [run[at : at + 2] for at in range(len(run) - 1)]
    if with_last:
        pairs.append(run[-1])
    return f" {' '.join(pairs)} "
