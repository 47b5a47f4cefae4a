"""Schema of events, as webhooks and the gateway send them."""

from typing import Any

from ids import RoomId
from router.schemas import messages
from router.schemas.fields import moment, text_or_none
from shard.rows import Event


def render(room_id: RoomId, event: Event) -> dict[str, Any]:
    """Render an event as a receiver gets it; a message that was deleted meanwhile is reduced to its id."""
    content: Any
    if event.message is not None:
        content = messages.message(room_id, event.message)
    else:
        content = dict(event.payload or {}) | ({} if event.message_id is None else {"id": str(event.message_id)})
    return {
        "seq": event.seq,
        "type": event.type,
        "at": moment(event.created_at),
        "channel_id": text_or_none(event.channel_id),
        "actor_id": text_or_none(event.actor_id),
        "d": content,
    }
