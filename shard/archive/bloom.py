"""Bloom filters of segments: their words, authors and mentions, kept in the shard beside the manifest.

A search for something rare fetches only the few segments that may have it. One in 150 keys that a segment lacks seems
to be there; no key that it has is missed.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

BITS_PER_KEY: Final = 12
HASHES: Final = 4
"""With 12 bits a key: (1 - e^(-4/12))^4 = 0.0065."""
_BYTES_MIN: Final = 64


def word(folded: str) -> bytes:
    """Return the key of a word as the search index folds it."""
    return b"w" + folded.encode()


def author(user_id: int) -> bytes:
    """Return the key of an author."""
    return b"a%d" % user_id


def mention(target_type: str, target_id: int) -> bytes:
    """Return the key of a mention of a user, a role or everyone."""
    return b"m" + f"{target_type}:{target_id}".encode()


def build(keys: Iterable[bytes]) -> bytes:
    """Return the filter of these keys."""
    hashes = [_hash(key) for key in keys]
    size = max(_BYTES_MIN, -(-len(hashes) * BITS_PER_KEY // 8))
    bits = bytearray(size)
    count = size * 8
    for first, step in hashes:
        for number in range(HASHES):
            place = (first + number * step) % count
            bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)


def may_have(bits: bytes, keys: Iterable[bytes]) -> bool:
    """Tell whether a filter may have all of these keys."""
    count = len(bits) * 8
    for key in keys:
        first, step = _hash(key)
        for number in range(HASHES):
            place = (first + number * step) % count
            if not bits[place >> 3] & 1 << (place & 7):
                return False
    return True


def _hash(key: bytes) -> tuple[int, int]:
    digest = hashlib.blake2b(key, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") | 1
