"""The list of stores: each answers for its five parts, and nothing that a Rookery keeps is missing from it."""

import dataclasses
import json
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import sqlite
from config.settings import Settings
from migrations import engine
from rookery.store_list import STORES, Gauges, Nothing, Planned, StoreEntry
from shard.actions import archive
from tests.rookery import terminal
from tests.rookery.histories import settings
from tests.rookery.terminal import invoke, run
from tests.router.clients import client_of
from tests.router.serving import Place, Running, serving
from tests.router.uploads import send

PARTS = ("erase", "export", "back_up", "check", "gauges")
ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

OF_NO_STORE = {
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
    "rookery_build_info",
    "rookery_connections",
    "rookery_gateway_connections",
    "rookery_gateway_queued_bytes",
    "rookery_monitor_failed",
    "rookery_monitor_round_at",
    "rookery_monitor_round_seconds",
    "rookery_webhook_backlog_seconds",
}
"""Gauges of what runs, not of what is kept."""


def faults(store: StoreEntry) -> list[str]:
    """Return which parts of a store say neither what is done nor why there is nothing to do."""
    found = []
    for name in PARTS:
        match getattr(store, name, None):
            case Nothing(words) | Planned(words) if len(words.split()) >= 3:
                pass
            case Gauges(names) if names and name == "gauges":
                pass
            case check if callable(check) and name == "check":
                pass
            case _:
                found.append(name)
    return found


def unclaimed(chosen: Settings, entries: Iterable[StoreEntry] = STORES) -> list[str]:
    """Return the files of a data folder that no store names."""
    data = chosen.server.data_dir
    patterns = [pattern for store in entries for pattern in store.paths(chosen)]
    names = [path.relative_to(data).as_posix() for path in data.rglob("*") if not path.is_dir()]
    return [name for name in sorted(names) if not any(fnmatchcase(name, pattern) for pattern in patterns)]


def named(field: str, entries: Iterable[StoreEntry] = STORES) -> list[Any]:
    """Return what stores name in a field, each as often as it is named."""
    return sorted(value for store in entries for value in getattr(store, field))


def differing(entries: Iterable[StoreEntry]) -> list[str]:
    """Return the fields in which stores do not name each thing that there is exactly once."""
    kept = list(entries)
    there = {
        "application_ids": [value for name, value in vars(sqlite).items() if name.endswith("APPLICATION_ID")],
        "migrations": [folder for folder in engine.HERE.iterdir() if any(folder.glob("*.sql"))],
        "bindings": [
            *(database.binding for database in Settings().d1_databases),
            *(bucket.binding for bucket in Settings().r2_buckets),
        ],
    }
    return [field for field, values in there.items() if named(field, kept) != sorted(values)]


@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_each_store_answers_for_each_part(store: StoreEntry) -> None:
    """Erasing, exporting, backing up, checking and measuring are done, planned in words, or not needed for a reason."""
    assert faults(store) == []
    for name in PARTS:
        for mutant in (None, Nothing(""), "nothing"):
            changes: dict[str, Any] = {name: mutant}
            assert faults(dataclasses.replace(store, **changes)) == [name]


@pytest.mark.parametrize("name", PARTS)
def test_a_store_that_lacks_a_part_cannot_be_made(name: str) -> None:
    """No part has a default that could be forgotten."""
    store = STORES[0]
    fields = {field.name: getattr(store, field.name) for field in dataclasses.fields(StoreEntry)}
    StoreEntry(**fields)
    del fields[name]
    with pytest.raises(TypeError, match=name):
        StoreEntry(**fields)


def test_everything_that_is_opened_belongs_to_one_store() -> None:
    """Each application id, folder of migrations and binding of the settings is named by one store."""
    assert differing(STORES) == []
    for field in ("application_ids", "migrations", "bindings"):
        lacking = [store for store in STORES if store is not next(each for each in STORES if getattr(each, field))]
        assert field in differing(lacking)


def old_history(folder: Path) -> Path:
    """Write sixty messages of 2020 down, for an import."""
    lines = [
        {"channel": "general", "topic": "", "user": "Grace", "timestamp": 1_577_836_800 + number, "content": "rook"}
        for number in range(60)
    ]
    path = folder / "history.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_everything_in_the_data_folder_belongs_to_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with files, archived history, a hibernated room and a round of the monitor leaves no file unclaimed."""
    monkeypatch.setattr(archive, "NEWEST_KEPT", 10)
    monkeypatch.setattr(archive, "SEGMENT_MIN", 5)
    data = tmp_path / "data"
    chosen = settings(data)
    assert run("--data", data, "import", old_history(tmp_path), "--room", "lean", "--public", cwd=tmp_path).code == 0
    with terminal.serving(data, cwd=tmp_path) as served:
        running = Running(Place(tmp_path), urlsplit(served.url).port or 0)
        with client_of(running) as nobody:
            anna = nobody.guest()
            lean = anna.get("/v1/rooms/public")["rooms"][0]["id"]
            anna.post(f"/v1/rooms/{lean}/join", {})
            channel = anna.get(f"/v1/rooms/{lean}/channels")["channels"][0]["id"]
            asleep = anna.found()
            send(anna, asleep.general)
            for words in (("archive", "run", "lean", "--now"), ("room", "hibernate", asleep.name)):
                assert invoke("--data", data, *words).code == 0
            assert run("--data", data, "monitor", "once", cwd=tmp_path).code == 0
            assert len(anna.get(f"/v1/rooms/{lean}/channels/{channel}/messages", limit=60)["messages"]) > 50
        (data / "damaged").mkdir()
        (data / "damaged" / "7-1.db").touch()
        (data / "former-20260101T000000Z").mkdir()
        (data / "former-20260101T000000Z" / "link.key").touch()
        assert unclaimed(chosen) == []
        for store in STORES:
            assert unclaimed(chosen, [each for each in STORES if each is not store]), f"nothing of {store.name}"
    assert unclaimed(chosen) == []


def test_a_file_that_no_store_names_is_found(tmp_path: Path) -> None:
    """A further database, a file among the shards and a further folder are not claimed by chance."""
    chosen = settings(tmp_path)
    for name in ("graph.db", "shards/notes.txt", "thumbnails/1.png", "directory.db.old"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert unclaimed(chosen) == ["directory.db.old", "graph.db", "shards/notes.txt", "thumbnails/1.png"]


def test_gauges_of_stores_are_shown(tmp_path: Path) -> None:
    """A server shows every gauge that a store names, and no other but those of what runs."""
    with serving(Place(tmp_path)) as server:
        families = text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)
        shown = {family.name for family in families if family.type == "gauge"}
    named_by_stores = {name for store in STORES if isinstance(store.gauges, Gauges) for name in store.gauges.names}
    assert shown == named_by_stores | OF_NO_STORE


def test_stores_are_documented() -> None:
    """docs/architecture.md has a row for each store, in the order of the list."""
    _, _, section = ARCHITECTURE.read_text(encoding="utf-8").partition("\n### The list of stores\n")
    table = section.partition("\n### ")[0].splitlines()
    assert [line.split("|")[1].strip() for line in table if line.startswith("|")][2:] == [
        store.name for store in STORES
    ]
