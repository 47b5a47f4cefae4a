"""The registry of event types: one line for each type in a room's log, with everything that depends on it.

The names are in stored rows and on the wire, so they never change. A new type is one line here, a row of the table in
docs/data-model.md, and the place where it is written. A log may have types that this release does not know: for them
the sets below give the safe answer.
"""

from enum import Enum, StrEnum, auto
from typing import Final


class SightOf(Enum):
    """The members whose visible channels or permissions may differ after an event."""

    NOBODY = auto()
    ONE_MEMBER = auto()
    """The member in the payload's `user_id`, or without one the actor."""
    EVERYBODY = auto()


class Trait(Enum):
    """A property of an event type on which another part of the server depends."""

    CARRIES_MESSAGE = auto()
    """Published with the present message, if it still exists."""
    REWRITES = auto()
    """Changes a message that earlier events were rendered with."""
    FOR_MODERATORS = auto()
    """Published only to members with the permission to ban."""
    FREES_FILES = auto()
    """Frees files whose bytes must then be removed."""


class EventType(StrEnum):
    """A type of event: its name, its meaning, the members whose visibility it changes, and its traits."""

    _value_: str
    meaning: str
    changes_sight_of: SightOf
    traits: frozenset[Trait]

    def __new__(cls, name: str, meaning: str, changes_sight_of: SightOf, *traits: Trait) -> "EventType":
        self = str.__new__(cls, name)
        self._value_ = name
        self.meaning = meaning
        self.changes_sight_of = changes_sight_of
        self.traits = frozenset(traits)
        return self

    # fmt: off
    MESSAGE_CREATED = "message.created", "a message was stored", SightOf.NOBODY, Trait.CARRIES_MESSAGE
    MESSAGE_EDITED = "message.edited", "a message was edited", SightOf.NOBODY, Trait.CARRIES_MESSAGE, Trait.REWRITES
    MESSAGE_DELETED = "message.deleted", "a message was taken out", SightOf.NOBODY, Trait.REWRITES, Trait.FREES_FILES
    MESSAGE_MOVED = "message.moved", "a message changed its thread", SightOf.NOBODY, Trait.REWRITES
    MESSAGE_PINNED = "message.pinned", "a message was pinned", SightOf.NOBODY
    MESSAGE_UNPINNED = "message.unpinned", "a message is no longer pinned", SightOf.NOBODY

    REACTION_ADDED = "reaction.added", "somebody reacted", SightOf.NOBODY
    REACTION_REMOVED = "reaction.removed", "a reaction was taken away", SightOf.NOBODY
    REACTION_CLEARED = "reaction.cleared", "all reactions with some emoji were removed", SightOf.NOBODY

    THREAD_CREATED = "thread.created", "a thread was opened", SightOf.NOBODY
    THREAD_EDITED = "thread.edited", "a thread was renamed, locked, archived or revived", SightOf.NOBODY

    VOICE_JOINED = "voice.joined", "somebody came into a voice channel", SightOf.NOBODY
    VOICE_LEFT = "voice.left", "somebody left a voice channel", SightOf.NOBODY
    VOICE_ENDED = "voice.ended", "the last one left a voice channel", SightOf.NOBODY
    VOICE_UPDATED = "voice.updated", "what the media server calls a session was noted", SightOf.NOBODY

    WEBHOOK_CREATED = "webhook.created", "a webhook was made", SightOf.NOBODY
    WEBHOOK_EDITED = "webhook.edited", "a webhook changed", SightOf.NOBODY
    WEBHOOK_RENEWED = "webhook.renewed", "a webhook got another token or secret", SightOf.NOBODY
    WEBHOOK_DELETED = "webhook.deleted", "a webhook was deleted", SightOf.NOBODY
    WEBHOOK_DISABLED = "webhook.disabled", "the server gave a webhook up", SightOf.NOBODY

    MEMBER_JOINED = "member.joined", "somebody became a member", SightOf.ONE_MEMBER
    MEMBER_LEFT = "member.left", "somebody is no longer a member", SightOf.ONE_MEMBER
    MEMBER_KICKED = "member.kicked", "a moderator put somebody out", SightOf.ONE_MEMBER
    MEMBER_BANNED = "member.banned", "somebody was banned", SightOf.NOBODY, Trait.FOR_MODERATORS
    MEMBER_UNBANNED = "member.unbanned", "a ban was lifted", SightOf.NOBODY, Trait.FOR_MODERATORS
    MEMBER_TIMED_OUT = "member.timed_out", "somebody can only read for a while", SightOf.NOBODY
    MEMBER_RENAMED = "member.renamed", "a nickname changed", SightOf.NOBODY
    MEMBER_PROMOTED = "member.promoted", "the owner of a group made a moderator", SightOf.ONE_MEMBER
    MEMBER_DEMOTED = "member.demoted", "the owner of a group unmade a moderator", SightOf.ONE_MEMBER

    ROLE_CREATED = "role.created", "a role was made", SightOf.EVERYBODY
    ROLE_EDITED = "role.edited", "a role changed", SightOf.EVERYBODY
    ROLE_DELETED = "role.deleted", "a role was deleted", SightOf.EVERYBODY
    ROLE_REORDERED = "role.reordered", "roles were put in order", SightOf.EVERYBODY
    ROLE_GRANTED = "role.granted", "a member was given a role", SightOf.ONE_MEMBER
    ROLE_REVOKED = "role.revoked", "a member lost a role", SightOf.ONE_MEMBER

    CHANNEL_CREATED = "channel.created", "a channel was made", SightOf.EVERYBODY
    CHANNEL_EDITED = "channel.edited", "a channel changed", SightOf.EVERYBODY
    CHANNEL_DELETED = "channel.deleted", "a channel was deleted", SightOf.EVERYBODY, Trait.REWRITES, Trait.FREES_FILES
    OVERWRITE_SET = "overwrite.set", "an overwrite of a channel was set", SightOf.EVERYBODY
    OVERWRITE_REMOVED = "overwrite.removed", "an overwrite of a channel was removed", SightOf.EVERYBODY
    CATEGORY_CREATED = "category.created", "a category was made", SightOf.EVERYBODY
    CATEGORY_EDITED = "category.edited", "a category or its overwrites changed", SightOf.EVERYBODY
    CATEGORY_DELETED = "category.deleted", "a category was deleted", SightOf.EVERYBODY

    ROOM_CREATED = "room.created", "the shard was founded", SightOf.EVERYBODY
    ROOM_UPDATED = "room.updated", "settings of the room changed", SightOf.NOBODY
    ROOM_REORDERED = "room.reordered", "channels and categories were put in order", SightOf.NOBODY
    ROOM_TRANSFERRED = "room.transferred", "the room got another owner", SightOf.EVERYBODY
    ROOM_DELETED = "room.deleted", "the owner ended the room", SightOf.EVERYBODY
    ROOM_RESTORED = "room.restored", "the file was replaced by a copy of it", SightOf.EVERYBODY

    # The log may begin later then: a subscriber that reads its audience again gets the log's first number with it.
    HISTORY_ARCHIVED = "history.archived", "messages moved into a segment", SightOf.EVERYBODY
    HISTORY_DELETED = "history.deleted", "a segment became too old and was removed", SightOf.EVERYBODY
    # fmt: on


