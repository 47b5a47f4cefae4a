"""What people type into a search box, as patterns for LIKE, which folds the case of ASCII letters alone."""

import unicodedata


def containing(words: str) -> list[str]:
    """Return patterns of texts that contain these words, whatever their case; a text is meant if one of them fits."""
    return [f"%{variant}%" for variant in _variants(words)]


def beginning(words: str) -> list[str]:
    """Return patterns of texts with a space before them in which some word begins like these, whatever their case."""
    return [f"% {variant}%" for variant in _variants(words)]


def _variants(words: str) -> list[str]:
    text = " ".join(unicodedata.normalize("NFC", words).split())
    # Other letters than those of ASCII are told apart by LIKE: the usual ways to write a name are tried.
    cases = [text] if text.isascii() else list(dict.fromkeys((text, text.lower(), text.upper(), text.title())))
    return [case.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for case in cases]
