-- What the monitor knows of each shard beside its size, the alerts that it raised, and whom it told of them.

-- NULL unless the room is read-only; one that is 'full' is opened again by the monitor, any other by an operator alone.
ALTER TABLE rooms ADD COLUMN readonly_reason TEXT CHECK (readonly_reason IN ('full', 'operator'));

-- A limit of this shard's own; NULL: the one of the settings.
ALTER TABLE shards ADD COLUMN size_limit_bytes INTEGER CHECK (size_limit_bytes >= 1048576);
-- How the shard's files looked just before it was measured: as long as they look so, it need not be opened. NULL: it must.
ALTER TABLE shards ADD COLUMN seen_as TEXT CHECK (length(seen_as) <= 200);
-- When it will be full if it goes on growing as it did; NULL: not in sight.
ALTER TABLE shards ADD COLUMN full_at INTEGER;
-- What keeps the shard from being used, or from being trusted; NULL: nothing that is known.
ALTER TABLE shards ADD COLUMN problem TEXT CHECK (length(problem) BETWEEN 1 AND 1000);
-- Since when nobody is let into the shard, because of its problem.
ALTER TABLE shards ADD COLUMN quarantined_at INTEGER;
-- When it was last looked through; when it was last tidied up, and what its last event was then.
ALTER TABLE shards ADD COLUMN examined_at INTEGER;
ALTER TABLE shards ADD COLUMN tidied_at INTEGER;
ALTER TABLE shards ADD COLUMN tidied_seq INTEGER;

DROP INDEX idx_shards_level;
CREATE INDEX idx_shards_level_size_bytes ON shards (level, size_bytes, room_id);
CREATE INDEX idx_shards_size_bytes ON shards (size_bytes, room_id);
CREATE INDEX idx_shards_examined_at ON shards (examined_at) WHERE hibernated_at IS NULL;
CREATE INDEX idx_shards_quarantined_at ON shards (room_id) WHERE quarantined_at IS NOT NULL;
CREATE INDEX idx_shards_size_limit_bytes ON shards (room_id) WHERE size_limit_bytes IS NOT NULL;

-- A change for the worse or the better. Without a room it is about the directory itself.
CREATE TABLE alerts (
    id              INTEGER PRIMARY KEY CHECK (id > 0),
    room_id         INTEGER REFERENCES rooms (id) ON DELETE CASCADE,
    kind            TEXT    NOT NULL CHECK (kind IN ('size', 'damage')),
    level           TEXT    NOT NULL CHECK (level IN ('ok', 'warn', 'critical', 'full')),
    previous        TEXT    NOT NULL CHECK (previous IN ('ok', 'warn', 'critical', 'full')),
    size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 0),
    limit_bytes     INTEGER NOT NULL CHECK (limit_bytes > 0),
    reason          TEXT    CHECK (length(reason) BETWEEN 1 AND 1000),
    raised_at       INTEGER NOT NULL,
    acknowledged_at INTEGER,
    acknowledged_by INTEGER,
    CHECK (level <> previous)
) STRICT;
CREATE INDEX idx_alerts_room_id_kind ON alerts (room_id, kind, id);
CREATE INDEX idx_alerts_open ON alerts (id) WHERE acknowledged_at IS NULL;

-- Who is still to be told of an alert, and how that goes. A row stays once it is told, or given up.
CREATE TABLE alert_tellings (
    alert_id    INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    sink        TEXT    NOT NULL CHECK (sink IN ('log', 'webhook', 'mail')),
    told_at     INTEGER,
    tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at INTEGER,
    error       TEXT    CHECK (length(error) BETWEEN 1 AND 1000),
    PRIMARY KEY (alert_id, sink)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_alert_tellings_waiting ON alert_tellings (next_try_at, alert_id) WHERE next_try_at IS NOT NULL;

-- A job upon one room says which, and what came of it.
ALTER TABLE runs ADD COLUMN room_id INTEGER CHECK (room_id > 0);
ALTER TABLE runs ADD COLUMN result TEXT CHECK (json_valid(result) AND json_type(result) = 'object');
ALTER TABLE runs ADD COLUMN error TEXT CHECK (length(error) BETWEEN 1 AND 4000);
