"""The fleet of shards: administrators' alone, whatever somebody is in a room."""

from tests.router.matrix.rows import SIGNED_IN, Row, Rows
from tests.router.matrix.worlds import World

NOT_THEIRS = SIGNED_IN.replace("200", "403")
SHARD = "/v1/operate/shards/{room_id}"

ROWS: Rows = {
    ("GET", "/v1/operate/shards"): Row(NOT_THEIRS),
    ("GET", SHARD): Row(NOT_THEIRS),
    ("GET", SHARD + "/sizes"): Row(NOT_THEIRS),
    ("PUT", SHARD + "/limit"): Row(NOT_THEIRS, {"size_limit_bytes": None}),
    ("GET", SHARD + "/archive"): Row(NOT_THEIRS),
    ("PUT", SHARD + "/archive/policy"): Row(NOT_THEIRS, {"archive_after_days": 90, "delete_after_days": None}),
    ("PUT", SHARD + "/archive/hold"): Row(NOT_THEIRS, {"reason": "Case 12"}),
    ("DELETE", SHARD + "/archive/hold"): Row(NOT_THEIRS),
    ("GET", "/v1/operate/alerts"): Row(NOT_THEIRS),
    ("PUT", "/v1/operate/alerts/acknowledged"): Row(NOT_THEIRS),
    ("PUT", "/v1/operate/alerts/{alert_id}/acknowledged"): Row(NOT_THEIRS),
    ("POST", "/v1/operate/jobs"): Row(NOT_THEIRS, {"kind": "optimize", "room_id": "{room_id}"}),
    ("GET", "/v1/operate/jobs"): Row(NOT_THEIRS),
    ("GET", "/v1/operate/jobs/{job_id}"): Row(NOT_THEIRS),
    ("DELETE", "/v1/operate/jobs/{job_id}"): Row(NOT_THEIRS),
    ("DELETE", SHARD + "/quarantine"): Row(NOT_THEIRS),
}


def furnish(world: World) -> None:
    """Name an alert and a job, which none of them may know of."""
    world.ids.update(alert_id="1", job_id="1")
