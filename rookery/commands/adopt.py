"""`rookery adopt`: a copy of the data folder takes the place of the original, with its objects."""

from typing import Annotated

import typer

from config.settings import Settings
from directory import installations
from directory.installations import Installation
from rookery import composition, installation, interruption, object_storage, options
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.outputs import AsJson, facts, speaking


def adopt(
    context: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", help="Adopt; without it the command only says what it would do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take over the prefix in object storage that this data folder was copied from.

    A copy of the data folder (a restored backup, a folder moved to another machine) puts objects under a prefix of its
    own and only reads those of the original, because the original may still need them. When the original is gone for
    good, adopt its prefix: this installation then writes and removes there. Stop the server first, and be sure that
    nothing serves the original any more: what it alone knows is removed after a day.

    Example: rookery adopt --yes
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).existing()
        with composition.serving_alone(settings):
            before, after = interruption.run(_adopt(settings, is_asked=not yes))
        value = {
            "prefix": before.prefix,
            "former": [*before.former],
            "adopted": None if after is None else after.prefix,
        }
        if after is None:
            shown = facts([("would be adopted", before.former[0] or "(no prefix)"), ("prefix now", before.prefix)])
            output.give(value, "Nothing was changed; add --yes to adopt the prefix:", shown)
        else:
            output.give(value, f"This installation has the prefix {after.prefix or '(none)'} now.")


async def _adopt(settings: Settings, *, is_asked: bool) -> tuple[Installation, Installation | None]:
    folder = settings.server.data_dir
    async with composition.open_directory(settings) as directory:
        before = await installation.find(directory, folder, now_ms=now_ms())
        if not before.former:
            raise CommandError("This installation was copied from no other: there is nothing to adopt.")
        if is_asked:
            return before, None
        latest = await object_storage.latest_claim(settings, before.former[0])
        async with directory.database.write() as writer:
            after = await installations.adopt(writer, before.former[0], claim=latest)
        installation.write_marker(folder, after.prefix)
        return before, after