class AuditAction(StrEnum):
    """An action in the audit log that has no event; all other actions there have the name of their event."""

    BOT_ADDED = "bot.added"
    BOT_REMOVED = "bot.removed"
    CATEGORY_OVERWRITTEN = "category.overwritten"
    CHANNEL_OVERWRITTEN = "channel.overwritten"
    HISTORY_POLICY_CHANGED = "history.policy_changed"
    INVITE_CREATED = "invite.created"
    INVITE_REVOKED = "invite.revoked"
    MEMBER_ADDED = "member.added"
    MEMBER_MESSAGES_ERASED = "member.messages_erased"
    MESSAGE_BULK_DELETED = "message.bulk_deleted"


WEBHOOK_PINGED: Final = "webhook.pinged"
"""The type of a webhook's test delivery: it is in no log, so nobody can subscribe to it."""

TYPES: Final = frozenset(str(type_) for type_ in EventType)
NOUNS: Final[frozenset[str]] = frozenset(type_.partition(".")[0] for type_ in EventType)
"""First words of the types: a webhook with one of them in its list subscribes to all types that begin with it."""


def _with(trait: Trait) -> frozenset[str]:
    return frozenset(str(type_) for type_ in EventType if trait in type_.traits)


def _changing(sight_of: SightOf) -> frozenset[str]:
    return frozenset(str(type_) for type_ in EventType if type_.changes_sight_of is sight_of)


# Sets of plain strings, as the log returns types, because they are checked for every event of every commit.
CARRIES_MESSAGE: Final = _with(Trait.CARRIES_MESSAGE)
REWRITES: Final = _with(Trait.REWRITES)
FOR_MODERATORS: Final = _with(Trait.FOR_MODERATORS)
FREES_FILES: Final = _with(Trait.FREES_FILES)
CHANGES_SIGHT_OF_NOBODY: Final = _changing(SightOf.NOBODY)
CHANGES_SIGHT_OF_ONE_MEMBER: Final = _changing(SightOf.ONE_MEMBER)
"""Types in neither of these two sets, unknown ones included, change everybody's visibility."""
