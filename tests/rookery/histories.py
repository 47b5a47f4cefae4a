"""Histories to import, and what comes back of them out of the stores."""

import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from config import settings as config
from config.settings import Settings
from directory import rooms, users
from directory.rooms import Room
from ids import ChannelId, UserId
from rookery import composition
from rookery.commands import importer
from rookery.composition import Stores, now_ms
from shard.actions import channels, imports, threads
from shard.actions.imports import Record
from shard.actions.pages import Span
from shard.history.history import History
from shard.rows import Message
from shard.text import visible_text
from tests.shard.stage import NOTHING_ARCHIVED

Said = tuple[str | None, str, float, str]
"""Topic, user, seconds and text of one message."""

BEGAN = 1_600_000_000
WORDS = ("lemma", "tactic", "müde", "日本語", "🦀", "proof", "norm_num", "what?", "`code`", "\n\nparagraph")


def settings(data: Path) -> Settings:
    """Return the default settings over a data folder."""
    return config.load(None, environ={"ROOKERY_SERVER_DATA_DIR": str(data)})


def history(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return messages in two channels, some in the same second, one said twice word for word."""
    chance = random.Random(seed)
    lines = []
    at = BEGAN
    for number in range(count):
        at += chance.choice((0, 1, 60))
        channel = chance.choice(("Zulip meta", "condensed"))
        lines.append(
            {
                "channel": channel,
                "topic": f"topic {chance.randrange(7)}" if channel == "condensed" else chance.choice(("", "rules")),
                "user": chance.choice(("ada", "Grace Hopper", "user00003", "é", "bob")),
                "timestamp": at if number % 2 else at + 0.25,
                "content": f"{number} {' '.join(chance.choices(WORDS, k=5))}",
            }
        )
    return [*lines, lines[-1]]


def encoded(lines: Iterable[dict[str, Any]]) -> bytes:
    """Return lines as a file has them."""
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def expected(lines: Iterable[dict[str, Any]]) -> dict[str, list[Said]]:
    """Return what was said by channel: in the order of its times, and of the file where times are equal."""
    said: dict[str, list[Said]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: float(line["timestamp"])):
        topic = visible_text.clean_name(line["topic"]) if line["topic"] else None
        said[line["channel"]].append((topic, line["user"], line["timestamp"], line["content"]))
    return dict(said)


async def find(stores: Stores, name: str) -> Room:
    """Return a community."""
    async with stores.directory.database.read() as reader:
        return await rooms.find_by_name(reader, name)


async def read_back(stores: Stores, room: Room) -> dict[str, list[Said]]:
    """Return what a room holds by channel, oldest first, read page by page as its owner."""
    assert room.owner_id is not None
    said: dict[str, list[Said]] = {}
    for channel in await stores.pool.read(room.id, channels.list_channels, room.owner_id, now_ms=now_ms()):
        titles = {
            thread.id: thread.title
            for thread in await stores.pool.read(
                room.id, threads.list_threads, room.owner_id, channel.id, before=None, limit=10_000, now_ms=now_ms()
            )
        }
        found = await _messages(stores, room, room.owner_id, channel.id)
        names = await _names(stores, {message.user_id for message in found})
        said[channel.name] = [
            (
                titles[message.thread_id] if message.thread_id else None,
                names[message.user_id],
                message.created_at / 1000,
                message.content,
            )
            for message in found
        ]
    return said


async def _messages(stores: Stores, room: Room, reader_id: UserId, channel_id: ChannelId) -> list[Message]:
    found: list[Message] = []
    before = None
    history = History(stores.pool, NOTHING_ARCHIVED)
    while True:
        span = Span(limit=100, before=before)
        page = await history.read_page(room.id, reader_id, channel_id, None, span, now_ms=now_ms())
        found += page.messages
        if not page.has_older:
            return found[::-1]
        before = page.messages[-1].id


async def _names(stores: Stores, user_ids: set[UserId]) -> dict[UserId, str]:
    async with stores.directory.database.read() as reader:
        profiles = await users.profiles(reader, user_ids)
    return {user_id: profile.display_name for user_id, profile in profiles.items()}


async def fill(data: Path, *names: str) -> list[Room]:
    """Make communities with a few messages each."""
    async with composition.open_stores(settings(data)) as stores:
        return [await _made(stores, name) for name in names]


async def _made(stores: Stores, name: str) -> Room:
    async with stores.directory.database.write() as writer:
        known = await users.find_bearers(writer, ["ada"])
        ada = known["ada"] if known else (await users.create(writer, username="ada", now_ms=now_ms())).id
    room, _ = await importer.ensure_room(stores, name, owner_id=ada, is_public=False)
    records = [
        Record("general", "hello", ada, (BEGAN + number) * 1000, f"word{number}", f"n{number}") for number in range(5)
    ]
    await stores.pool.write(room.id, imports.load_batch, records, skip_refused=False, now_ms=now_ms())
    return room
