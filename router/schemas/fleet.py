"""Schemas of the fleet for operators: shards with their sizes and forecasts, alerts, jobs."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from directory.alert_texts import sentence
from directory.alerts import Alert
from directory.runs import Run
from directory.shards import LEVELS, Shard, Summary
from router.schemas.fields import Id, PageQuery, TimedPageQuery, Wire, moment, moment_or_none, text_or_none
from router.schemas.people import UserView

LIMIT_BYTES_MAX = 281_474_976_710_656
"""Maximum size of an SQLite database."""


class ShardsQuery(TimedPageQuery):
    """Filter of shards by level."""

    level: Literal["ok", "warn", "critical", "full"] | None = None


class SizesQuery(Wire):
    """Number of days of a shard's history."""

    days: Annotated[int, Field(ge=1, le=400)] = 30


class SetLimit(Wire):
    """Size limit of a shard in bytes; null for that of the settings."""

    size_limit_bytes: Annotated[int, Field(ge=1_048_576, le=LIMIT_BYTES_MAX)] | None


class ReleaseQuery(Wire):
    """Option to release the room without checks."""

    force: bool = False


class StartJob(Wire):
    """Job to start, of one kind on one room."""

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
    room_id: Id


class AlertsQuery(PageQuery):
    """Filter of alerts: with `is_open` only those that nobody acknowledged."""

    is_open: bool = False


class OpenAlertsQuery(Wire):
    """Open alerts to acknowledge: of a room, of a kind, of both, or all."""

    room_id: Id | None = None
    kind: Literal["size", "damage", "disk"] | None = None


class CountView(TypedDict):
    """Number of alerts that were open."""

    count: int


class ShardView(TypedDict):
    """Shard of a room at `checked_at`; sizes in bytes. `full_at` is the forecast of when it is full at the present
    growth, null if it is not in sight; `problem` describes its fault."""

    room_id: str
    name: str | None
    state: str
    level: str
    size_bytes: int
    used_bytes: int
    wal_bytes: int
    limit_bytes: int
    has_own_limit: bool
    message_count: int
    last_seq: int
    schema_version: int
    full_at: datetime | None
    checked_at: datetime | None
    examined_at: datetime | None
    tidied_at: datetime | None
    problem: str | None
    quarantined_at: datetime | None


class FleetView(TypedDict):
    """Totals of the fleet."""

    shards: int
    levels: dict[str, int]
    size_bytes: int
    message_count: int
    quarantined: int


class ShardPageView(TypedDict):
    """Shards, the largest first. `next_cursor` is null on the last page."""

    fleet: FleetView
    shards: list[ShardView]
    next_cursor: str | None


class SizeView(TypedDict):
    """Bytes that a shard used in the hour that begins at `measured_at`."""

    measured_at: datetime
    used_bytes: int


class HistoryView(TypedDict):
    """Sizes of a shard, newest first: by hour in the last week, for hours in which it changed, and by day before."""

    sizes: list[SizeView]


class AlertView(TypedDict):
    """Alert about a change for the worse or the better, of a room or (without `room_id`) of the directory; `text` is
    its description."""

    id: str
    kind: str
    room_id: str | None
    name: str | None
    level: str
    previous: str
    size_bytes: int
    limit_bytes: int
    reason: str | None
    text: str
    raised_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class AlertPageView(TypedDict):
    """Alerts, newest first, with the users who acknowledged them. `next_cursor` is null on the last page."""

    alerts: list[AlertView]
    users: list[UserView]
    next_cursor: str | None


class JobView(TypedDict):
    """Job on a room: `running`, `done` with its `result`, `failed` with its `error`, or `cancelled`.

    `done_count` of `total_count` is its progress, in units of its own; both are 0 if it is unknown.
    """

    id: str
    kind: str
    state: str
    room_id: str | None
    started_by: str | None
    done_count: int
    total_count: int
    result: dict[str, Any] | None
    error: str | None
    started_at: datetime
    updated_at: datetime
    finished_at: datetime | None


class JobPageView(TypedDict):
    """Jobs, newest first, with the users who started them. `next_cursor` is null on the last page."""

    jobs: list[JobView]
    users: list[UserView]
    next_cursor: str | None


def job(row: Run) -> JobView:
    """Render a job."""
    return {
        "id": str(row.id),
        "kind": row.kind,
        "state": row.state,
        "room_id": text_or_none(row.room_id),
        "started_by": text_or_none(row.started_by),
        "done_count": row.done_count,
        "total_count": row.total_count,
        "result": row.result,
        "error": row.error,
        "started_at": moment(row.started_at),
        "updated_at": moment(row.updated_at),
        "finished_at": moment_or_none(row.finished_at),
    }


def shard(row: Shard, size_limit_bytes: int) -> ShardView:
    """Render a shard, with the default limit of the settings."""
    return {
        "room_id": str(row.room_id),
        "name": row.name,
        "state": row.state,
        "level": row.level,
        "size_bytes": row.size_bytes,
        "used_bytes": row.used_bytes,
        "wal_bytes": row.wal_bytes,
        "limit_bytes": row.size_limit_bytes or size_limit_bytes,
        "has_own_limit": row.size_limit_bytes is not None,
        "message_count": row.message_count,
        "last_seq": row.last_seq,
        "schema_version": row.schema_version,
        "full_at": moment_or_none(row.full_at),
        "checked_at": moment_or_none(row.checked_at),
        "examined_at": moment_or_none(row.examined_at),
        "tidied_at": moment_or_none(row.tidied_at),
        "problem": row.problem or row.damage or row.lost,
        "quarantined_at": moment_or_none(row.quarantined_at),
    }


def fleet(found: Summary) -> FleetView:
    """Render the totals of the fleet."""
    return {
        "shards": found.count,
        "levels": {level: found.by_level.get(level, 0) for level in LEVELS},
        "size_bytes": found.size_bytes,
        "message_count": found.message_count,
        "quarantined": found.quarantined,
    }


def history(rows: Sequence[tuple[int, int]]) -> HistoryView:
    """Render a history of sizes."""
    return {"sizes": [{"measured_at": moment(at), "used_bytes": size} for at, size in rows]}


def alert(row: Alert) -> AlertView:
    """Render an alert."""
    return {
        "id": str(row.id),
        "kind": row.kind,
        "room_id": text_or_none(row.room_id),
        "name": row.name,
        "level": row.level,
        "previous": row.previous,
        "size_bytes": row.size_bytes,
        "limit_bytes": row.limit_bytes,
        "reason": row.reason,
        "text": sentence(row),
        "raised_at": moment(row.raised_at),
        "acknowledged_at": moment_or_none(row.acknowledged_at),
        "acknowledged_by": text_or_none(row.acknowledged_by),
    }
