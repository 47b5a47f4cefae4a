"""Filters of a search as SQL: which messages pass, and by which index the few that can pass are reached.

What a filter names is looked up in what the member sees: a hidden channel or thread is not found, as a missing one.
Several values of from:, in: and thread: mean any of them, since a message has one of each; all other filters must hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

import ids
from ids import ChannelId
from shard import permissions, queries
from shard.access import Sight
from shard.connections import Reader
from shard.errors import NotFoundError
from shard.queries import Filter, Query


@dataclass(frozen=True, slots=True)
class Source:
    """Ids of candidates, newest first: SQL that takes its own parameters, then an upper and a lower id and a number.

    `is_index` is the word index; every other source is one of messages that a filter leaves.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    is_index: bool = False


@dataclass(frozen=True, slots=True)
class Sieve:
    """What a message must be, apart from its words: in `channels`, with an id from `since` to below `until`, and so
    that `condition` holds. Each of `sources` has all messages that pass."""

    channels: str
    since: int
    until: int
    condition: str
    parameters: tuple[Any, ...]
    sources: tuple[Source, ...]

    def from_id(self, since: int) -> "Sieve":
        """Return this sieve without what is older than an id."""
        return replace(self, since=max(self.since, since))


EVERYTHING: Final = Source("SELECT id FROM messages WHERE id < ? AND id >= ? ORDER BY id DESC LIMIT ?")
_OF_CHANNEL = "SELECT id FROM messages WHERE channel_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
_OF_THREAD = "SELECT id FROM messages WHERE thread_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
_OF_USER = "SELECT id FROM messages WHERE user_id = ? AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
_CALLING = (
    "SELECT message_id AS id FROM message_mentions "
    "WHERE target_type = ? AND target_id = ? AND message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?"
)
_WITH_FILES = (
    "SELECT DISTINCT message_id AS id FROM message_attachments "
    "WHERE message_id IS NOT NULL AND message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?"
)
_WITH_REACTIONS = (
    "SELECT DISTINCT message_id AS id FROM reaction_counts "
    "WHERE message_id < ? AND message_id >= ? ORDER BY message_id DESC LIMIT ?"
)
# Pins of a channel are few, so those of all channels are read and sorted.
_PINNED = (
    "SELECT id FROM messages WHERE is_pinned = 1 "
    "AND channel_id IN (SELECT value FROM json_each(?)) AND id < ? AND id >= ? ORDER BY id DESC LIMIT ?"
)

_FILE = "EXISTS (SELECT 1 FROM message_attachments o WHERE o.message_id = messages.id"
_HAS: Final = {
    "link": "(content LIKE '%http://_%' OR content LIKE '%https://_%')",
    "file": _FILE + ")",
    "image": _FILE + " AND o.mime_type LIKE 'image/%')",
    "video": _FILE + " AND o.mime_type LIKE 'video/%')",
    "audio": _FILE + " AND o.mime_type LIKE 'audio/%')",
    "reaction": "EXISTS (SELECT 1 FROM reaction_counts o WHERE o.message_id = messages.id)",
}
_IS: Final = {
    "pinned": "is_pinned = 1",
    "edited": "edit_count > 0",
    "reply": "reply_to_id IS NOT NULL",
    "thread": "thread_id IS NOT NULL",
}


class _Making:
    """A sieve in the making."""

    def __init__(self, reader: Reader, sight: Sight, query: Query) -> None:
        self.reader, self.sight, self.query = reader, sight, query
        self.since, self.until = 0, ids.ID_MAX
        self.conditions: list[str] = []
        self.parameters: list[Any] = []
        self.sources: list[Source] = []

    def keep(self, condition: str, *parameters: Any, is_wanted: bool = True) -> None:
        self.conditions.append(condition if is_wanted else f"NOT ({condition})")
        self.parameters += parameters


def sieve(reader: Reader, sight: Sight, query: Query, channel_id: ChannelId | None) -> Sieve:
    """Return what a search lets pass of the channels whose history the member may read, or of one of them.

    Raises NotFoundError for a channel or thread that they do not see, ForbiddenError for one whose history is not
    theirs, BadSearchError for a name that nobody has.
    """
    making = _Making(reader, sight, query)
    channels = _channels(making, channel_id)
    _threads(making)
    _authors(making)
    _mentions(making)
    _dates(making)
    for one in query.named("has"):
        value = one.value.lower()
        making.keep(_HAS[value], is_wanted=one.is_wanted)
        if one.is_wanted and value != "link":
            making.sources.append(Source(_WITH_REACTIONS if value == "reaction" else _WITH_FILES))
    for term in query.wanted:
        if not any(map(str.isalnum, term.text)):
            making.keep("instr(content, ?) > 0", term.text)
    packed = _packed(channels)
    for one in query.named("is"):
        making.keep(_IS[one.value.lower()], is_wanted=one.is_wanted)
        if one.is_wanted and one.value.lower() == "pinned":
            making.sources.append(Source(_PINNED, (packed,)))
    if len(channels) == 1:
        making.sources.append(Source(_OF_CHANNEL, (channels[0],)))
    making.keep("channel_id IN (SELECT value FROM json_each(?))", packed)
    # What the server tells has no words of its own.
    making.keep("is_deleted = 0 AND content_type <> 'system'")
    condition = " AND ".join(making.conditions)
    return Sieve(packed, making.since, making.until, condition, tuple(making.parameters), tuple(making.sources))


