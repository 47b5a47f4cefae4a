"""Cost of a message's permission check: opening a channel in a room with 50 roles and 200 channels."""

import time
from collections.abc import Callable
from pathlib import Path

import apsw

import ids
from bench.figures import Figure
from ids import ChannelId, RoleId, RoomId, UserId
from migrations import engine
from shard import access, permissions
from shard.actions import members, roles, rooms
from shard.actions.channels import ChannelDraft
from shard.actions.roles import RoleDraft
from shard.engine import files
from shard.engine.connections import Writer
from shard.permissions import Overwrite
from shard.tables import overwrites
from shard.tables.overwrites import Place

OWNER = UserId(ids.at(1_600_000_000_000))
ROLES, CHANNELS = 50, 200
OVERWRITES = (0, 10, 50)
HELD = (0, 5, 50)
CALLS, ROUNDS = 2_000, 15
TEXT = "A message of some eighty characters, which is about what people say to each other"
NOW_MS = 1_750_000_000_000


def measure(folder: Path) -> list[Figure]:
    """Open channels as members with few and many roles, beside sends of the same transaction without the check."""
    room_id = RoomId(ids.at(NOW_MS))
    migrations = engine.load(engine.SHARD_FOLDER)
    drafts = [ChannelDraft(f"channel {number}") for number in range(CHANNELS)]

    def found(writer: Writer) -> list[ChannelId]:
        rows = rooms.found_room(writer, "community", OWNER, drafts, now_ms=NOW_MS)
        return [row.id for row in rows]

    channel_ids = files.create(folder, room_id, migrations, found, now_ms=NOW_MS)
    path = files.path_of(folder, room_id)
    connection, writer = files.open_writer(path, room_id, migrations, now_ms=NOW_MS, check=False)
    try:
        connection.execute("BEGIN IMMEDIATE")
        people = _furnish(writer, channel_ids)
        connection.execute("COMMIT")
        return _figures(connection, writer, channel_ids, people)
    finally:
        connection.close()


def _furnish(writer: Writer, channel_ids: list[ChannelId]) -> dict[int, UserId]:
    """Make the roles, the overwrites, and a member for each count of roles."""
    allowed = permissions.EVERYONE | permissions.PIN_MESSAGES
    role_ids: list[RoleId] = [
        roles.create_role(writer, OWNER, RoleDraft(f"role {number}", None, allowed), now_ms=NOW_MS).id
        for number in range(ROLES)
    ]
    people = {}
    for count in HELD:
        people[count] = UserId(OWNER + 1 + count)
        members.join(writer, people[count], now_ms=NOW_MS)
        for role_id in role_ids[:count]:
            roles.grant_role(writer, OWNER, people[count], role_id, now_ms=NOW_MS)
    said = Overwrite(permissions.ADD_REACTIONS, permissions.MENTION_EVERYONE)
    for number, channel_id in enumerate(channel_ids):
        for role_id in role_ids[: OVERWRITES[number % len(OVERWRITES)]]:
            overwrites.write(writer, Place("channel", channel_id), ("role", role_id), said)
    return people


def _figures(
    connection: apsw.Connection, writer: Writer, channel_ids: list[ChannelId], people: dict[int, UserId]
) -> list[Figure]:
    times: dict[tuple[int, int], list[float]] = {(held, said): [] for held in HELD for said in OVERWRITES}
    bare: list[float] = []
    for _ in range(ROUNDS):
        bare.append(_bare(connection, channel_ids[0]))
        for (held, said), taken in times.items():
            taken.append(_opening(writer, people[held], channel_ids[OVERWRITES.index(said) :: len(OVERWRITES)]))
    # The least of all rounds: other processes can only make a round slower.
    least = {key: min(taken) for key, taken in times.items()}
    return [
        Figure(f"INSERT of a message without a question, {CALLS:,} in a transaction", min(bare), "µs"),
        *(
            Figure(f"opening a channel: {held} of {ROLES} roles, {said} overwrites", taken, "µs", at_most=15)
            for (held, said), taken in least.items()
        ),
        Figure("the slowest of these, as a share of the INSERT", max(least.values()) / min(bare)),
    ]


def _opening(writer: Writer, user_id: UserId, channel_ids: list[ChannelId]) -> float:
    def open_all() -> None:
        for number in range(CALLS):
            channel_id = channel_ids[number % len(channel_ids)]
            access.open_channel(writer, user_id, channel_id, permissions.SEND_MESSAGES, now_ms=NOW_MS)

    return _microseconds(open_all)


def _bare(connection: apsw.Connection, channel_id: ChannelId) -> float:
    """Store messages with nothing but the entries in their indexes, all in one transaction."""

    def send_all() -> None:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(CALLS):
            connection.execute(
                "INSERT INTO messages (channel_id, user_id, content, created_at) VALUES (?, ?, ?, ?)",
                (channel_id, OWNER, TEXT, number),
            )
        connection.execute("COMMIT")

    return _microseconds(send_all)


def _microseconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) / CALLS * 1e6
