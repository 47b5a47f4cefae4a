"""Loading of libraries that only some settings need, so that other servers spend neither start time nor memory on them.

Only this module may import inside its functions, and no other may import what it loads (tests/test_house.py).
"""

import asyncio

from media import signatures
from objects.store import Store


def open_s3_store(*, endpoint: str, bucket_name: str, region: str, access_key_id: str, secret_access_key: str) -> Store:
    """Open the store in a bucket. The first call loads boto3, and blocks meanwhile."""
    from objects import s3

    return s3.open_store(
        endpoint=endpoint,
        bucket_name=bucket_name,
        region=region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
    )


async def inspect_image(head: bytes) -> tuple[str, int, int] | None:
    """Return type, width and height of an image by the first bytes of its file; None where they are of none.

    Works in a thread; the first image loads Pillow there, and nothing else does.
    """
    mime_type = signatures.image_type(head)
    size = None if mime_type is None else await asyncio.to_thread(_measure, mime_type, head)
    return None if mime_type is None or size is None else (mime_type, *size)


def _measure(mime_type: str, head: bytes) -> tuple[int, int] | None:
    from media import images

    return images.measure(mime_type, head)
