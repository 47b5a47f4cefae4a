"""Why a command ends without doing what it was asked.

CommandError (exit code 1)    it cannot be done, or something was found; the message says what to do
└── UsageError (exit code 2)  the command line or the settings must change first
"""


class CommandError(Exception):
    """A command cannot do what it was asked."""

    exit_code = 1


class UsageError(CommandError):
    """The command line or the settings must change first."""

    exit_code = 2
