"""Lifecycle rules of a bucket: the S3 store adds one that removes unfinished uploads in parts, and nothing else."""

from collections.abc import Iterable
from typing import Any, Final

UNFINISHED: Final = "rookery-unfinished-uploads"


def with_unfinished(rules: Iterable[dict[str, Any]], *, after_days: int) -> list[dict[str, Any]]:
    """Return a bucket's rules with ours added: a bucket has one list, which may have rules of other programs."""
    rule = {
        "ID": UNFINISHED,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": after_days},
    }
    return [*(kept for kept in rules if kept.get("ID") != UNFINISHED), rule]
