"""One good row of every table of the archive, and what the schema must refuse of them; the channel is number 2."""

SHA256 = "0" * 64
AT = 1_700_000_000_000

ROWS: dict[str, dict[str, object]] = {
    "segments": {
        "id": 9,
        "channel_id": 2,
        "object_key": "k",
        "sha256": SHA256,
        "size_bytes": 10,
        "file_bytes": 20,
        "first_id": 4,
        "last_id": 5,
        "cut_id": 6,
        "until_id": 7,
        "built_seq": 1,
        "message_count": 1,
        "created_at": AT,
    },
    "segment_threads": {"thread_id": 3, "segment_id": 9, "first_id": 1, "last_id": 2, "message_count": 1},
    "segment_filters": {"segment_id": 9, "filter": b"0"},
    "segment_hidden": {"segment_id": 9, "message_id": 1},
    "freed_objects": {"object_key": "k"},
    "archived_nonces": {"hash": -1},
    "archived_crowds": {"begin_id": 4, "last_id": 5},
    "archived_attachments": {
        "id": 15,
        "message_id": 1,
        "channel_id": 2,
        "user_id": 7,
        "filename": "a.png",
        "size_bytes": 9,
        "mime_type": "image/png",
        "sha256": SHA256,
        "object_key": "k",
        "created_at": AT,
        "segment_id": 9,
    },
    "archive_policies": {"channel_id": 2, "is_held": 1, "hold_reason": "court"},
}

WRONG: tuple[tuple[str, dict[str, object]], ...] = (
    ("segments", {"last_id": 3}),
    ("segments", {"cut_id": 4}),
    ("segments", {"until_id": 5}),
    ("segments", {"message_count": -1}),
    ("segments", {"size_bytes": 0}),
    ("segments", {"sha256": "0"}),
    ("segment_threads", {"last_id": 0}),
    ("archive_policies", {"delete_after_days": 0}),
    ("archive_policies", {"is_held": 2}),
    ("archived_attachments", {"sha256": "0"}),
    ("archived_crowds", {"last_id": 3}),
)

KEPT = {"freed_objects", "archived_nonces", "archived_crowds", "archive_policies"}
"""What stays when its channel goes: what is still to be removed, what was sent once, which numbers are taken, and what
was decided."""
