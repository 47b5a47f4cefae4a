"""The rules of the house about words: names of modules, and first lines of docstrings."""

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from tests.house_imports import SHIPPED
from tests.house_sources import Finding, Source

NOUNS_IN_ING: Final = frozenset({"meeting"})
"""Names of modules that end as participles do and are nouns of the field."""
QUESTIONS: Final = frozenset(
    {
        *("What", "Who", "Where", "How", "Why", "When", "Whether", "Which", "Whose"),
        *("Whatever", "Whoever", "Wherever", "However", "Whenever", "Whichever"),
    }
)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def participles(tree: Sequence[Source]) -> Iterator[Finding]:
    """A module is called by the noun of its topic, as its table, its endpoint and its document are."""
    for source in tree:
        name = source.stem if source.stem != "__init__" else source.path.split("/")[-2]
        if source.package in SHIPPED and name.endswith("ing") and name not in NOUNS_IN_ING:
            yield Finding(source.path, 1, f"module {name} is named by a participle; name it by the noun of its topic")


def first_words(tree: Sequence[Source]) -> Iterator[Finding]:
    """The first line of a module or of something public says what it is or does, instead of asking."""
    for source in tree:
        if source.package not in SHIPPED:
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, Documented):
                continue
            is_public = isinstance(node, ast.Module) or not node.name.startswith("_")
            first = (ast.get_docstring(node) or "").partition(" ")[0].rstrip(",.:;")
            if is_public and first in QUESTIONS:
                remedy = "begin with a noun phrase, or for a function with an imperative"
                line = 1 if isinstance(node, ast.Module) else node.lineno
                yield Finding(source.path, line, f"the docstring begins with {first}; {remedy}")
