"""What a shard can answer instead of a result.

ShardError
├── RejectedError              the act is refused; the same request will be refused again
│   ├── NotFoundError          not there, or not for this person to see: one answer for both
│   │   └── MovedError          not in the shard's tables; segments that may have it are named
│   ├── ForbiddenError         visible, but this needs a permission that the person lacks
│   ├── ConflictError          the room's present state forbids it
│   │   └── ArchivedError       the message is in the archive, where it does not change
│   ├── SlowModeError          too soon after this person's last message in the channel; says when it may be sent
│   └── BadSearchError         the search text cannot be searched for
├── ShardFullError             the disk or the shard's size limit; nothing was written
└── UnavailableError           try again later; says when, and whether something may have been written
    ├── ShardBusyError         a bound was reached (queue, open shards, another process's lock)
    ├── DeadlineError          the act took too long and was stopped; nothing was written
    ├── ArchiveUnavailableError  object storage does not give out a segment now; the live part of the room answers
    ├── WakingError            the room is hibernated, and cannot be brought back just now; nothing is lost
    ├── BrokenShardError       this room's file is missing, damaged or another room's
    └── OutcomeUnknownError    the commit failed with an I/O error: repeat with the same nonce to learn
"""


class ShardError(Exception):
    """Base of everything that a shard answers instead of a result."""


class RejectedError(ShardError):
    """The act is refused and left nothing behind."""


class NotFoundError(RejectedError):
    """There is no such thing for this person."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"There is no such {kind}, or you may not see it.")


class ForbiddenError(RejectedError):
    """The person sees the thing but may not do this with it."""

    def __init__(self, message: str, *, need: str) -> None:
        self.need = need
        super().__init__(message)


class ConflictError(RejectedError):
    """The state of the room forbids the act."""


class ArchivedError(ConflictError):
    """The message is in the archive: it can be read, found and deleted, and nothing else."""

    def __init__(self) -> None:
        super().__init__("This message is in the archive: it can be read and deleted, but no longer changed.")


class SlowModeError(RejectedError):
    """The channel is in slow mode. `retry_after_seconds` is when this person may send again."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"This channel is in slow mode: send again in {retry_after_seconds} s.")


class BadSearchError(RejectedError):
    """The search text has nothing to search for, or too much."""


class ShardFullError(ShardError):
    """There was no room to write; nothing of the act was kept."""


class UnavailableError(ShardError):
    """The shard cannot answer now. `retry_after_seconds` is when asking again may help."""

    retry_after_seconds: int = 1


class ShardBusyError(UnavailableError):
    """A bound was reached before the act began."""


class DeadlineError(UnavailableError):
    """The act was stopped at its deadline and left nothing behind."""


class WakingError(UnavailableError):
    """The room is hibernated and comes back from object storage, which takes too long or does not answer."""

    retry_after_seconds = 3


class BrokenShardError(UnavailableError):
    """The room's file cannot be used; all other rooms go on."""

    retry_after_seconds = 30

    def __init__(self, room_id: int, reason: str) -> None:
        self.room_id, self.reason = room_id, reason
        super().__init__(f"The storage of this room cannot be used: {reason}.")


class ArchiveUnavailableError(UnavailableError):
    """A segment cannot be had now, or what object storage has is not it. Nothing is lost by asking again."""

    retry_after_seconds = 5

    def __init__(self, object_key: str) -> None:
        self.object_key = object_key
        super().__init__("The archive cannot be reached now, so older messages cannot be read; newer ones can.")


class OutcomeUnknownError(UnavailableError):
    """A commit failed with an I/O error: after a failed fsync the rows may be there at the next open."""

    def __init__(self) -> None:
        super().__init__(
            "The disk failed while this was being stored, so it may or may not be there. "
            "Repeat the request with the same nonce: it will be stored once."
        )
