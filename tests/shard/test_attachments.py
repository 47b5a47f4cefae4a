"""Files of messages: whose an upload is, which message has it, and what is left when it goes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ids import AttachmentId, UserId
from shard import permissions
from shard.actions import attachments as attachment_actions
from shard.actions import messages as message_actions
from shard.actions.attachments import Measured
from shard.actions.pages import Span
from shard.engine import identity
from shard.engine.connections import Writer
from shard.errors import ConflictError, ForbiddenError, NotFoundError
from shard.rows import Message
from shard.tables import attachments, channels, messages
from shard.tables.attachments import WAITING_MAX, Announced, Attachment
from shard.tables.messages import Draft
from tests.shard import direct, stage

NOW = stage.NOW_MS
Shard = tuple[Writer, stage.Room]
ANNOUNCED = Announced("nest.png", 9, "image/png", "0" * 64)
SECRET = "5" * 32


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    """A room with its owner and two members."""
    with direct.writing(tmp_path) as (_, writer, room):
        yield writer, room


def announce(
    shard: Shard, user_id: UserId = stage.ANNA, channel: str = "general", *, now_ms: int = NOW, **changes: Any
) -> Attachment:
    writer, room = shard
    announced = Announced(**{name: changes.get(name, getattr(ANNOUNCED, name)) for name in ANNOUNCED.__slots__})
    place = room.channels[channel]
    return attachment_actions.announce_upload(writer, user_id, place, announced, secret=SECRET, now_ms=now_ms)


def complete(shard: Shard, user_id: UserId = stage.ANNA, channel: str = "general", **changes: Any) -> Attachment:
    writer, room = shard
    upload = announce(shard, user_id, channel, **changes)
    place = room.channels[channel]
    return attachment_actions.complete_upload(writer, user_id, place, upload.id, Measured(3, 2), now_ms=NOW)


def send(
    shard: Shard, *files: Attachment, user_id: UserId = stage.ANNA, channel: str = "general", **draft: Any
) -> message_actions.Sent:
    writer, room = shard
    wanted = Draft("", attachment_ids=tuple(file.id for file in files), **draft)
    sent = message_actions.send_message(writer, user_id, room.channels[channel], wanted, now_ms=NOW)
    writer.settle()
    return sent


def states(shard: Shard) -> dict[int, str]:
    return dict(shard[0].all("SELECT id, state FROM message_attachments ORDER BY id"))


def test_a_message_has_its_files_in_their_order(shard: Shard) -> None:
    """What is sent with files, and nothing else, is read with them as they were named, and tells its kind."""
    writer, room = shard
    first, second = complete(shard), complete(shard, filename="é.png")
    sent = send(shard, second, first).message
    (read,) = direct.read_page(writer, stage.BEN, room.general, None, Span(), now_ms=NOW).messages
    assert (read, read.content, read.content_type) == (sent, "", "image")
    assert read.attachments == (
        f'[[{second.id},"é.png",9,"image/png",3,2,null],[{first.id},"nest.png",9,"image/png",3,2,null]]'
    )
    assert states(shard) == {first.id: "attached", second.id: "attached"}
    assert first.object_key == f"rooms/1/{first.id}-{SECRET}"
    for user_id in (stage.ANNA, stage.BEN):
        found = attachment_actions.open_file(writer, user_id, room.general, first.id, now_ms=NOW)
        assert (found.message_id, found.object_key) == (sent.id, first.object_key)


@pytest.mark.parametrize(
    ("types", "kind"),
    [
        (["image/png", "image/webp"], "image"),
        (["audio/ogg", "audio/mpeg"], "audio"),
        (["image/png", "audio/ogg"], "file"),
        (["image/svg+xml"], "file"),
        (["text/plain"], "file"),
    ],
)
def test_files_make_the_kind_of_their_message(shard: Shard, types: list[str], kind: str) -> None:
    """Pictures and sounds make a message of their kind when it has nothing else, and all else is a file."""
    files = [complete(shard, mime_type=mime_type) for mime_type in types]
    assert send(shard, *files).message.content_type == kind


def test_a_repeated_nonce_is_the_message_with_its_files(shard: Shard) -> None:
    """Sending the same again returns the message that the first time made, though its files are taken by now."""
    file = complete(shard)
    first, again = send(shard, file, nonce="n"), send(shard, file, nonce="n")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.message == again.message
    with pytest.raises(ConflictError, match="already"):
        send(shard, file, nonce="other")


def complete_and_send(shard: Shard) -> Attachment:
    file = complete(shard)
    send(shard, file)
    return file


CLAIMS: dict[str, tuple[Callable[[Shard], Attachment], type[Exception]]] = {
    "somebody else's": (lambda shard: complete(shard, stage.BEN), NotFoundError),
    "the owner's": (lambda shard: complete(shard, stage.OWNER), NotFoundError),
    "another channel's": (lambda shard: complete(shard, channel="other"), NotFoundError),
    "one that is not complete": (announce, ConflictError),
    "one that a message has": (complete_and_send, ConflictError),
}


@pytest.mark.parametrize(("make", "error"), CLAIMS.values(), ids=CLAIMS)
def test_only_ones_own_complete_uploads_can_be_sent(
    shard: Shard, make: Callable[[Shard], Attachment], error: type[Exception]
) -> None:
    """Beside a file that can be sent, one that cannot keeps the whole message from being sent."""
    good, bad = complete(shard), make(shard)
    before = states(shard)
    for files in ((good, bad), (bad, good), (bad,)):
        with pytest.raises(error, match=r"no such attachment|not complete|already"):
            send(shard, *files)
    assert states(shard) == before
    send(shard, good)
    assert states(shard) == before | {good.id: "attached"}


def test_uploads_are_their_makers(shard: Shard) -> None:
    """Others' uploads, and those of another channel, are not there to complete, cancel or read."""
    writer, room = shard
    upload = announce(shard)
    for user_id, channel in ((stage.BEN, "general"), (stage.OWNER, "general"), (stage.ANNA, "other")):
        asked = (writer, user_id, room.channels[channel], upload.id)
        with pytest.raises(NotFoundError, match="no such attachment"):
            attachment_actions.get_upload(*asked, now_ms=NOW)
        with pytest.raises(NotFoundError, match="no such attachment"):
            attachment_actions.cancel_upload(*asked, now_ms=NOW)
        with pytest.raises(NotFoundError, match="no such attachment"):
            attachment_actions.complete_upload(*asked, Measured(), now_ms=NOW)
    for user_id in (stage.ANNA, stage.BEN):
        with pytest.raises(NotFoundError, match="no such attachment"):
            attachment_actions.open_file(writer, user_id, room.general, upload.id, now_ms=NOW)
    attachment_actions.cancel_upload(writer, stage.ANNA, room.general, upload.id, now_ms=NOW)
    assert states(shard) == {}
    assert [freed.object_key for freed in attachments.freed(writer)] == [upload.object_key]


