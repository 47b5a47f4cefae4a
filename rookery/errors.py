"""Errors that end a command, with their exit codes.

CommandError (exit code 1)    it cannot be done, or something was found; the message says what to do
└── UsageError (exit code 2)  the command line or the settings must change first
"""


class CommandError(Exception):
    """A command failed, or found a problem."""

    exit_code = 1


class UsageError(CommandError):
    """The command line or the settings must change first."""

    exit_code = 2
