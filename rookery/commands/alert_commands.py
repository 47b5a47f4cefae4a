"""`rookery monitor acknowledge`: alerts that were seen."""

from typing import Annotated, Any, Literal

import typer

from config.settings import Settings
from directory import alerts
from directory.alert_texts import sentence
from directory.alerts import Alert
from rookery import composition, interruption, options
from rookery.commands import hibernation
from rookery.composition import now_ms
from rookery.errors import UsageError
from rookery.outputs import AsJson, counted, speaking
from rookery.server.alert_channels import render

Kind = Literal["size", "damage", "disk"]


def acknowledge(
    context: typer.Context,
    alert_ids: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", help="Ids of alerts, as status shows them.", min=1)
    ] = None,
    room: Annotated[str | None, typer.Option(help="All open alerts of a room: its name or id.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="All open alerts of a kind.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All open alerts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Acknowledge alerts: they are not shown in the status any more, and stay in the list.

    Alerts end by themselves when their cause does. Name some by their ids, or all of a room, of a kind, or all.

    Example: rookery monitor acknowledge --kind size
    """
    with speaking(as_json=as_json) as output:
        is_wide = room is not None or kind is not None or every
        if is_wide == bool(alert_ids):
            raise UsageError("Name alerts by their ids, or choose all of them with --room, --kind or --all.")
        settings = options.of(context).existing()
        if alert_ids:
            seen = interruption.run(_acknowledge(settings, alert_ids))
            rendered: list[dict[str, Any]] = [render(alert) for alert in seen]
            output.give(
                rendered[0] if len(rendered) == 1 else {"alerts": rendered},
                *(f"Seen: {sentence(alert)}" for alert in seen),
            )
        else:
            count = interruption.run(_acknowledge_all(settings, room, kind))
            output.give({"count": count}, f"{counted(count, 'alert')} acknowledged.")


async def _acknowledge(settings: Settings, alert_ids: list[int]) -> list[Alert]:
    async with composition.open_directory(settings) as directory, directory.database.write() as writer:
        return [await alerts.acknowledge(writer, alert_id, None, now_ms=now_ms()) for alert_id in alert_ids]


async def _acknowledge_all(settings: Settings, room: str | None, kind: Kind | None) -> int:
    async with composition.open_directory(settings) as directory, directory.database.write() as writer:
        room_id = None if room is None else (await hibernation.find(writer, room)).id
        return await alerts.acknowledge_all(writer, None, room_id=room_id, kind=kind, now_ms=now_ms())
