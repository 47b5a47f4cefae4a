"""`rookery doctor`: the checks of a whole installation, and their report."""

from typing import Annotated, Any

import typer

from config.settings import Settings
from monitor import doctor as fleet_doctor
from monitor.doctor import Finding
from rookery import composition, interruption, options
from rookery.commands import machine_checks
from rookery.composition import now_ms
from rookery.errors import CommandError
from rookery.outputs import AsJson, Output, clean, counted, speaking
from rookery.store_checks import Examination, Report
from rookery.store_list import STORES

SAMPLE = 20


def doctor(
    context: typer.Context,
    sample: Annotated[int, typer.Option(help="Check so many shards, picked at random.", min=0)] = SAMPLE,
    every: Annotated[bool, typer.Option("--all", help="Check every shard.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every object of these rooms, and compare it with its hash.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check the installation, and report every problem with its remedy.

    It checks versions, permissions, disk space, the directory (pages, references, the chain of the audit log), the
    registry against the files of the shards, a sample of the shards (right room, pages, references, texts, search
    index), the objects that they name (archived history, hibernated rooms, files of messages), and the clock.

    It changes nothing and works beside a running server. The exit code is 1 when something is wrong.

    Example: rookery doctor --all --deep --json
    """
    with speaking(as_json=as_json) as output:
        settings = options.of(context).settings()
        report = Report()
        report.add(machine_checks.check_versions())
        data = settings.server.data_dir
        if not composition.directory_path(settings).exists():
            report.add([_no_directory(settings)])
        else:
            report.add(machine_checks.check_permissions(data, composition.shards_folder(settings)))
            report.add(machine_checks.check_disk(data, settings.alerts.disk_free_bytes_min))
            interruption.run(
                _look_at_stores(Examination(settings, output, None if every else sample, report, is_deep=deep))
            )
        report.add(fleet_doctor.check_clock(report.newest, now_ms=now_ms()))
        _report(output, settings, report)
        if report.findings:
            raise typer.Exit(1)


def _no_directory(settings: Settings) -> Finding:
    try:
        composition.refuse_lost_directory(settings)
    except CommandError as error:
        problem, _, remedy = str(error).partition(". ")
        return Finding("data", problem, remedy)
    remedy = "Start a server there first (rookery serve), or name the right folder with --data."
    return Finding("data", f"there is no data in {settings.server.data_dir}", remedy)


async def _look_at_stores(examination: Examination) -> None:
    for store in STORES:
        if callable(store.check):
            await store.check(examination)


def _report(output: Output, settings: Settings, report: Report) -> None:
    value: dict[str, Any] = {
        "ok": not report.findings,
        "data": str(settings.server.data_dir),
        "rooms": report.rooms,
        "shards_examined": report.checked,
        "shards_behind": report.behind,
        "left_out": report.left_out,
        "findings": [
            {
                "check": finding.check,
                "problem": finding.problem,
                "remedy": finding.remedy,
                "room": finding.room,
                "room_id": None if finding.room_id is None else str(finding.room_id),
            }
            for finding in report.findings
        ],
    }
    lines = [f"Looked at {settings.server.data_dir}: {counted(report.rooms, 'room')}, into {report.checked} of them."]
    if report.behind:
        lines.append(f"{counted(report.behind, 'shard')} will be migrated when opened (or by: rookery migrate apply).")
    lines += [f"Left out: {each}" for each in report.left_out]
    for finding in report.findings:
        room = f"room {finding.room}: " if finding.room else ""
        lines += [f"✗ {finding.check}: {clean(room + finding.problem)}", f"  {finding.remedy}"]
    lines.append(
        f"{counted(len(report.findings), 'finding')}." if report.findings else "Everything is as it should be."
    )
    output.give(value, *lines)