def _packed(values: Sequence[int]) -> str:
    return orjson.dumps(list(values)).decode()


def _channels(making: _Making, channel_id: ChannelId | None) -> list[ChannelId]:
    channels = making.sight.where(permissions.READ_HISTORY)
    if channel_id is not None:
        making.sight.require(channel_id, permissions.READ_HISTORY)
        channels = [channel_id]
    named = [(_channel(making, one), one.is_wanted) for one in making.query.named("in")]
    wanted = {found for found, is_wanted in named if is_wanted}
    unwanted = {found for found, is_wanted in named if not is_wanted}
    return [one for one in channels if one not in unwanted and (not wanted or one in wanted)]


def _channel(making: _Making, one: Filter) -> ChannelId:
    """Return the channel that a filter means, by its id or its name, if the member may read it."""
    number = _number(one.value)
    if number is None or number not in making.sight.channels:
        row = making.reader.one("SELECT id FROM channels WHERE name = ? COLLATE NOCASE", (one.value.removeprefix("#"),))
        if row is None:
            raise NotFoundError("channel")
        number = row[0]
    found = ChannelId(number)
    making.sight.require(found, permissions.READ_HISTORY if one.is_wanted else 0)
    return found


def _threads(making: _Making) -> None:
    wanted: list[int] = []
    for one in making.query.named("thread"):
        found = _threads_of(making, one)
        if one.is_wanted:
            wanted += found
        else:
            making.keep("(thread_id IS NULL OR thread_id NOT IN (SELECT value FROM json_each(?)))", _packed(found))
    if wanted:
        making.keep("thread_id IN (SELECT value FROM json_each(?))", _packed(wanted))
        if len(wanted) == 1:
            making.sources.append(Source(_OF_THREAD, (wanted[0],)))


def _threads_of(making: _Making, one: Filter) -> list[int]:
    """Return the threads of a title, or the one of an id, in what the member may read."""
    channels = _packed(making.sight.where(permissions.READ_HISTORY))
    rows = making.reader.all(
        "SELECT t.id FROM json_each(?1) c "
        "CROSS JOIN threads t ON t.channel_id = c.value AND t.title = ?2 COLLATE NOCASE "
        "UNION ALL SELECT id FROM threads WHERE id = ?3 AND channel_id IN (SELECT value FROM json_each(?1))",
        (channels, one.value, _number(one.value)),
    )
    if not rows:
        raise NotFoundError("thread")
    return [row[0] for row in rows]


def _authors(making: _Making) -> None:
    wanted: list[int] = []
    for one in making.query.named("from"):
        found = _people(making, one)
        if not found:
            raise one.refused("nobody has this name.")
        if one.is_wanted:
            wanted += found
        else:
            making.keep("user_id NOT IN (SELECT value FROM json_each(?))", _packed(found))
    if wanted:
        making.keep("user_id IN (SELECT value FROM json_each(?))", _packed(wanted))
        if len(set(wanted)) == 1:
            making.sources.append(Source(_OF_USER, (wanted[0],)))


def _people(making: _Making, one: Filter) -> list[int]:
    """Return the users whom a filter can mean; a number is an id, but may be somebody's name too."""
    name = queries.person(one.value)
    if name == "me":
        return [making.sight.member.user_id]
    found: list[int] = [making.query.people[name]] if name in making.query.people else []
    number = _number(name)
    return found if number is None else [*found, number]


def _mentions(making: _Making) -> None:
    for one in making.query.named("mentions"):
        targets = _targets(making, one)
        marks = " OR ".join(["o.target_type = ? AND o.target_id = ?"] * len(targets))
        making.keep(
            f"EXISTS (SELECT 1 FROM message_mentions o WHERE o.message_id = messages.id AND ({marks}))",  # noqa: S608
            *(value for target in targets for value in target),
            is_wanted=one.is_wanted,
        )
        if one.is_wanted and len(targets) == 1:
            making.sources.append(Source(_CALLING, targets[0]))


def _targets(making: _Making, one: Filter) -> list[tuple[str, int]]:
    """Return whom a filter can mean: everyone, users, or roles by id or name."""
    name = queries.person(one.value)
    if name in ("everyone", "here"):
        return [("everyone", 0)]
    rows = making.reader.all("SELECT id FROM roles WHERE id = ? OR name = ? COLLATE NOCASE", (_number(name), name))
    roles = [("role", row[0]) for row in rows]
    people = [("user", user_id) for user_id in _people(making, one) if ("role", user_id) not in roles]
    if not roles and not people:
        raise one.refused("nobody and no role has this name.")
    return roles + people


def _dates(making: _Making) -> None:
    for one in making.query.filters:
        if one.name not in ("before", "after", "during"):
            continue
        begin, end = map(ids.at, queries.period(one))
        if one.name == "during" and not one.is_wanted:
            making.keep("(messages.id < ? OR messages.id >= ?)", begin, end)
        if one.name == "during" and one.is_wanted:
            making.since, making.until = max(making.since, begin), min(making.until, end)
        if one.name == ("before" if one.is_wanted else "after"):
            making.until = min(making.until, begin if one.is_wanted else end)
        if one.name == ("after" if one.is_wanted else "before"):
            making.since = max(making.since, end if one.is_wanted else begin)


def _number(text: str) -> int | None:
    """Return an id from its decimal text, None for everything else."""
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= ids.ID_MAX:
        return int(text)
    return None
