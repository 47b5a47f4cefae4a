-- What was done, kept for good: the audit log, the fleet's jobs, and who asked to be forgotten.

-- Append-only and chained: hash = SHA-256(previous hash, row), so that a changed, missing or inserted row shows
-- (directory/audit.py). No foreign keys: the log outlives what it tells of.
CREATE TABLE audit_log (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    user_id       INTEGER,
    action        TEXT    NOT NULL CHECK (action GLOB '[a-z]*.[a-z]*' AND length(action) <= 64),
    resource_type TEXT    CHECK (length(resource_type) BETWEEN 1 AND 32),
    resource_id   TEXT    CHECK (length(resource_id) BETWEEN 1 AND 64),
    metadata      TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    ip_address    TEXT    CHECK (length(ip_address) <= 45),
    user_agent    TEXT    CHECK (length(user_agent) <= 512),
    created_at    INTEGER NOT NULL,
    hash          BLOB    NOT NULL CHECK (length(hash) = 32),
    CHECK ((resource_type IS NULL) = (resource_id IS NULL))
) STRICT;
CREATE INDEX idx_audit_log_user_id ON audit_log (user_id, id);
CREATE INDEX idx_audit_log_resource ON audit_log (resource_type, resource_id, id);
CREATE INDEX idx_audit_log_action ON audit_log (action, id);

-- Also stops INSERT OR REPLACE, which deletes without firing a delete trigger.
CREATE TRIGGER audit_log_insert BEFORE INSERT ON audit_log
    WHEN new.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit_log)
BEGIN
    SELECT raise(ABORT, 'the audit log is append-only: rows are numbered without gaps');
END;

CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

-- Jobs that walk the fleet of shards. What is left to do is read from the shards, never from here.
CREATE TABLE runs (
    id           INTEGER PRIMARY KEY CHECK (id > 0),
    kind         TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 64 AND kind NOT GLOB '*[^a-z_]*'),
    state        TEXT    NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    options      TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(options) AND json_type(options) = 'object'),
    started_by   INTEGER,
    total_count  INTEGER NOT NULL DEFAULT 0 CHECK (total_count >= 0),
    done_count   INTEGER NOT NULL DEFAULT 0 CHECK (done_count >= 0),
    failed_count INTEGER NOT NULL DEFAULT 0 CHECK (failed_count >= 0),
    started_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    CHECK ((state = 'running') = (finished_at IS NULL))
) STRICT;
CREATE INDEX idx_runs_kind ON runs (kind, id);
CREATE INDEX idx_runs_running ON runs (id) WHERE state = 'running';

CREATE TABLE run_failures (
    run_id    INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    room_id   INTEGER NOT NULL,
    ordinal   INTEGER NOT NULL DEFAULT 0 CHECK (ordinal >= 0),
    error     TEXT    NOT NULL CHECK (length(error) BETWEEN 1 AND 4000),
    failed_at INTEGER NOT NULL,
    PRIMARY KEY (run_id, room_id, ordinal)
) STRICT, WITHOUT ROWID;

-- Replayed after every restore: a backup from before an erasure must not bring anybody back.
CREATE TABLE erasures (
    id           INTEGER PRIMARY KEY CHECK (id > 0),
    subject_type TEXT    NOT NULL CHECK (subject_type IN ('user', 'room')),
    subject_id   INTEGER NOT NULL CHECK (subject_id > 0),
    requested_by INTEGER,
    requested_at INTEGER NOT NULL,
    completed_at INTEGER CHECK (completed_at >= requested_at)
) STRICT;
CREATE UNIQUE INDEX idx_erasures_subject ON erasures (subject_type, subject_id);
CREATE INDEX idx_erasures_open ON erasures (id) WHERE completed_at IS NULL;

CREATE TRIGGER erasures_delete BEFORE DELETE ON erasures BEGIN
    SELECT raise(ABORT, 'the ledger of erasures is kept for good');
END;
