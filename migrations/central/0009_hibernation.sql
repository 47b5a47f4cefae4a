-- Rooms that sleep: when each was last used, which object holds one that is away, and what operators asked for.

-- When somebody last asked for the room or wrote to it, to the hour. What was there before counts as used now.
ALTER TABLE shards ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
UPDATE shards SET used_at = unixepoch() * 1000;
CREATE INDEX idx_shards_used_at ON shards (used_at) WHERE hibernated_at IS NULL;

-- 'storing': the shard's file is the room, and the object is nothing yet. 'asleep': the object is the room, and a file
-- that still stands is nothing. 'awake': the file is the room again, and the object is to be removed.
CREATE TABLE hibernations (
    id          INTEGER PRIMARY KEY CHECK (id > 0),
    room_id     INTEGER NOT NULL REFERENCES rooms (id),
    state       TEXT    NOT NULL DEFAULT 'storing' CHECK (state IN ('storing', 'asleep', 'awake')),
    object_key  TEXT    NOT NULL CHECK (length(object_key) BETWEEN 1 AND 512),
    size_bytes  INTEGER NOT NULL CHECK (size_bytes > 0),
    sha256      TEXT    NOT NULL CHECK (length(sha256) = 64),
    -- What comes out when it is unpacked.
    file_bytes  INTEGER NOT NULL CHECK (file_bytes > 0),
    file_sha256 TEXT    NOT NULL CHECK (length(file_sha256) = 64),
    changed_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX idx_hibernations_object_key ON hibernations (object_key);
CREATE UNIQUE INDEX idx_hibernations_asleep ON hibernations (room_id) WHERE state = 'asleep';
CREATE INDEX idx_hibernations_left ON hibernations (changed_at) WHERE state <> 'asleep';

-- What an operator asked the running server for, which alone may do it; `outcome` is NULL until it is done, then empty or
-- why it was not.
CREATE TABLE room_orders (
    room_id  INTEGER PRIMARY KEY REFERENCES rooms (id),
    wanted   TEXT    NOT NULL CHECK (wanted IN ('hibernate', 'wake')),
    asked_at INTEGER NOT NULL,
    outcome  TEXT    CHECK (length(outcome) <= 1000)
) STRICT;
CREATE INDEX idx_room_orders_open ON room_orders (room_id) WHERE outcome IS NULL;
