"""Whom one blocks."""

from datetime import datetime

from typing_extensions import TypedDict

from directory.blocks import Block
from router.views.people import UserView
from router.views.values import moment


class BlockView(TypedDict):
    """Somebody whom one blocks."""

    user_id: str
    created_at: datetime


class BlockPageView(TypedDict):
    """Whom one blocks, by id; `next_cursor` is null on the last page."""

    blocks: list[BlockView]
    users: list[UserView]
    next_cursor: str | None


def block(row: Block) -> BlockView:
    """Render a block."""
    return {"user_id": str(row.blocked_id), "created_at": moment(row.created_at)}
