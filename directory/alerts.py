"""Rows of `alerts` and `alert_tellings`: changes of levels, and the deliveries of each that are still due.

An alert is written in the transaction that changes the level, so each change gives one alert, even if two processes
examine the same shard at the same time. Delivery is separate: it is tried again until the sink accepted it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import ids
from database.connections import Row
from directory import errors
from directory.database import Reader, Writer
from directory.shards import Level

Kind = Literal["size", "damage", "disk"]
Sink = Literal["log", "webhook", "mail"]

START: Final = 2**63 - 1
"""The cursor before the newest alert."""
RETRY_MS_MAX: Final = 3_600_000
"""The longest pause before a failed delivery is tried again."""
RETRY_MS_MIN: Final = 30_000
"""The first pause before a failed delivery of an alert is repeated; each further pause is twice as long."""
TRIES_MAX: Final = 100
"""Tries of one delivery, which take four days. Then it is given up."""


@dataclass(frozen=True, slots=True)
class Change:
    """The subject of an alert: a room's shard, or without `room_id` the directory, or the disk.

    `reason` names the damage. Of the disk, `size_bytes` are free, and below `limit_bytes` there is an alert.
    """

    room_id: ids.RoomId | None
    kind: Kind
    level: Level
    previous: Level
    size_bytes: int
    limit_bytes: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; times in milliseconds UTC. `name` is the room's, if it has one. Its id is the next page's cursor."""

    id: int
    room_id: ids.RoomId | None
    name: str | None
    kind: Kind
    level: Level
    previous: Level
    size_bytes: int
    limit_bytes: int
    reason: str | None
    raised_at: int
    acknowledged_at: int | None
    acknowledged_by: ids.UserId | None


_COLUMNS: Final = (
    "a.id, a.room_id, r.name, a.kind, a.level, a.previous, a.size_bytes, a.limit_bytes, a.reason, a.raised_at, "
    "a.acknowledged_at, a.acknowledged_by FROM alerts a LEFT JOIN rooms r ON r.id = a.room_id"
)


def _from_row(row: Row) -> Alert:
    return Alert(*row)


async def raise_all(writer: Writer, changes: Sequence[Change], sinks: Sequence[Sink], *, now_ms: int) -> None:
    """Insert alerts, with a delivery due to each of the sinks.

    One that says that all is well ends those before it about the same thing: none of them is open any more.
    """
    if not changes:
        return
    ended = [(now_ms, each.room_id, each.kind) for each in changes if each.level == "ok"]
    if ended:
        await writer.execute_many(
            "UPDATE alerts SET acknowledged_at = ? WHERE room_id IS ? AND kind = ? AND acknowledged_at IS NULL", ended
        )
    numbers = await writer.next_ids(now_ms, len(changes))
    await writer.execute_many(
        "INSERT INTO alerts (id, room_id, kind, level, previous, size_bytes, limit_bytes, reason, raised_at, "
        "acknowledged_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                number,
                each.room_id,
                each.kind,
                each.level,
                each.previous,
                each.size_bytes,
                each.limit_bytes,
                each.reason and each.reason[:1000],
                now_ms,
                now_ms if each.level == "ok" else None,
            )
            for number, each in zip(numbers, changes, strict=True)
        ],
    )
    rows = [(number, sink, now_ms) for number in numbers for sink in sinks]
    await writer.execute_many("INSERT INTO alert_tellings (alert_id, sink, next_try_at) VALUES (?, ?, ?)", rows)


async def latest(reader: Reader, room_id: ids.RoomId | None, kind: Kind) -> Alert | None:
    """Return the newest alert of a kind about a room, or about the directory."""
    row = await reader.fetch_one(
        f"SELECT {_COLUMNS} WHERE a.room_id IS ? AND a.kind = ? ORDER BY a.id DESC LIMIT 1", (room_id, kind)
    )
    return None if row is None else _from_row(row)


