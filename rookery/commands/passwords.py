"""Passwords for commands: from a terminal, a file or standard input, never from an argument."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rookery.errors import UsageError

PASSWORD_BYTES_MAX = 4_096
"""Bytes that are read of a password from a file or from standard input."""

PasswordFile = Annotated[Path | None, typer.Option(help="Read the password from the first line of this file.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def read(file: Path | None, *, from_stdin: bool) -> str:
    """Return a password from where the options say, or ask for it; raises UsageError."""
    if file is not None and from_stdin:
        raise UsageError("Use one of --password-file and --password-stdin, not both.")
    if file is not None:
        with file.open("rb") as opened:
            return _first_line(opened.read(PASSWORD_BYTES_MAX))
    if from_stdin:
        return _first_line(sys.stdin.buffer.readline(PASSWORD_BYTES_MAX))
    if not sys.stdin.isatty():
        raise UsageError("There is no terminal to ask for the password: use --password-file or --password-stdin.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _first_line(content: bytes) -> str:
    try:
        return content.partition(b"\n")[0].rstrip(b"\r").decode()
    except UnicodeDecodeError:
        # Raised anew: the parser's exception carries the password.
        raise UsageError("The password is not UTF-8 text.") from None
