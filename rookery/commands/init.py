"""`rookery init`: a settings file to edit, and a folder for the data."""

from pathlib import Path
from typing import Annotated

import typer

from config import settings as config
from rookery import options
from rookery.errors import CommandError
from rookery.options import DEFAULT_FILE, Options
from rookery.outputs import AsJson, speaking


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="The folder to use; made if missing.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Start an installation: a rookery.toml with every setting explained, and the data folder.

    It is needed only to change settings: without a file the server runs with the defaults. An existing file is never
    overwritten.

    Example: rookery init /srv/rookery
    """
    given = options.of(context)
    with speaking(as_json=as_json) as output:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / DEFAULT_FILE
        try:
            with file.open("x", encoding="utf-8") as written:
                written.write(config.DEFAULTS_PATH.read_text(encoding="utf-8"))
        except FileExistsError:
            raise CommandError(f"{file} is there already; edit it, or start in another folder.") from None
        data = Options(file=file, data=given.data).settings().server.data_dir
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = "" if folder.absolute() == Path.cwd() else f"cd {folder} && "
        output.give(
            {"settings": str(file.absolute()), "data": str(data)},
            f"Made {file} (every setting with its default) and the data folder {data}.",
            f"Next: {where}rookery user create NAME --admin && rookery serve",
        )
