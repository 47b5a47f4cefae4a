"""Filters of a search as SQL: a condition that messages must pass, and the indexes that lead to the few candidates.

Names in filters are looked up among the channels and threads that the member sees: hidden ones are not found.
Several values of from:, in: and thread: mean any of them, since a message has one of each; all other filters must hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

import ids
import word_forms
from ids import ChannelId
from shard import permissions
from shard.access import Sight
from shard.engine import word_index
from shard.engine.connections import Reader
from shard.errors import NotFoundError
from shard.search import query
from shard.search.query import Filter, Query


@dataclass(frozen=True, slots=True)
class Source:
    """A query for ids of candidates, newest first: its own parameters, then an upper id, a lower id and a limit.

    `is_index` is true for the word index; any other source has the messages that pass one filter.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    is_index: bool = False


@dataclass(frozen=True, slots=True)
class Sieve:
    """All conditions of a search except its words: a message is in `channels`, has an id from `since` to below `until`,
    and `condition` holds. Each of `sources` has all messages that pass.

    Messages up to `unindexed_until` may be missing from the word index.
    """

    channels: str
    since: int
    until: int
    condition: str
    parameters: tuple[Any, ...]
    sources: tuple[Source, ...]
    unindexed_until: int = 0

    def from_id(self, since: int) -> "Sieve":
        """Return this sieve without messages older than an id."""
        return replace(self, since=max(self.since, since))


TITLES_MAX: Final = 5_000
"""Threads, the last active first, among which one is looked for whose title is spelled otherwise than asked for."""
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


class _SieveBuilder:
    """A sieve under construction."""

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
    """Return the sieve of a search in the channels whose history the member may read, or in one of them.

    Raises NotFoundError for a channel or thread that they do not see, ForbiddenError for one whose history they
    may not read, BadSearchError for a name that no user has.
    """
    builder = _SieveBuilder(reader, sight, query)
    channels = _channels(builder, channel_id)
    _threads(builder)
    _authors(builder)
    _mentions(builder)
    _dates(builder)
    for one in query.named("has"):
        value = one.value.lower()
        builder.keep(_HAS[value], is_wanted=one.is_wanted)
        if one.is_wanted and value != "link":
            builder.sources.append(Source(_WITH_REACTIONS if value == "reaction" else _WITH_FILES))
    packed = _packed(channels)
    for one in query.named("is"):
        builder.keep(_IS[one.value.lower()], is_wanted=one.is_wanted)
        if one.is_wanted and one.value.lower() == "pinned":
            builder.sources.append(Source(_PINNED, (packed,)))
    if len(channels) == 1:
        builder.sources.append(Source(_OF_CHANNEL, (channels[0],)))
    builder.keep("channel_id IN (SELECT value FROM json_each(?))", packed)
    # System messages have no text to search.
    builder.keep("is_deleted = 0 AND content_type <> 'system'")
    condition = " AND ".join(builder.conditions)
    return Sieve(
        packed,
        builder.since,
        builder.until,
        condition,
        tuple(builder.parameters),
        tuple(builder.sources),
        word_index.unindexed_until(reader),
    )


def _packed(values: Sequence[int]) -> str:
    return orjson.dumps(list(values)).decode()


def _channels(builder: _SieveBuilder, channel_id: ChannelId | None) -> list[ChannelId]:
    channels = builder.sight.where(permissions.READ_HISTORY)
    if channel_id is not None:
        builder.sight.require(channel_id, permissions.READ_HISTORY)
        channels = [channel_id]
    named = [(_channel(builder, one), one.is_wanted) for one in builder.query.named("in")]
    wanted = {found for found, is_wanted in named if is_wanted}
    unwanted = {found for found, is_wanted in named if not is_wanted}
    return [one for one in channels if one not in unwanted and (not wanted or one in wanted)]


def _channel(builder: _SieveBuilder, one: Filter) -> ChannelId:
    """Return the channel that a filter means, by its id or its name, if the member may read it."""
    number = _number(one.value)
    if number is None or number not in builder.sight.channels:
        name = one.value.removeprefix("#")
        rows = builder.reader.all(
            "SELECT id, name FROM channels WHERE deleted_at IS NULL ORDER BY name = ? DESC", (name,)
        )
        named = _of_name(rows, name)
        if not named:
            raise NotFoundError("channel")
        number = named[0]
    found = ChannelId(number)
    builder.sight.require(found, permissions.READ_HISTORY if one.is_wanted else 0)
    return found


def _threads(builder: _SieveBuilder) -> None:
    wanted: list[int] = []
    for one in builder.query.named("thread"):
        found = _threads_of(builder, one)
        if one.is_wanted:
            wanted += found
        else:
            builder.keep("(thread_id IS NULL OR thread_id NOT IN (SELECT value FROM json_each(?)))", _packed(found))
    if wanted:
        builder.keep("thread_id IN (SELECT value FROM json_each(?))", _packed(wanted))
        if len(wanted) == 1:
            builder.sources.append(Source(_OF_THREAD, (wanted[0],)))