async def list_page(reader: Reader, *, is_open: bool, before: int = START, limit: int) -> list[Alert]:
    """Return alerts, newest first, before an id; with `is_open` those that are not acknowledged."""
    narrowed = "AND a.acknowledged_at IS NULL " if is_open else ""
    rows = await reader.fetch_all(
        f"SELECT {_COLUMNS} WHERE a.id < ? {narrowed}ORDER BY a.id DESC LIMIT ?", (before, limit)
    )
    return [_from_row(row) for row in rows]


async def count_open(reader: Reader) -> int:
    """Return the number of alerts that are not acknowledged."""
    row = await reader.fetch_one("SELECT count(*) FROM alerts WHERE acknowledged_at IS NULL")
    return 0 if row is None else int(row[0])


async def acknowledge(writer: Writer, alert_id: int, by: ids.UserId | None, *, now_ms: int) -> Alert:
    """Acknowledge an alert; the first user to do so is kept. Raises AlertNotFoundError."""
    await writer.execute(
        "UPDATE alerts SET acknowledged_at = ?, acknowledged_by = ? WHERE id = ? AND acknowledged_at IS NULL",
        (now_ms, by, alert_id),
    )
    row = await writer.fetch_one(f"SELECT {_COLUMNS} WHERE a.id = ?", (alert_id,))
    if row is None:
        raise errors.AlertNotFoundError(alert_id)
    return _from_row(row)


async def acknowledge_all(
    writer: Writer, by: ids.UserId | None, *, room_id: ids.RoomId | None, kind: Kind | None, now_ms: int
) -> int:
    """Acknowledge the open alerts of a room, of a kind, of both, or all of them for None; return their count."""
    rows = await writer.fetch_all(
        "UPDATE alerts SET acknowledged_at = ?1, acknowledged_by = ?2 WHERE acknowledged_at IS NULL "
        "AND (?3 IS NULL OR room_id = ?3) AND (?4 IS NULL OR kind = ?4) RETURNING id",
        (now_ms, by, room_id, kind),
    )
    return len(rows)


async def waiting(reader: Reader, *, limit: int, now_ms: int) -> list[tuple[Sink, int, Alert]]:
    """Return the deliveries due now, the longest overdue first: the sink, the number of tries, and the alert.

    A delivery due later than the longest pause allows was postponed before the clock went back, and is due too.
    """
    rows = await reader.fetch_all(
        "SELECT t.sink, t.tries, a.id, a.room_id, r.name, a.kind, a.level, a.previous, a.size_bytes, a.limit_bytes, "
        "a.reason, a.raised_at, a.acknowledged_at, a.acknowledged_by FROM alert_tellings t "
        "JOIN alerts a ON a.id = t.alert_id LEFT JOIN rooms r ON r.id = a.room_id "
        "WHERE t.next_try_at IS NOT NULL AND (t.next_try_at <= ?1 OR t.next_try_at > ?1 + ?2) "
        "ORDER BY t.next_try_at, t.alert_id LIMIT ?3",
        (now_ms, RETRY_MS_MAX, limit),
    )
    return [(row[0], row[1], _from_row(row[2:])) for row in rows]


async def note_told(writer: Writer, alert_id: int, sink: Sink, *, now_ms: int) -> None:
    """Note that a sink accepted an alert."""
    await writer.execute(
        "UPDATE alert_tellings SET told_at = ?, next_try_at = NULL, error = NULL, tries = tries + 1 "
        "WHERE alert_id = ? AND sink = ?",
        (now_ms, alert_id, sink),
    )


async def note_failed(writer: Writer, alert_id: int, sink: Sink, tries: int, error: str, *, now_ms: int) -> None:
    """Note the `tries`th failed delivery of an alert to a sink, and the time of the next try."""
    pause_ms = min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** min(tries - 1, 20))
    next_try_at = None if tries >= TRIES_MAX else now_ms + pause_ms
    await writer.execute(
        "UPDATE alert_tellings SET tries = ?, next_try_at = ?, error = ? WHERE alert_id = ? AND sink = ?",
        (tries, next_try_at, error[:1000] or "unknown", alert_id, sink),
    )
