"""What the S3 store asks of a bucket's lifecycle: that rests of uploads in parts go, and nothing else ever does."""

from collections.abc import Iterable
from typing import Any, Final

UNFINISHED: Final = "rookery-unfinished-uploads"


def with_unfinished(rules: Iterable[dict[str, Any]], *, after_days: int) -> list[dict[str, Any]]:
    """Return a bucket's rules with the one of ours: a bucket has one list of them, and others may have made theirs."""
    rule = {
        "ID": UNFINISHED,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": after_days},
    }
    return [*(kept for kept in rules if kept.get("ID") != UNFINISHED), rule]