def test_a_file_of_a_message_is_not_cancelled(shard: Shard) -> None:
    """What a message has goes with the message, not by itself, and is not completed again otherwise."""
    writer, room = shard
    file = complete(shard)
    send(shard, file)
    with pytest.raises(ConflictError, match="message"):
        attachment_actions.cancel_upload(writer, stage.ANNA, room.general, file.id, now_ms=NOW)
    again = attachment_actions.complete_upload(writer, stage.ANNA, room.general, file.id, Measured(7, 7), now_ms=NOW)
    assert (again.state, again.width) == ("attached", 3)


def deny(bits: int) -> Callable[[Writer, stage.Room], None]:
    return lambda writer, room: direct.deny_everyone(writer, room, bits)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (deny(permissions.ATTACH_FILES), ForbiddenError),
        (deny(permissions.SEND_MESSAGES | permissions.SEND_IN_THREADS), ForbiddenError),
        (lambda writer, room: direct.time_out(writer, stage.ANNA, NOW + 1), ForbiddenError),
        (lambda writer, room: direct.archive(writer, room, "general"), ConflictError),
        (lambda writer, room: direct.make_private(writer, room, "general"), NotFoundError),
    ],
)
def test_who_may_not_send_files_uploads_none(
    shard: Shard, change: Callable[[Writer, stage.Room], None], error: type[Exception]
) -> None:
    """What keeps one from sending files keeps one from uploading them, and from sending what is uploaded."""
    writer, room = shard
    file = complete(shard)
    change(writer, room)
    with pytest.raises(error):
        announce(shard)
    with pytest.raises(error):
        send(shard, file)
    assert states(shard) == {file.id: "complete"}


