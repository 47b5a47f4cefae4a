"""The list of stores: all data that a Rookery keeps, with what each must answer for.

Code that must reach all data walks `STORES`: the doctor does, and erasure, export and backup will. Each store answers
for five parts: erase, export, back up, check, gauges. No part may be left out, and one without work gives the reason. A
file in the data folder, an application id, a folder of migrations or a binding of the settings that no store names
fails a test.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlite
from config.settings import Settings
from migrations import engine
from monitor.disk_space import RESERVE
from monitor.doctor import SUFFIXES
from rookery import composition, installation, link_key, server_lock, store_checks
from rookery.store_checks import Examination


@dataclass(frozen=True, slots=True)
class Nothing:
    """A part without work, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A part that no command does yet, with the data that it has to cover."""

    covers: str


@dataclass(frozen=True, slots=True)
class Gauges:
    """The metrics that show the state of a store."""

    names: tuple[str, ...]


Check = Callable[[Examination], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreEntry:
    """One store: what identifies it, and its five parts.

    `paths` returns patterns (fnmatch) of its files, relative to the data folder; a binding with an endpoint has its
    objects in a bucket instead. `check` is called by the doctor, in the order of the list.
    """

    name: str
    holds: str
    paths: Callable[[Settings], tuple[str, ...]]
    bindings: tuple[str, ...] = ()
    application_ids: tuple[int, ...] = ()
    migrations: tuple[Path, ...] = ()
    erase: Planned | Nothing
    export: Planned | Nothing
    back_up: Planned | Nothing
    check: Check | Planned | Nothing
    gauges: Gauges | Planned | Nothing


def _directory_paths(settings: Settings) -> tuple[str, ...]:
    name = composition.directory_path(settings).name
    return (name, f"{name}-wal", f"{name}-shm", f"{name}-journal", f".{name}.*")


def _shard_paths(settings: Settings) -> tuple[str, ...]:
    return tuple(f"{settings.shards.database_name}/[0-9]*.{suffix}" for suffix in sorted(SUFFIXES))


DAMAGED: Final = "damaged"
"""The folder with the files of rooms that `rookery room repair` replaced."""
FORMER: Final = "former-"
"""The beginning of the names of folders with what `rookery start-anew` set aside."""

STORES: Final = (
    StoreEntry(
        name="directory",
        holds="accounts, sessions, the registry of rooms, memberships as an index, the audit log",
        paths=_directory_paths,
        bindings=("DIRECTORY",),
        application_ids=(sqlite.DIRECTORY_APPLICATION_ID,),
        migrations=(engine.CENTRAL_FOLDER,),
        erase=Planned(
            "name, address, profile, password, settings, sessions and tokens of the person and of their bots; "
            "nicknames, blocks, invites, storage; addresses and names in the audit log, whose chain must still verify; "
            "then free pages and the log beside the file"
        ),
        export=Planned("the account, its settings, sessions, memberships, blocks, bots, and audit rows by the person"),
        back_up=Planned("a copy of one moment (VACUUM INTO), between two rounds of copying the objects"),
        check=store_checks.check_directory,
        gauges=Gauges(
            (
                "rookery_alerts_open",
                "rookery_work_set_aside",
                "rookery_directory_bytes",
                "rookery_directory_limit_bytes",
            )
        ),
    ),
    StoreEntry(
        name="shards",
        holds="everything said and done in rooms, a file for each",
        paths=_shard_paths,
        bindings=("SHARDS",),
        application_ids=(sqlite.SHARD_APPLICATION_ID,),
        migrations=(engine.SHARD_FOLDER,),
        erase=Planned(
            "words of the person in messages, their search index and the events that kept replaced words; names of "
            "attachments; reactions, mentions, read markers, voice spans; reasons of bans and the room's audit log, "
            "whose chain must still verify; in every room that they were ever in"
        ),
        export=Planned("for a person what they wrote and uploaded in each room; for a room its file"),
        back_up=Planned("a copy of one moment of each file (VACUUM INTO); never the file without its log"),
        check=store_checks.check_shards,
        gauges=Gauges(
            (
                "rookery_shards",
                "rookery_shards_bytes",
                "rookery_shards_open",
                "rookery_shards_quarantined",
                "rookery_shard_tasks_waiting",
            )
        ),
    ),
    StoreEntry(
        name="archive",
        holds="segments of old messages, and rooms that are hibernated; nowhere else",
        paths=lambda settings: (f"{settings.archive.bucket_name}/*",),
        bindings=("ARCHIVE",),
        application_ids=(sqlite.SEGMENT_APPLICATION_ID,),
        erase=Planned(
            "segments with words of the person, written anew without them; hibernated rooms, woken for it; "
            "versions that a bucket keeps of what was removed"
        ),
        export=Planned("messages of the person in segments, and hibernated rooms, read without waking them"),
        back_up=Planned("every object, before the databases and once more after them; objects never change"),
        check=store_checks.check_archive,
        gauges=Gauges(
            (
                "rookery_waking_seconds",
                "rookery_scrub_oldest_at",
                "rookery_scrub_lost_rooms",
                "rookery_scrub_objects",
                "rookery_scrub_bytes",
            )
        ),
    ),
    StoreEntry(
        name="files",
        holds="the files of messages",
        paths=lambda settings: (f"{settings.files.bucket_name}/*",),
        bindings=("FILES",),
        erase=Planned("files that the person uploaded, attached or not, and versions that a bucket keeps of them"),
        export=Planned("files that the person uploaded, under the names that they gave them"),
        back_up=Planned("every object, before the databases and once more after them; objects never change"),
        check=store_checks.check_files,
        gauges=Planned("bytes and number of objects; today only what each person stores is known, in the directory"),
    ),
    StoreEntry(
        name="archive copies",
        holds="unpacked copies of segments that were read lately, and segments that are being made",
        paths=lambda _settings: (
            f"{composition.ARCHIVE_CACHE}/*",
            f"{composition.COMMAND_ARCHIVE_CACHE}/*",
            f"{composition.ARCHIVE_WORK}/*",
        ),
        erase=Planned("copies of every segment that is written anew, in the caches of the server and of commands"),
        export=Nothing("the archive has all of it"),
        back_up=Nothing("they are fetched and made again"),
        check=Nothing("a copy is compared with its checksums whenever it is read, and fetched again if it differs"),
        gauges=Nothing("the settings bound their bytes (history.archive_cache_bytes_max)"),
    ),
    StoreEntry(
        name="link key",
        holds="the key that signs addresses of files in a store on disk; for its owner alone",
        paths=lambda _settings: (link_key.NAME, f"{link_key.NAME}.*"),
        erase=Nothing("nothing in it is of a person"),
        export=Nothing("nothing in it is of a person"),
        back_up=Nothing("a server makes a new one, and only addresses given out in the last hour end"),
        check=Nothing("a server that starts refuses one that is damaged, and closes one that others may read"),
        gauges=Nothing("it never changes"),
    ),
    StoreEntry(
        name="damaged shards",
        holds="files of rooms that `rookery room repair` replaced",
        paths=lambda _settings: (f"{DAMAGED}/*.db",),
        erase=Planned("copies of the person's rooms from before a repair"),
        export=Nothing("the repaired rooms have what could be read"),
        back_up=Nothing("operators keep or remove them"),
        check=Nothing("they are known to be damaged"),
        gauges=Nothing("they come one by one, by hand"),
    ),
    StoreEntry(
        name="former installations",
        holds="what `rookery start-anew` set aside of an installation that lost its directory",
        paths=lambda _settings: (f"{FORMER}*/*",),
        erase=Planned("whole folders: without the directory nobody knows which person wrote what"),
        export=Nothing("without the directory nobody knows which person wrote what"),
        back_up=Nothing("it belongs to no installation that runs; copy it by hand"),
        check=Nothing("no part of the server reads it"),
        gauges=Nothing("it never changes"),
    ),
    StoreEntry(
        name="disk reserve",
        holds="nothing: a file that is removed when the disk is full, so that rooms can be opened and emptied",
        paths=lambda _settings: (RESERVE,),
        erase=Nothing("it is empty"),
        export=Nothing("it is empty"),
        back_up=Nothing("a server makes it again"),
        check=Nothing("the server looks at the disk every second"),
        gauges=Gauges(("rookery_disk_free_bytes",)),
    ),
    StoreEntry(
        name="installation marker",
        holds="which file and machine this data folder is, so that a copy is recognised",
        paths=lambda _settings: (installation.NAME, f"{installation.NAME}.*"),
        erase=Nothing("nothing in it is of a person"),
        export=Nothing("nothing in it is of a person"),
        back_up=Nothing("a copy of it says that it is a copy; a server makes a new one"),
        check=Nothing("a server that starts compares it, and begins a new prefix for a copy"),
        gauges=Nothing("it never changes"),
    ),
    StoreEntry(
        name="locks",
        holds="which process serves and which goes round; empty files",
        paths=lambda _settings: (server_lock.NAME, composition.MONITOR_LOCK, composition.MAINTENANCE_LOCK),
        erase=Nothing("they are empty"),
        export=Nothing("they are empty"),
        back_up=Nothing("a process makes them when it starts"),
        check=Nothing("the system lets go of a lock when its process ends, however it ends"),
        gauges=Nothing("a server that answers holds its lock"),
    ),
)
"""Every store, in the order of the doctor's checks: each provides what the next needs."""
