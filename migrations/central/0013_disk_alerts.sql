-- Alerts about the disk of the data folder. SQLite changes no CHECK: the table is made anew, and what refers to it too.

ALTER TABLE alerts RENAME TO old_alerts;
ALTER TABLE alert_tellings RENAME TO old_alert_tellings;

CREATE TABLE alerts (
    id              INTEGER PRIMARY KEY CHECK (id > 0),
    room_id         INTEGER REFERENCES rooms (id) ON DELETE CASCADE,
    kind            TEXT    NOT NULL CHECK (kind IN ('size', 'damage', 'disk')),
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
INSERT INTO alerts SELECT * FROM old_alerts;

CREATE TABLE alert_tellings (
    alert_id    INTEGER NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
    sink        TEXT    NOT NULL CHECK (sink IN ('log', 'webhook', 'mail')),
    told_at     INTEGER,
    tries       INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    next_try_at INTEGER,
    error       TEXT    CHECK (length(error) BETWEEN 1 AND 1000),
    PRIMARY KEY (alert_id, sink)
) STRICT, WITHOUT ROWID;
INSERT INTO alert_tellings SELECT * FROM old_alert_tellings;

DROP TABLE old_alert_tellings;
DROP TABLE old_alerts;
CREATE INDEX idx_alerts_room_id_kind ON alerts (room_id, kind, id);
CREATE INDEX idx_alerts_open ON alerts (id) WHERE acknowledged_at IS NULL;
CREATE INDEX idx_alert_tellings_waiting ON alert_tellings (next_try_at, alert_id) WHERE next_try_at IS NOT NULL;