def test_words_alone_need_no_permission_for_files(shard: Shard) -> None:
    """Without attach_files one still writes, and who writes in threads alone uploads for them."""
    writer, room = shard
    direct.deny_everyone(writer, room, permissions.ATTACH_FILES)
    assert message_actions.send_message(writer, stage.ANNA, room.general, Draft("words"), now_ms=NOW).is_new
    direct.deny_everyone(writer, room, permissions.SEND_MESSAGES)
    assert announce(shard).state == "pending"


def test_files_of_a_channel_that_one_may_not_read_are_not_there(shard: Shard) -> None:
    """Without read_history, or in a channel that is hidden, a file is refused as its messages are."""
    writer, room = shard
    file = complete(shard)
    send(shard, file)
    assert attachment_actions.open_file(writer, stage.BEN, room.general, file.id, now_ms=NOW).id == file.id
    for place in (room.channels["other"], room.channels["news"]):
        with pytest.raises(NotFoundError, match="no such attachment"):
            attachment_actions.open_file(writer, stage.BEN, place, file.id, now_ms=NOW)
    direct.deny_everyone(writer, room, permissions.READ_HISTORY)
    with pytest.raises(ForbiddenError):
        attachment_actions.open_file(writer, stage.BEN, room.general, file.id, now_ms=NOW)
    direct.make_private(writer, room, "general")
    with pytest.raises(NotFoundError, match="no such channel"):
        attachment_actions.open_file(writer, stage.BEN, room.general, file.id, now_ms=NOW)


def test_uploads_that_wait_are_bounded(shard: Shard) -> None:
    """One person has so many uploads at a time that no message has, and others have theirs."""
    uploads = [complete(shard) for _ in range(WAITING_MAX)]
    with pytest.raises(ConflictError, match=str(WAITING_MAX)):
        announce(shard)
    assert announce(shard, stage.BEN).state == "pending"
    send(shard, uploads[0])
    assert announce(shard).state == "pending"


def delete(shard: Shard, message: Message) -> None:
    message_actions.delete_message(shard[0], stage.ANNA, message.channel_id, message.id, now_ms=NOW)


def erase(shard: Shard, message: Message) -> None:
    messages.erase_recent(shard[0], message.user_id, since_ms=0, actor_id=stage.OWNER, now_ms=NOW)


def sweep(shard: Shard, message: Message) -> None:
    writer, room = shard
    channels.hide(writer, channels.one(writer, room.general), by=stage.OWNER, now_ms=NOW)
    while channels.sweep(writer):
        pass