def _threads_of(builder: _SieveBuilder, one: Filter) -> list[int]:
    """Return the one thread of an id, or else the threads of a title, in what the member may read."""
    channels = _packed(builder.sight.where(permissions.READ_HISTORY))
    rows = builder.reader.all(
        "SELECT id FROM threads WHERE id = ? AND channel_id IN (SELECT value FROM json_each(?))",
        (_number(one.value), channels),
    ) or builder.reader.all(
        "SELECT t.id FROM json_each(?) c CROSS JOIN threads t ON t.channel_id = c.value AND t.title = ? COLLATE NOCASE",
        (channels, one.value),
    )
    if rows:
        return [row[0] for row in rows]
    titles = builder.reader.all(
        "SELECT id, title FROM threads WHERE channel_id IN (SELECT value FROM json_each(?)) "
        "ORDER BY last_message_at DESC LIMIT ?",
        (channels, TITLES_MAX),
    )
    found = _of_name(titles, one.value)
    if not found:
        raise NotFoundError("thread")
    return found


def _authors(builder: _SieveBuilder) -> None:
    wanted: list[int] = []
    for one in builder.query.named("from"):
        found = _people(builder, one)
        if not found:
            raise one.refused("nobody has this name.")
        if one.is_wanted:
            wanted += found
        else:
            builder.keep("user_id NOT IN (SELECT value FROM json_each(?))", _packed(found))
    if wanted:
        builder.keep("user_id IN (SELECT value FROM json_each(?))", _packed(wanted))
        if len(set(wanted)) == 1:
            builder.sources.append(Source(_OF_USER, (wanted[0],)))


def _people(builder: _SieveBuilder, one: Filter) -> list[int]:
    """Return the user whom a filter means, or nobody; a number that nobody is found by is an id."""
    name = query.person(one.value)
    if name == "me":
        return [builder.sight.member.user_id]
    found = builder.query.people.get(name)
    number = _number(name.removeprefix("@")) if found is None else found
    return [] if number is None else [number]


def _mentions(builder: _SieveBuilder) -> None:
    for one in builder.query.named("mentions"):
        targets = _targets(builder, one)
        marks = " OR ".join(["o.target_type = ? AND o.target_id = ?"] * len(targets))
        builder.keep(
            f"EXISTS (SELECT 1 FROM message_mentions o WHERE o.message_id = messages.id AND ({marks}))",  # noqa: S608
            *(value for target in targets for value in target),
            is_wanted=one.is_wanted,
        )
        if one.is_wanted and len(targets) == 1:
            builder.sources.append(Source(_CALLING, targets[0]))


def _targets(builder: _SieveBuilder, one: Filter) -> list[tuple[str, int]]:
    """Return whom a filter can mean: everyone, the role or the user of an id, or users and roles of a name.

    What is called like the id of another is not meant by it.
    """
    name = query.person(one.value)
    if name in ("everyone", "here"):
        return [("everyone", 0)]
    bare = name.removeprefix("@")
    number, known = _number(bare), builder.query.people.get(name)
    people = [("user", user_id) for user_id in _people(builder, one)]
    if number is not None and known is not None and (known == number or name != bare):
        return people
    if number is not None and builder.reader.one("SELECT 1 FROM roles WHERE id = ?", (number,)) is not None:
        return [("role", number)]
    roles = [("role", role_id) for role_id in _of_name(builder.reader.all("SELECT id, name FROM roles"), bare)]
    if not roles and not people:
        raise one.refused("nobody and no role has this name.")
    return roles + people


def _of_name(rows: Sequence[tuple[Any, ...]], name: str) -> list[int]:
    """Return the ids among rows of id and name with this name, in whatever spelling."""
    key = word_forms.name_key(name)
    return [row[0] for row in rows if word_forms.name_key(row[1]) == key]


def _dates(builder: _SieveBuilder) -> None:
    for one in builder.query.filters:
        if one.name not in ("before", "after", "during"):
            continue
        begin, end = map(ids.at, query.period(one, builder.query.zone))
        if one.name == "during" and not one.is_wanted:
            builder.keep("(messages.id < ? OR messages.id >= ?)", begin, end)
        if one.name == "during" and one.is_wanted:
            builder.since, builder.until = max(builder.since, begin), min(builder.until, end)
        if one.name == ("before" if one.is_wanted else "after"):
            builder.until = min(builder.until, begin if one.is_wanted else end)
        if one.name == ("after" if one.is_wanted else "before"):
            builder.since = max(builder.since, end if one.is_wanted else begin)


def _number(text: str) -> int | None:
    """Return an id from its decimal text, None for everything else."""
    if text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= ids.ID_MAX:
        return int(text)
    return None
