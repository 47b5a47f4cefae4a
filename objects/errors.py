"""Errors of object stores.

ObjectError
├── BadKeyError                the key (or prefix) is not one that a store accepts
├── BadContentError            the announced type, size or hash cannot be that of an object
├── ContentMismatchError       the bytes of an upload are not the announced ones; none were kept
├── ObjectNotFoundError        nothing is stored under the key
├── ObjectExistsError          another put under the same key was first; nothing was changed
├── ObjectTooLargeError        the object has more bytes than the reader takes
├── CorruptObjectError         the stored bytes are not those that were put
├── SignatureRefusedError      a signed path is forged, altered or expired
├── StoreFullError             no space left, or a quota is used up; nothing was kept
└── StoreUnavailableError      the store does not answer now; says when asking again may help
    └── NotOwnedError          the objects are another installation's: nothing is removed

The `meaning` of a class, where it has one, tells clients how to react.
"""


class ObjectError(Exception):
    """Base of the errors of an object store."""


class BadKeyError(ObjectError):
    """The key is not one that a store accepts."""

    def __init__(self, key: str, rule: str) -> None:
        self.key = key
        super().__init__(f"{key[:100]!r} cannot be an object's key: {rule}.")


class BadContentError(ObjectError):
    """An object cannot have this type, size or hash."""


class ContentMismatchError(ObjectError):
    """The bytes of an upload are not the announced ones. `field` is "size_bytes" or "sha256"."""

    def __init__(self, field: str, *, announced: int | str, found: int | str) -> None:
        self.field = field
        self.announced = announced
        self.found = found
        super().__init__(f"The upload's {field} is {found}, and {announced} was announced; send the announced file.")


class ObjectNotFoundError(ObjectError):
    """There is no object under the key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"There is no object {key}.")


class ObjectExistsError(ObjectError):
    """There is an object under the key already, and objects never change."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"There is an object {key} already; use another key, or delete it first.")


class ObjectTooLargeError(ObjectError):
    """The object is larger than the reader allows."""

    def __init__(self, key: str, *, size_bytes: int, size_bytes_max: int) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.size_bytes_max = size_bytes_max
        super().__init__(f"{key} has {size_bytes} bytes, more than {size_bytes_max}; read it in pieces.")


class CorruptObjectError(ObjectError):
    """The bytes under the key were changed or lost after they were put."""

    meaning = "The file's bytes were lost or changed in the server's storage; an operator has to look."

    def __init__(self, key: str, fault: str) -> None:
        self.key = key
        self.fault = fault
        super().__init__(f"{key} is damaged ({fault}); restore it from a backup.")


class SignatureRefusedError(ObjectError):
    """The signed path does not allow this request. `is_expired` when it would have, earlier."""

    meaning = "The link is not as the server gave it, or its time is over. Ask for a new one."

    def __init__(self, *, is_expired: bool) -> None:
        self.is_expired = is_expired
        super().__init__("This link has expired; ask for a new one." if is_expired else "This link is not valid.")


class StoreFullError(ObjectError):
    """There was no space for the object; nothing of it was kept."""


class StoreUnavailableError(ObjectError):
    """The store cannot be used now. A put may have been stored or not: `head` tells."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class NotOwnedError(StoreUnavailableError):
    """The own prefix may belong to another installation by now: what is to be removed stays."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing is removed from object storage: this installation does not hold its prefix (see the log, and "
            "rookery adopt --help).",
            retry_after_seconds=300,
        )
