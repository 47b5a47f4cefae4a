"""Command line of the benchmarks: it runs them and prints one table; `python -m bench --help` lists them."""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import apsw

from bench import (
    archive,
    cold,
    creation,
    fleet,
    gateway_fanout,
    gateway_idle,
    gateway_resume,
    gateway_sends,
    hostile,
    imports,
    large_fleet,
    monitor,
    optimizer,
    permissions,
    search,
    traffic,
    unread,
    waking,
)
from bench.figures import Figure

BENCHMARKS: dict[str, Callable[[Path], list[Figure]]] = {
    "traffic": traffic.measure,
    "rooms": fleet.measure_many,
    "fleet": fleet.measure_memory,
    "cold": cold.measure,
    "creation": creation.measure,
    "import": imports.measure,
    "permissions": permissions.measure,
    "unread": unread.measure,
    "search": search.measure,
    "gateway-fanout": gateway_fanout.measure,
    "gateway-sends": gateway_sends.measure,
    "gateway-idle": gateway_idle.measure,
    "gateway-resume": gateway_resume.measure,
    "monitor": monitor.measure,
    "large-fleet": large_fleet.measure,
    "tidy": optimizer.measure,
    "archive": archive.measure,
    "waking": waking.measure,
    "hostile": hostile.measure,
}
SCALED = {"gateway-idle": gateway_idle.measure, "gateway-resume": gateway_resume.measure}
"""Benchmarks that can be made smaller."""


def main() -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="bench", description="Ratios of Rookery to a yardstick, both in one run.")
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where to put the databases (default: a temporary one)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help=f"so many times the clients, in {', '.join(SCALED)} (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array instead of a table")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in arguments.names or list(BENCHMARKS):
        sys.stderr.write(f"measuring {name} ...\n")
        with tempfile.TemporaryDirectory(prefix=f"rookery-{name}-", dir=arguments.folder) as folder:
            if name in SCALED:
                figures += SCALED[name](Path(folder), arguments.scale)
            else:
                figures += BENCHMARKS[name](Path(folder))
    sys.stdout.write(_as_json(figures) if arguments.json else _as_table(figures))


def _as_json(figures: list[Figure]) -> str:
    return json.dumps([figure.as_dict() for figure in figures], indent=2) + "\n"


def _as_table(figures: list[Figure]) -> str:
    head = (
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.machine()}, "
        f"{os.cpu_count()} cores\n\n| what | measured | aim | reached |\n|---|---|---|---|\n"
    )
    return head + "".join(figure.as_row() for figure in figures)


if __name__ == "__main__":
    main()
