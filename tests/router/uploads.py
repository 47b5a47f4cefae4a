"""Files as clients send them: announced, put where the server says, completed, attached."""

import hashlib
import zlib
from typing import Any

import httpx

from tests.router.clients import Client

_IHDR = b"IHDR" + (3).to_bytes(4) + (2).to_bytes(4) + b"\x08\x02\0\0\0"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + _IHDR + zlib.crc32(_IHDR).to_bytes(4) + bytes(46)
"""What begins as an image of 3 by 2 pixels does."""

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(10) + b"\xff\xc0\0\x11\x08\0\2\0\3\3" + bytes(9)
"""Likewise for a JPEG."""


def announced(data: bytes = PNG, **changes: Any) -> dict[str, Any]:
    """Return what announces a file."""
    body = {
        "filename": "nest.png",
        "size_bytes": len(data),
        "mime_type": "image/png",
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return body | changes


def put(client: Client, asked: Any, data: bytes, **options: Any) -> httpx.Response:
    """Send bytes where an announced upload wants them, as nobody in particular."""
    sending = asked["upload"]
    headers = sending["headers"] | options.pop("headers", {})
    return client.with_token(None).ask(sending["method"], sending["url"], content=data, headers=headers, **options)


def begin(client: Client, channel: str, data: bytes = PNG, **changes: Any) -> str:
    """Announce a file to a channel and send its bytes, and return its id."""
    asked = client.post(f"{channel}/attachments", announced(data, **changes))
    assert put(client, asked, data).status_code == 204
    return str(asked["attachment"]["id"])


def upload(client: Client, channel: str, data: bytes = PNG, **changes: Any) -> str:
    """Upload a file to a channel and return its id."""
    attachment_id = begin(client, channel, data, **changes)
    client.post(f"{channel}/attachments/{attachment_id}/complete")
    return attachment_id


def send(client: Client, channel: str, data: bytes = PNG, **changes: Any) -> Any:
    """Send a message with one file and nothing else."""
    return client.post(f"{channel}/messages", {"attachment_ids": [upload(client, channel, data, **changes)]})