@pytest.mark.parametrize("remove", [delete, erase, sweep])
def test_whatever_takes_a_message_leaves_the_keys_of_its_files(
    shard: Shard, remove: Callable[[Shard, Message], None]
) -> None:
    """A deletion, a ban's and a channel's leave what is to be removed, which counts as stored until it is."""
    writer, room = shard
    file, other = complete(shard), complete(shard, stage.BEN, channel="other", size_bytes=4)
    message = send(shard, file).message
    send(shard, other, user_id=stage.BEN, channel="other")
    remove(shard, message)
    writer.settle()
    with pytest.raises(NotFoundError):
        attachment_actions.open_file(writer, stage.ANNA, room.general, file.id, now_ms=NOW)
    assert states(shard) == {other.id: "attached"}
    freed = attachments.freed(writer)
    assert [(each.object_key, each.size_bytes) for each in freed] == [(file.object_key, 9)]
    assert attachments.known(writer, [file.id, other.id, AttachmentId(1)]) == {file.id, other.id}
    assert attachments.usage(writer) == {stage.ANNA: 9, stage.BEN: 4}
    assert attachments.forget(writer, [each.id for each in freed]) == {stage.ANNA: 9}
    assert attachments.forget(writer, [each.id for each in freed]) == {}
    assert attachments.usage(writer) == {stage.BEN: 4}
    assert attachments.known(writer, [file.id, other.id]) == {other.id}


def test_uploads_without_a_message_expire(shard: Shard) -> None:
    """What was announced before a time and has no message goes, oldest first, so many at once."""
    writer, _ = shard
    kept, old = complete(shard), [announce(shard, now_ms=NOW + number) for number in range(3)]
    send(shard, kept)
    young = announce(shard, now_ms=NOW + 10)
    assert [attachments.expire(writer, before_ms=NOW + 10, limit=2) for _ in range(3)] == [2, 1, 0]
    assert states(shard).keys() == {kept.id, young.id}
    assert [freed.id for freed in attachments.freed(writer)] == [upload.id for upload in old]


def test_a_repeated_id_never_meets_an_old_file(shard: Shard) -> None:
    """After a restart with the clock set back, numbers go on above every file that is not forgotten."""
    writer, _ = shard
    upload = announce(shard, now_ms=NOW + 5_000)
    assert identity.last_id(writer) >= upload.id
    attachments.remove(writer, upload.id)
    assert identity.last_id(writer) >= upload.id


steps = st.lists(
    st.tuples(st.sampled_from(["announce", "send", "delete", "cancel", "forget", "expire"]), st.integers(0, 5)),
    max_size=30,
)


@given(steps)
def test_usage_is_what_is_stored(
    counted: tuple[apsw.Connection, Writer, stage.Room], taken: list[tuple[str, int]]
) -> None:
    """Whatever happens to files, each person's bytes are the sum of what they have and what is still to be removed."""
    connection, writer, room = counted
    shard = (writer, room)
    with direct.undone(connection, writer):
        sent: list[Message] = []
        waiting: list[Attachment] = []
        for step, number in taken:
            user_id = (stage.ANNA, stage.BEN)[number % 2]
            mine = [one for one in waiting if one.user_id == user_id]
            if step == "announce":
                waiting.append(complete(shard, user_id, size_bytes=number + 1))
            elif step == "send" and mine:
                sent.append(send(shard, *mine[:3], user_id=user_id).message)
                waiting = [one for one in waiting if one not in mine[:3]]
            elif step == "delete" and sent:
                messages.erase(writer, [sent.pop(number % len(sent))], actor_id=stage.OWNER, now_ms=NOW)
            elif step == "cancel" and mine:
                attachments.remove(writer, mine[0].id)
                waiting.remove(mine[0])
            elif step == "forget":
                attachments.forget(writer, [each.id for each in attachments.freed(writer, limit=number)])
            elif step == "expire":
                attachments.expire(writer, before_ms=NOW + 1, limit=number)
                left = states(shard)
                waiting = [one for one in waiting if one.id in left]
        stored = writer.all(
            "SELECT user_id, sum(size_bytes) FROM (SELECT user_id, size_bytes FROM message_attachments "
            "UNION ALL SELECT user_id, size_bytes FROM freed_files) GROUP BY user_id"
        )
        assert attachments.usage(writer) == dict(stored)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[apsw.Connection, Writer, stage.Room]]:
    """One room for many examples."""
    with direct.writing(tmp_path_factory.mktemp("counted")) as opened:
        yield opened
