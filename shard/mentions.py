"""Mentions: whom a message calls, decided in the transaction that stores it.

`<@USER_ID>`, `<@&ROLE_ID>`, `@everyone` and `@here` count outside of code. Only who can hear is called: present members
who see the channel, roles that may be mentioned, and everyone by those who may. Everything else is plain text.
"""

import re
from dataclasses import dataclass
from typing import Final

import orjson

import ids
from ids import MessageId, UserId
from shard import access, permissions
from shard.access import Channel
from shard.connections import Reader, Writer
from shard.errors import NotFoundError

MENTIONS_MAX: Final = 100
"""Members and roles that one message calls; what stands after them is plain text. Each costs a look-up."""

_TICKS = re.compile("`+")
_CALL = re.compile(r"<@(&?)([1-9][0-9]{0,18})>|(?<![\w@])@(?:everyone|here)(?!\w)")


@dataclass(frozen=True, slots=True)
class Called:
    """Whom a text names, each once and in its order, whether or not they are there."""

    user_ids: tuple[int, ...]
    role_ids: tuple[int, ...]
    everyone: bool


def parse(content: str) -> Called:
    """Return whom a text names outside of code, at most MENTIONS_MAX members and roles."""
    named: dict[tuple[str, int], None] = {}
    everyone = False
    for mark, number in _CALL.findall(_without_code(content)):
        if not number:
            everyone = True
        elif len(named) < MENTIONS_MAX and int(number) <= ids.ID_MAX:
            named[mark, int(number)] = None
    users = tuple(number for mark, number in named if not mark)
    return Called(users, tuple(number for mark, number in named if mark), everyone)


def _without_code(content: str) -> str:
    """Return a text without what stands in backticks: a run of them lasts until the next run of equal length, if there
    is one (https://spec.commonmark.org/0.31.2/#code-spans); a fenced block is a run of three."""
    if "`" not in content:
        return content
    runs = [run.span() for run in _TICKS.finditer(content)]
    closing: dict[int, int] = {}
    ends: list[int | None] = [None] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        start, end = runs[number]
        ends[number] = closing.get(end - start)
        closing[end - start] = number
    kept, at, number = [], 0, 0
    while number < len(runs):
        last = ends[number]
        if last is not None:
            kept.append(content[at : runs[number][0]])
            at, number = runs[last][1], last
        number += 1
    # A space, so that what stood on both sides of the code does not become one word.
    return " ".join([*kept, content[at:]])


def of(reader: Reader, channel: Channel, content: str, *, now_ms: int) -> str | None:
    """Return whom a message of this channel's opener calls, packed as a page has it: JSON of [type, id], None for
    nobody."""
    if "@" not in content:
        return None
    called = parse(content)
    # The role with the room's own id is everyone's.
    everyone = called.everyone or reader.room_id in called.role_ids
    found = [("user", user_id) for user_id in called.user_ids if _hears(reader, UserId(user_id), channel, now_ms)]
    if called.role_ids:
        found += [("role", role_id) for role_id in _mentionable(reader, channel, called.role_ids)]
    if everyone and channel.may(permissions.MENTION_EVERYONE):
        found.append(("everyone", 0))
    return orjson.dumps(sorted(found)).decode() if found else None


def _hears(reader: Reader, user_id: UserId, channel: Channel, now_ms: int) -> bool:
    try:
        access.open_channel(reader, user_id, channel.id, 0, now_ms=now_ms)
    except NotFoundError:
        return False
    return True


def _mentionable(reader: Reader, channel: Channel, role_ids: tuple[int, ...]) -> list[int]:
    rows = reader.all(
        "SELECT id FROM roles WHERE id IN (SELECT value FROM json_each(?)) AND id <> ? AND (is_mentionable = 1 OR ?)",
        (orjson.dumps(role_ids).decode(), reader.room_id, channel.may(permissions.MENTION_EVERYONE)),
    )
    return [row[0] for row in rows]


def record(writer: Writer, message_id: MessageId, packed: str) -> None:
    """Write down whom a message calls."""
    writer.run(_INSERT, (message_id, packed))


def forget(writer: Writer, message_ids: list[MessageId]) -> None:
    """Forget whom messages called."""
    writer.run(
        "DELETE FROM message_mentions WHERE message_id IN (SELECT value FROM json_each(?))",
        (orjson.dumps(message_ids).decode(),),
    )


_INSERT = (
    "INSERT INTO message_mentions (message_id, target_type, target_id) "
    "SELECT ?, value ->> 0, value ->> 1 FROM json_each(?)"
)
