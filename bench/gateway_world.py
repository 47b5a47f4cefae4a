"""A site with many people and rooms, written into the stores directly: this takes seconds, over HTTP minutes."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config import settings
from directory import members as directory_members
from directory import rooms, shards
from directory.database import Writer as DirectoryWriter
from directory.sessions import hash_token
from ids import ChannelId, RoomId, UserId
from migrations import engine
from rookery import composition
from shard.actions import messages as message_actions
from shard.actions import rooms as room_actions
from shard.engine import files
from shard.engine.connections import Writer
from shard.tables import events, members
from shard.tables.messages import Draft

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in user."""

    id: UserId
    token: str


@dataclass(frozen=True, slots=True)
class Room:
    """A community; `last_seq` is the newest number in its log."""

    id: RoomId
    channel_id: ChannelId
    last_seq: int
    people: Sequence[Person]


@dataclass(frozen=True, slots=True)
class World:
    """The people and the rooms of the site."""

    people: list[Person]
    rooms: list[Room]


def build(
    folder: Path,
    *,
    people: int,
    rooms: int,
    rooms_each: int = 1,
    messages: int = 0,
    message: str = "Hello, rooks!",
    apart: int = 0,
) -> World:
    """Fill the data folder of a stopped server: every person is in `rooms_each` rooms, as evenly as possible, and each
    room has so many messages from after all had joined. So many further people are `apart`, in a last room of their
    own."""
    inside = [[(number - step) % rooms for step in range(rooms_each)] for number in range(people)]
    inside += [[rooms]] * apart
    return asyncio.run(_build(folder, inside, rooms + (apart > 0), [message] * messages))


async def _build(folder: Path, places: Sequence[Sequence[int]], room_count: int, messages: Sequence[str]) -> World:
    found = settings.load(None, environ={"ROOKERY_SERVER_DATA_DIR": str(folder / "data")})
    now_ms = composition.now_ms()
    async with composition.open_directory(found) as directory:
        async with directory.database.write() as writer:
            people = await _people(writer, len(places), now_ms)
        inside: list[list[Person]] = [[] for _ in range(room_count)]
        for person, own in zip(people, places, strict=True):
            for number in own:
                inside[number].append(person)
        made = []
        async with directory.database.write() as writer:
            for number, crew in enumerate(inside):
                room = await _register(writer, f"bench-{number}", crew, now_ms)
                made.append(_found(composition.shards_folder(found), room, crew, messages, now_ms))
                await rooms.activate(writer, room, schema_version=len(_MIGRATIONS), now_ms=now_ms)
            await shards.note_seqs(writer, {room.id: room.last_seq for room in made})
    return World(people, made)


async def _people(writer: DirectoryWriter, count: int, now_ms: int) -> list[Person]:
    people = [Person(UserId(number), secrets.token_urlsafe(32)) for number in await writer.next_ids(now_ms, count)]
    await writer.execute_many(
        "INSERT INTO users (id, username, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)",
        [(person.id, f"person_{number:06d}", now_ms) for number, person in enumerate(people)],
    )
    await writer.execute_many(
        "INSERT INTO sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at) "
        "VALUES (?1, ?2, ?3, ?4, ?4, ?5)",
        [(person.id, hash_token(person.token), person.id, now_ms, now_ms + 7 * DAY_MS) for person in people],
    )
    return people


async def _register(writer: DirectoryWriter, name: str, people: Sequence[Person], now_ms: int) -> RoomId:
    room = await rooms.register(
        writer, kind="community", name=name, display_name=name, owner_id=people[0].id, now_ms=now_ms
    )
    await directory_members.add_many(writer, room.id, [person.id for person in people], joined_at=now_ms)
    return room.id


def _found(folder: Path, room_id: RoomId, people: Sequence[Person], messages: Sequence[str], now_ms: int) -> Room:
    def fill(writer: Writer) -> tuple[ChannelId, int]:
        channel_id = room_actions.found_room(
            writer, "community", people[0].id, room_actions.DEFAULT_CHANNELS, now_ms=now_ms
        )[0].id
        for person in people[1:]:
            members.add(writer, person.id, now_ms=now_ms)
        for number, content in enumerate(messages):
            speaker = people[number % len(people)].id
            message_actions.send_message(writer, speaker, channel_id, Draft(content), now_ms=now_ms)
        return channel_id, events.last_seq(writer)

    channel_id, last_seq = files.create(folder, room_id, _MIGRATIONS, fill, now_ms=now_ms)
    return Room(room_id, channel_id, last_seq, people)


_MIGRATIONS = engine.load(engine.SHARD_FOLDER)
