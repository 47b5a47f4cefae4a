"""Mentions of a text, read before the room's transaction: a hostile text takes milliseconds, which others must not wait
for."""

import asyncio

from shard.tables.messages import Draft
from shard.text import mention_marks
from shard.text.mention_marks import Called


async def read(content: str) -> Called:
    """Return the targets that a text names; a long text with code is parsed in a thread."""
    if mention_marks.is_costly(content):
        return await asyncio.to_thread(mention_marks.parse, content)
    return mention_marks.parse(content)


async def add_to(draft: Draft) -> Draft:
    """Return a draft with the targets that its text names."""
    return draft if "@" not in draft.content else draft._replace(named=await read(draft.content))
