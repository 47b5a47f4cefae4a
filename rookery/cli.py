"""The command line: `rookery`, its global options and its commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from rookery import VERSION, interruption
from rookery.commands import (
    adopt,
    archive,
    audit,
    doctor,
    imports,
    init,
    migrate,
    monitor,
    rooms,
    serve,
    start_anew,
    users,
)
from rookery.options import Options
from rookery.outputs import Output

app = typer.Typer(
    name="rookery",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # they hold passwords and messages
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"rookery {VERSION}")
        raise typer.Exit


@app.callback()
def rookery(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="PATH", help="The settings file. Without it: ./rookery.toml, if any."),
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", "-e", metavar="NAME", help="An environment of the settings file.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data folder, instead of the settings' data_dir.")
    ] = None,
    _show_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=lambda value: _version(wanted=value), help="Print the version and end."
        ),
    ] = False,
) -> None:
    """Rookery, a self-hosted backend for community chat: one process, one folder, one SQLite file for each room.

    Begin with: rookery serve

    Exit codes: 0 done, 1 failed or something was found, 2 the command line or the settings must change.
    """
    context.obj = Options(config, env, data)


app.command()(serve.serve)
app.command()(init.init)
app.command()(start_anew.start_anew)
app.command()(adopt.adopt)
app.command(name="import")(imports.import_)
app.command()(doctor.doctor)
app.add_typer(migrate.app, name="migrate")
app.add_typer(users.app, name="user")
app.add_typer(rooms.app, name="room")
app.add_typer(audit.app, name="audit")
app.add_typer(monitor.app, name="monitor")
app.add_typer(archive.app, name="archive")


def main() -> None:
    """Run the command line and end the process with its exit code."""
    interruption.install()
    if "--json" not in sys.argv:
        app(prog_name="rookery")
    # Typer draws its usage errors for people; with --json they are JSON like all others.
    try:
        code = app(prog_name="rookery", standalone_mode=False)
    except typer.TyperException as error:
        Output(as_json=True).fail(error.format_message())
        code = error.exit_code
    except typer.Abort:
        Output(as_json=True).fail("Stopped.")
        code = 1
    sys.exit(code or 0)
