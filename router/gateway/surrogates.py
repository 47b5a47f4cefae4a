"""Frames that are JSON but for half a surrogate pair: programs that cut texts in UTF-16 make them.

Such a frame has a sender to be answered: which request it was can be read when the half is replaced.
"""

import re
from typing import Any, Final

import orjson

_ESCAPES: Final = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Each escape of a text in turn, so that an escaped backslash before a u begins none."""
_REPLACEMENT: Final = rb"\ufffd"


def parse_replaced(message: bytes) -> Any:
    """Return a frame with U+FFFD for each half of a surrogate pair; None for one without any, or that is no JSON.

    It tells the request that is refused, and is not to be carried out.
    """
    replaced = _ESCAPES.sub(lambda found: _REPLACEMENT if found["half"] else found[0], message)
    if replaced == message:
        return None
    try:
        return orjson.loads(replaced)
    except orjson.JSONDecodeError:
        return None
