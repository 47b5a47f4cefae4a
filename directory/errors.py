"""Errors of the directory.

DirectoryError
├── NotFoundError              not there
│   ├── UserNotFoundError
│   ├── RoomNotFoundError
│   ├── SessionNotFoundError
│   ├── BotNotFoundError       unknown, or private and another's: one answer for both
│   ├── BotTokenNotFoundError
│   ├── AlertNotFoundError
│   └── RunNotFoundError
├── TakenError                 someone else has it
│   ├── UsernameTakenError
│   │   └── ConfusableUsernameError   free, but it looks like a name that is not
│   ├── EmailTakenError
│   └── RoomNameTakenError
├── RefusedValueError          the value can never be stored
│   ├── BadUsernameError
│   ├── ReservedUsernameError
│   ├── BadRoomNameError
│   └── BadPasswordError       too short or too long
├── RefusedError               the act is refused in the present state
│   ├── BadCredentialsError    unknown user or wrong password: one answer for both
│   ├── AccountSuspendedError  raised only after the right password
│   ├── AccountBannedError     likewise
│   ├── InviteNotUsableError   unknown, expired, used up or revoked: one answer for all
│   ├── RunningAlreadyError    such a job runs on the room already
│   ├── BlockingError          the person who asks blocks the other
│   ├── MessagesRefusedError   the other accepts no messages: blocked, closed, deleted: one answer for all
│   ├── LimitReachedError      as many as one may have; says how many
│   │   ├── TooManyRoomsError
│   │   ├── TooManyInvitesError
│   │   ├── TooManyChatsError
│   │   ├── TooManyBlocksError
│   │   ├── TooManyBotsError
│   │   ├── TooManyRunsError
│   │   └── TooManyTokensError
│   ├── QuotaExceededError     the files would be more than one may store; says how many bytes there are
│   ├── AlreadyClaimedError    somebody has the account of an imported name, or it was never made for one
│   ├── NoBotsError            guests and bots have none
│   ├── OutrankedError         nobody acts upon themselves, moderators only upon people without a capability
│   └── LastAdminError
└── UnavailableError           try again later; says when
    └── HashingBusyError       too many passwords are being checked

The `meaning` of a class says to clients what to do about it.

Errors of the file itself (full, busy, broken, a value that breaks the schema) are in database/errors.py.
"""


class DirectoryError(Exception):
    """Base of the directory's errors."""


class NotFoundError(DirectoryError):
    """There is no such thing."""


class UserNotFoundError(NotFoundError):
    def __init__(self, user: int | str) -> None:
        self.user = user
        super().__init__(f"There is no user {user}.")


class RoomNotFoundError(NotFoundError):
    def __init__(self, room: int | str) -> None:
        self.room = room
        super().__init__(f"There is no room {room}.")


class SessionNotFoundError(NotFoundError):
    def __init__(self) -> None:
        super().__init__("There is no such session; it may have ended already.")


class BotNotFoundError(NotFoundError):
    def __init__(self, bot_id: int) -> None:
        self.bot_id = bot_id
        super().__init__("There is no such bot, or it is not yours.")


class BotTokenNotFoundError(NotFoundError):
    def __init__(self) -> None:
        super().__init__("This bot has no such token; it may have ended already.")


class AlertNotFoundError(NotFoundError):
    def __init__(self, alert_id: int) -> None:
        self.alert_id = alert_id
        super().__init__(f"There is no alert {alert_id}.")


class RunNotFoundError(NotFoundError):
    def __init__(self, run_id: int) -> None:
        self.run_id = run_id
        super().__init__("There is no such job.")


class TakenError(DirectoryError):
    """Someone else has it; another choice will do."""

    meaning = "Somebody else has this name or address. Choose another one."


class UsernameTakenError(TakenError):
    def __init__(self, username: str) -> None:
        self.username = username
        super().__init__(f"The username {username} is taken. Choose another one.")


class ConfusableUsernameError(UsernameTakenError):
    """The name is free, but a reader would take it for another account's."""

    def __init__(self, username: str) -> None:
        super().__init__(username)
        self.args = (f"The username {username} looks like one that is taken. Choose one that cannot be mixed up.",)


class EmailTakenError(TakenError):
    def __init__(self) -> None:
        super().__init__("Another account uses this e-mail address. Log in to it, or use another address.")


class RoomNameTakenError(TakenError):
    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The room name {name} is taken. Choose another one.")


class RefusedValueError(DirectoryError):
    """A value breaks a rule of the directory; the same value will be refused again."""


class BadUsernameError(RefusedValueError):
    def __init__(self) -> None:
        super().__init__("A username has 3 to 30 letters (a-z, A-Z), digits and underscores.")


class ReservedUsernameError(RefusedValueError):
    def __init__(self, username: str) -> None:
        super().__init__(
            f"{username} is reserved: a username is not a number alone, not everyone or here, and does not begin with "
            "deleted_, guest_, hook_ or imported_."
        )
        self.username = username


