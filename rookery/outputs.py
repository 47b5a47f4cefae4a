"""Output of commands: text for people or one JSON value for scripts, and errors as a sentence with an exit code.

With --json there is exactly one value on stdout, {"error": ...} included; notes and progress go to stderr. Exit codes:
0 done, 1 failed or something was found, 2 the command line or the settings must change.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from config.errors import SettingsError
from database.errors import DatabaseError
from database.inspections import SQLiteError
from directory.errors import DirectoryError, RoomNotFoundError, UserNotFoundError
from migrations.engine import MigrationError
from objects.errors import ObjectError
from rookery import interruption
from rookery.errors import CommandError
from shard.errors import ShardError
from sqlite import OldSQLiteError

EXPECTED: Final = (
    CommandError,
    SettingsError,
    DatabaseError,
    DirectoryError,
    ObjectError,
    ShardError,
    MigrationError,
    OldSQLiteError,
    OSError,
    SQLiteError,
)
"""Errors that are not bugs: reported in a sentence, never with a traceback."""

WIDTH_MAX: Final = 1_000
"""Columns of a table that does not go to a terminal: no line of it is wrapped."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value, for scripts.")]


class Output:
    """Output of one run of a command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # A file or a pipe has no width: nothing is cut or folded there.
        width = None if sys.stdout.isatty() else WIDTH_MAX
        self._out = Console(markup=False, highlight=False, soft_wrap=True, width=width)
        self._err = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

    def give(self, value: Any, *shown: RenderableType) -> None:
        """Print the result: `value` as JSON, or `shown` for people."""
        if self.as_json:
            indented = orjson.OPT_INDENT_2 if sys.stdout.isatty() else None
            sys.stdout.write(orjson.dumps(value, option=indented).decode() + "\n")
            sys.stdout.flush()
            return
        for each in shown:
            self._out.print(each)

    def note(self, text: str) -> None:
        """Print something beside the result, for people only."""
        if not self.as_json:
            self._err.print(text)

    def fail(self, message: str) -> None:
        """Print the reason of a failure."""
        if self.as_json:
            self.give({"error": message})
        else:
            self._err.print(f"Error: {message}")

    def progress(self, *columns: TextColumn) -> Progress:
        """Return a progress bar, shown on a terminal only."""
        shown = self._err.is_terminal and not self.as_json
        described = TextColumn("{task.description}")
        return Progress(
            described,
            BarColumn(),
            TaskProgressColumn(),
            *columns,
            TimeRemainingColumn(),
            console=self._err,
            disable=not shown,
            transient=True,
        )


@contextmanager
def speaking(*, as_json: bool) -> Iterator[Output]:
    """Yield an Output, and turn expected errors into a sentence and an exit code."""
    output = Output(as_json=as_json)
    try:
        interruption.begin()
        yield output
    except BrokenPipeError:  # the reader of the pipe has closed it
        raise
    except EXPECTED as error:
        output.fail(_sentence(error))
        code = error.exit_code if isinstance(error, CommandError) else 2 if isinstance(error, SettingsError) else 1
        raise typer.Exit(code) from None
    except KeyboardInterrupt:
        output.fail(interruption.LAST_WORD)
        interruption.leave()
        raise typer.Exit(interruption.exit_code()) from None
    finally:
        interruption.end()


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}."
    if isinstance(error, SQLiteError):
        return f"A database cannot be used ({error}). See what is wrong with: rookery doctor"
    match error:
        case RoomNotFoundError():
            return f"{error} See them all with: rookery room list"
        case UserNotFoundError():
            return f"{error} See them all with: rookery user list"
    return str(error)


def table(*headings: str, rows: Sequence[Sequence[object]]) -> Table:
    """Return rows under headings; None is shown as nothing."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else clean(str(cell)) for cell in row))
    return made


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return names with their values, one to a line, without empty ones."""
    width = max(len(name) for name, _ in pairs)
    return "\n".join(f"{name:<{width}}  {clean(str(value))}" for name, value in pairs if value not in (None, ""))


def clean(text: str) -> str:
    """Return a text without the characters that control a terminal."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def at(time_ms: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC."""
    if time_ms is None:
        return None
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, 4)
    return f"{count / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return "1 room" or "2 rooms"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
