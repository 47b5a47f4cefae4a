"""Signatures of the paths by which the router serves a disk store: each grants one upload or download, as in S3.

A signature is an HMAC-SHA256, with a secret of the server, over everything that the grant allows.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode

from objects.errors import BadContentError, SignatureRefusedError
from objects.store import Content

_PURPOSE: Final = "rookery object path 1"
"""Part of the signed text, so that a signature is of no use elsewhere, should a secret ever be shared."""

_SECRET_BYTES_MIN: Final = 32
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission to PUT exactly this content under a key, or to GET it under a name, until `expires_at` (ms UTC)."""

    method: Literal["PUT", "GET"]
    key: str
    content: Content
    filename: str
    """The name under which a download is saved; unused for a PUT."""
    expires_at: int


def sign(grant: Grant, secret: bytes) -> str:
    """Return the query string that gives a path this grant."""
    return urlencode({**_fields(grant), "signature": _signature(grant, secret)})


def check(method: str, key: str, query: Mapping[str, str], *, secret: bytes, now_ms: int) -> Grant:
    """Return the grant of a signed path. Raises SignatureRefusedError, also for a query of any other shape."""
    grant = _read(method, key, query)
    if grant is None or not hmac.compare_digest(
        _signature(grant, secret).encode(), query.get("signature", "").encode(errors="replace")
    ):
        raise SignatureRefusedError(is_expired=False)
    if now_ms >= grant.expires_at:
        raise SignatureRefusedError(is_expired=True)
    return grant


def _fields(grant: Grant) -> dict[str, str]:
    return {
        "type": grant.content.content_type,
        "size": str(grant.content.size_bytes),
        "sha256": grant.content.sha256,
        "name": grant.filename,
        "expires": str(grant.expires_at),
    }


def _read(method: str, key: str, query: Mapping[str, str]) -> Grant | None:
    size, expires = query.get("size", ""), query.get("expires", "")
    if not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(expires)):
        return None
    try:
        content = Content(query.get("type", ""), int(size), query.get("sha256", ""))
    except BadContentError:
        return None
    match method:
        case "PUT" | "GET":
            return Grant(method, key, content, query.get("name", ""), int(expires))
        case _:
            return None


def _signature(grant: Grant, secret: bytes) -> str:
    assert len(secret) >= _SECRET_BYTES_MIN
    # A list of strings as JSON can be read in one way only.
    signed = json.dumps([_PURPOSE, grant.method, grant.key, *_fields(grant).values()])
    return hmac.digest(secret, signed.encode(), "sha256").hex()
