"""Dependencies of the endpoints, built where the server is composed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from directory.directory import Directory
from ids import RoomId
from objects.store import Store
from router.gateway.gateway import Gateway
from router.jobs import Jobs, Quarantine
from router.metrics import Metrics
from router.people import People
from router.rate_limits import Rate
from router.room_access import RoomAccess
from router.schemas.fields import Bounds
from router.sign_ins import SignIns
from router.webhook_deliveries import Deliveries
from router.workflows.membership import Entrance
from shard.engine.pool import ShardPool
from shard.history.history import History
from shard.history.search import Searches

Check = Callable[[], Awaitable[None]]
"""Health check: returns if it passes, else raises the fault."""
Inspect = Callable[[bytes], Awaitable[tuple[str, int, int] | None]]
"""Returns type, width and height of an image by the first bytes of its file; None where they are of none."""


@dataclass(frozen=True, slots=True)
class Options:
    """Operator's settings for the endpoints; sizes in their units.

    `size_limit_bytes` is the limit of shards that have none of their own.
    """

    title: str
    version: str
    own_origin: str
    cross_origins: tuple[str, ...]
    registration_is_open: bool
    bounds: Bounds
    search_deadline_seconds: float
    rooms_owned_max: int
    room_members_max: int
    group_members_max: int
    storage_user_bytes_max: int
    size_limit_bytes: int
    webhook_rate: Rate
    site_vars: Mapping[str, str | int | float | bool]
    link_secret: bytes = field(repr=False)
    """Signs the addresses of a file store on disk."""


@dataclass(frozen=True, slots=True)
class AppContext:
    """Everything that endpoints need; the layers below them take only what they use.

    `freed` is called with rooms whose files are to be removed. `warnings` return "ok" or what the server does without.
    """

    options: Options
    directory: Directory
    pool: ShardPool
    history: History
    searches: Searches
    rooms: RoomAccess
    people: People
    entrance: Entrance
    gateway: Gateway
    deliveries: Deliveries
    store: Store
    freed: Callable[[RoomId], None]
    inspect: Inspect
    jobs: Jobs
    quarantine: Quarantine
    metrics: Metrics
    sign_ins: SignIns
    checks: Mapping[str, Check]
    warnings: Mapping[str, Callable[[], str]]