class BadRoomNameError(RefusedValueError):
    def __init__(self) -> None:
        super().__init__(
            "A community's name has 2 to 50 small letters, digits and hyphens, and starts with a letter or a digit; "
            "groups and direct chats have none."
        )


class BadPasswordError(RefusedValueError):
    def __init__(self, chars_min: int, chars_max: int) -> None:
        self.chars_min, self.chars_max = chars_min, chars_max
        super().__init__(f"A password has {chars_min} to {chars_max} characters, of any kind.")


class RefusedError(DirectoryError):
    """The present state forbids the act."""


class BadCredentialsError(RefusedError):
    meaning = "The name or the password is wrong; which of them is not told."

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")


class AccountSuspendedError(RefusedError):
    def __init__(self) -> None:
        super().__init__("This account is suspended. Ask an administrator.")


class AccountBannedError(RefusedError):
    """`expires_at` in milliseconds UTC; None means for good."""

    def __init__(self, reason: str, expires_at: int | None) -> None:
        self.reason, self.expires_at = reason, expires_at
        super().__init__(f"This account is banned: {reason}")


class InviteNotUsableError(RefusedError):
    def __init__(self) -> None:
        super().__init__("This invite cannot be used. Ask for a new one.")


class RunningAlreadyError(RefusedError):
    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(f"A job of the kind {kind} runs upon this room already.")


class BlockingError(RefusedError):
    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        super().__init__(f"You block the user {user_id}. Lift the block first.")


class MessagesRefusedError(RefusedError):
    """Never gives the reason: a blocked user must not learn of the block."""

    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        super().__init__(f"The user {user_id} takes no messages from you.")


class LimitReachedError(RefusedError):
    """A user, room or bot has as many of something as allowed."""


class TooManyInvitesError(LimitReachedError):
    def __init__(self, invites_max: int, *, is_own: bool) -> None:
        self.invites_max = invites_max
        whose = "You have" if is_own else "This room has"
        super().__init__(f"{whose} {invites_max} invites that work, which is the limit. Revoke one, or use one.")


class TooManyChatsError(LimitReachedError):
    def __init__(self, chats_max: int) -> None:
        self.chats_max = chats_max
        super().__init__(f"You opened {chats_max} direct chats, which is the limit. Let others write to you first.")


class TooManyBlocksError(LimitReachedError):
    def __init__(self, blocks_max: int) -> None:
        self.blocks_max = blocks_max
        super().__init__(f"You block {blocks_max} people, which is the limit. Lift a block first.")


class TooManyBotsError(LimitReachedError):
    def __init__(self, bots_max: int) -> None:
        self.bots_max = bots_max
        super().__init__(f"You have {bots_max} bots, which is the limit. Delete one first.")


class TooManyRunsError(LimitReachedError):
    def __init__(self, runs_max: int) -> None:
        self.runs_max = runs_max
        super().__init__(f"{runs_max} jobs run already, which is the limit. Wait for one, or cancel one.")


class TooManyTokensError(LimitReachedError):
    def __init__(self, tokens_max: int) -> None:
        self.tokens_max = tokens_max
        super().__init__(f"This bot has {tokens_max} tokens, which is the limit. Revoke one first.")


class QuotaExceededError(RefusedError):
    """`used_bytes` counts uploads that are still to come."""

    meaning = "With this file you would store more than one person may. Delete something first."

    def __init__(self, used_bytes: int, size_bytes: int, bytes_max: int) -> None:
        self.used_bytes, self.size_bytes, self.bytes_max = used_bytes, size_bytes, bytes_max
        super().__init__(
            f"You store {used_bytes} of {bytes_max} bytes, and this file has {size_bytes}. Delete messages with files, "
            "or cancel uploads, to make room."
        )


class AlreadyClaimedError(RefusedError):
    def __init__(self, name: str) -> None:
        super().__init__(f"The account of {name} is somebody's already.")
        self.name = name


class NoBotsError(RefusedError):
    def __init__(self) -> None:
        super().__init__("Only people with an account have bots. Register first.")


class TooManyRoomsError(LimitReachedError):
    def __init__(self, rooms_max: int) -> None:
        self.rooms_max = rooms_max
        super().__init__(f"You own {rooms_max} rooms, which is the limit. Delete one, or hand one over.")


class OutrankedError(RefusedError):
    def __init__(self, user_id: int) -> None:
        self.user_id = user_id
        super().__init__(
            f"You may not do this to the user {user_id}: nobody does it to themselves, and moderators of the platform "
            "to no administrator and to no other moderator."
        )


class LastAdminError(RefusedError):
    def __init__(self) -> None:
        super().__init__("This is the last administrator. Make another one first.")


class UnavailableError(DirectoryError):
    """The directory cannot do this now; a retry after `retry_after_seconds` may help."""

    retry_after_seconds: int = 1


class HashingBusyError(UnavailableError):
    def __init__(self) -> None:
        super().__init__("Too many passwords are being checked at this moment. Try again in a second.")
