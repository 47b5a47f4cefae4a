"""From a message on the wire to the draft that a shard stores, for every way in which people send."""

from ids import AttachmentId, MessageId, ThreadId
from router.errors import FieldFault, InvalidError
from router.wire.talk import SendMessage
from shard.messages import Draft


def draft(body: SendMessage, length_max: int, *, place: str = "body") -> Draft:
    """Return what somebody sends; raises InvalidError for more than this server takes, a field of `place`."""
    if len(body.content) > length_max:
        raise InvalidError([FieldFault(f"{place}.content", f"at most {length_max} characters")])
    thread_id = None if body.thread_id is None else ThreadId(body.thread_id)
    reply_to_id = None if body.reply_to_id is None else MessageId(body.reply_to_id)
    return Draft(body.content, body.nonce, thread_id, reply_to_id, tuple(map(AttachmentId, body.attachment_ids)))
