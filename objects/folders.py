"""Folders of the disk store: the path of each key, chosen so that no folder grows large and keys are listed in order.

Each word of a key is a folder, the last one a file, and each is in one of 256 folders chosen by its hash:
`rooms/7/cat.png` is `5d/rooms+/79/7+/b9/cat.png`. The "+" keeps a folder apart from a file of the same name.
"""

import contextlib
import hashlib
import heapq
import os
from collections.abc import Iterator
from pathlib import Path


def path_of(root: Path, key: str) -> Path:
    """Return the file of a key."""
    *folders, name = key.split("/")
    path = root
    for folder in folders:
        path = path / _shelf(folder) / f"{folder}+"
    return path / _shelf(name) / name


def _shelf(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()[:2]


def walk(root: Path, prefix: str, after: str, *, at_once: int) -> Iterator[str]:
    """Yield the keys that begin with `prefix` and come after `after`, in the order of their characters.

    `at_once` is the number of names of one folder that are held in memory, however many it has.
    """
    yield from _walk(root, "", prefix, after, at_once)


def _walk(folder: Path, start: str, prefix: str, after: str, at_once: int) -> Iterator[str]:
    """Yield the keys below a folder, all of which begin with `start`."""
    last = ""
    while True:
        names = (name for name in _names(folder) if name > last and _may_hold(start + name, prefix, after))
        batch = heapq.nsmallest(at_once, names)
        for name in batch:
            if name.endswith("/"):
                word = name.removesuffix("/")
                yield from _walk(folder / _shelf(word) / f"{word}+", start + name, prefix, after, at_once)
            else:
                yield start + name
        if len(batch) < at_once:
            return
        last = batch[-1]


def _may_hold(path: str, prefix: str, after: str) -> bool:
    """Tell whether a path is one of the keys or, when it ends in "/", the beginning of one."""
    if path.endswith("/"):
        return (path.startswith(prefix) or prefix.startswith(path)) and (path > after or after.startswith(path))
    return path.startswith(prefix) and path > after


def _names(folder: Path) -> Iterator[str]:
    """Yield the words in a folder, those of folders followed by "/", as keys are sorted."""
    for shelf in _entries(folder):
        if not shelf.startswith("."):
            for name in _entries(folder / shelf):
                yield f"{name[:-1]}/" if name.endswith("+") else name


def _entries(folder: Path) -> Iterator[str]:
    # A folder that became empty may be removed at any time.
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name
