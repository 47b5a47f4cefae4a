"""The errors that a shard raises instead of returning a result.

ShardError
├── RejectedError              the action is refused; the same request will be refused again
│   ├── NotFoundError          does not exist, or this person may not see it: one answer for both
│   │   └── MaybeArchivedError          not in the shard's tables; names the segments that may have it
│   ├── ForbiddenError         visible, but this needs a permission that the person lacks
│   ├── ConflictError          the room's present state forbids the action
│   │   └── ArchivedError       the message is in the archive, where it cannot be changed
│   ├── SlowModeError          too soon after this person's last message in the channel; has the seconds to wait
│   └── BadSearchError         the search text is empty or too complex
├── ShardFullError             the disk or the shard's size limit; nothing was written
└── UnavailableError           try again later; has the seconds to wait
    ├── ShardBusyError         a limit was reached (queue, open shards, another process's lock)
    ├── DeadlineError          the action took too long and was stopped; nothing was written
    ├── ArchiveUnavailableError  object storage does not return a segment now; the live part of the room works
    ├── WakingError            the room is hibernated and cannot be restored now; nothing is lost
    ├── BrokenShardError       this room's file is missing, damaged or another room's
    └── OutcomeUnknownError    the commit failed with an I/O error: repeat with the same nonce to learn

The `meaning` of a class tells clients how to react to the error.
"""


class ShardError(Exception):
    """Base of all errors of a shard."""


class RejectedError(ShardError):
    """The action is refused, and nothing was written."""


class NotFoundError(RejectedError):
    """The thing does not exist, or this person may not see it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"There is no such {kind}, or you may not see it.")


class ForbiddenError(RejectedError):
    """The person sees the thing but lacks the permission for the action."""

    def __init__(self, message: str, *, need: str) -> None:
        self.need = need
        super().__init__(message)


class ConflictError(RejectedError):
    """The present state of the room forbids the action."""

    meaning = "The present state forbids it, such as a full room or an archived channel; detail says which."


class ArchivedError(ConflictError):
    """The message is in the archive, where it can only be read, found and deleted."""

    meaning = "The message is in the archive: it can be read and deleted, but no longer changed."

    def __init__(self) -> None:
        super().__init__("This message is in the archive: it can be read and deleted, but no longer changed.")


class SlowModeError(RejectedError):
    """The channel is in slow mode; this person may send again after `retry_after_seconds`."""

    meaning = "The channel is in slow mode and your last message a moment ago. Wait as long as Retry-After says."

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"This channel is in slow mode: send again in {retry_after_seconds} s.")


class BadSearchError(RejectedError):
    """The search text has no words to search for, or too many."""

    meaning = "The search has no word, no phrase and no beginning of a word, or too many of them."


class ShardFullError(ShardError):
    """The disk or the size limit left no space; nothing was written."""

    meaning = "The disk or the room is full, or the room is read-only. Nothing was stored."


class UnavailableError(ShardError):
    """The shard cannot answer now; a retry may succeed after `retry_after_seconds`."""

    meaning = "Too much is going on, and nothing was stored. Repeat it a little later."
    retry_after_seconds: int = 1


class ShardBusyError(UnavailableError):
    """A limit was reached before the action began."""


class DeadlineError(UnavailableError):
    """The action was stopped at its deadline, and nothing was written."""

    meaning = "It took too long and was stopped, and nothing was stored. Ask for less at once."


class WakingError(UnavailableError):
    """The room is hibernated, and object storage takes too long to return it or does not answer."""

    meaning = "This room was not used for long and comes back from object storage. Repeat it a little later."
    retry_after_seconds = 3


class BrokenShardError(UnavailableError):
    """The room's file cannot be used; all other rooms work. `belongs_to` is another room whose file it is."""

    meaning = "This room's file is missing or damaged, and an operator has to look; other rooms go on."
    retry_after_seconds = 30

    def __init__(self, room_id: int, reason: str, *, belongs_to: int | None = None) -> None:
        self.room_id, self.reason, self.belongs_to = room_id, reason, belongs_to
        super().__init__(f"The storage of this room cannot be used: {reason}.")


class ArchiveUnavailableError(UnavailableError):
    """Object storage does not return a segment now, or returns other bytes; a retry is safe."""

    meaning = "It is in the archive, which cannot be reached now. Repeat it later as it was."
    retry_after_seconds = 5

    def __init__(self, object_key: str) -> None:
        self.object_key = object_key
        super().__init__("The archive cannot be reached now, so older messages cannot be read; newer ones can.")


class OutcomeUnknownError(UnavailableError):
    """A commit failed with an I/O error: after a failed fsync the rows may be there at the next open."""

    meaning = (
        "The disk failed while this was stored. Send a message again with the same nonce; look before repeating "
        "anything else."
    )

    def __init__(self) -> None:
        super().__init__(
            "The disk failed while this was being stored, so it may or may not be there. "
            "Repeat the request with the same nonce: it will be stored once."
        )
