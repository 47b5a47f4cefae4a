"""Global options of the command line: the settings file, its environment, and the data folder."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from config import settings as config
from config.errors import SettingsError
from config.settings import Settings
from rookery import composition
from rookery.errors import CommandError

DEFAULT_FILE = Path("rookery.toml")


@dataclass(frozen=True, slots=True)
class Options:
    """The options given before the command's name."""

    file: Path | None = None
    environment: str | None = None
    data: Path | None = None

    def settings(self, **server: str) -> Settings:
        """Read the settings; `server` are keys of [server] that the command's own options replace.

        Raises SettingsError, which names replaced keys by their options.
        """
        named = {"data_dir": str(self.data.absolute())} if self.data else {}
        named |= server
        replaced = {f"ROOKERY_SERVER_{key.upper()}": value for key, value in named.items()}
        try:
            return config.load(self.path(), environment=self.environment, environ=os.environ | replaced)
        except SettingsError as error:
            names = {f"ROOKERY_SERVER_{key.upper()}": f"--{key.removesuffix('_dir')}" for key in named}
            problems = [replace(problem, key=names.get(problem.key, problem.key)) for problem in error.problems]
            raise SettingsError(error.source, problems) from None

    def existing(self) -> Settings:
        """Read the settings for a command that needs existing data; raises CommandError when there is none."""
        settings = self.settings()
        composition.refuse_other_user(settings)
        composition.refuse_lost_directory(settings)
        if not composition.directory_path(settings).exists():
            raise CommandError(
                f"There is no data in {settings.server.data_dir}. "
                f"Start a server there first ({self.command('serve')}), or name the right folder with --data."
            )
        return settings

    def path(self) -> Path | None:
        """Return the settings file: the named one, else ./rookery.toml if it exists, else None."""
        return self.file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)

    def command(self, *words: str) -> str:
        """Return a command line that works with the same settings."""
        given = (("--config", self.file), ("--env", self.environment), ("--data", self.data))
        options = [part for name, value in given if value is not None for part in (name, str(value))]
        return " ".join(["rookery", *map(shlex.quote, options), *words])


def of(context: typer.Context) -> Options:
    """Return the global options of a command."""
    found = context.obj
    assert isinstance(found, Options)
    return found
