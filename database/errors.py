"""Errors of a central database file, the same for every store.

DatabaseError
├── ConstraintError            a value breaks a rule of the schema, and always will
├── StorageFullError           the disk is full, or the file as large as it may be; nothing was written
├── UnavailableError           try again later; says when
│   ├── DatabaseBusyError      another process holds the write lock
│   └── CommitUnknownError     the disk failed in the commit: look before repeating
└── WrongDatabaseError         the file is not a database of the store that opens it

`store` is the name of the store whose file it is, such as "directory".
"""

from pathlib import Path


class DatabaseError(Exception):
    """Base of the errors of a central database."""


class ConstraintError(DatabaseError):
    """A value breaks a rule of the schema; the same value will be refused again."""

    def __init__(self, store: str, reason: str) -> None:
        self.store, self.reason = store, reason
        super().__init__(f"The {store} refuses a value: {reason}.")


class StorageFullError(DatabaseError):
    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(
            f"The {store} has no space left: its disk is full, or its file has reached its limit. Nothing was written."
        )


class UnavailableError(DatabaseError):
    """The database cannot do this now. `retry_after_seconds` is when asking again may help."""

    retry_after_seconds: int = 1


class DatabaseBusyError(UnavailableError):
    def __init__(self, store: str) -> None:
        self.store = store
        super().__init__(f"Another process is writing to the {store}. Try again in a second.")


class CommitUnknownError(UnavailableError):
    """A commit whose fsync failed: its rows are not visible now, but may be after a crash."""

    def __init__(self) -> None:
        super().__init__("The disk failed while this was being stored, so it may or may not be there. Look first.")


class WrongDatabaseError(DatabaseError):
    def __init__(self, store: str, path: Path, reason: str) -> None:
        self.store, self.path, self.reason = store, path, reason
        super().__init__(f"{path} is not a {store} of this program: {reason}. Check the configured path.")
