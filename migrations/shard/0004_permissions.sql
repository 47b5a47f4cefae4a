-- Permissions of categories, which their channels copy, and the room's own record of what moderators did.

ALTER TABLE categories ADD COLUMN is_private INTEGER NOT NULL DEFAULT 0 CHECK (is_private IN (0, 1));

CREATE TABLE category_overwrites (
    category_id INTEGER NOT NULL REFERENCES categories (id) ON DELETE CASCADE,
    target_type TEXT    NOT NULL CHECK (target_type IN ('role', 'member')),
    target_id   INTEGER NOT NULL CHECK (target_id > 0),
    allow       INTEGER NOT NULL DEFAULT 0 CHECK (allow >= 0),
    deny        INTEGER NOT NULL DEFAULT 0 CHECK (deny >= 0),
    CHECK (allow & deny = 0),
    PRIMARY KEY (category_id, target_type, target_id)
) STRICT, WITHOUT ROWID;

-- Written in the transaction of the act it tells of, so neither is there without the other; it goes wherever its room
-- goes. Append-only and chained: hash = SHA-256(previous hash, row), so that a changed, missing or inserted row shows
-- (shard/audit.py). Actor NULL is the server or its operator. `before` and `after` have what changed, as JSON objects.
CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY CHECK (id > 0),
    actor_id    INTEGER,
    action      TEXT    NOT NULL CHECK (action GLOB '[a-z]*.[a-z]*' AND length(action) <= 64),
    target_type TEXT    CHECK (length(target_type) BETWEEN 1 AND 32),
    target_id   INTEGER,
    before      TEXT    CHECK (json_valid(before) AND json_type(before) = 'object'),
    after       TEXT    CHECK (json_valid(after) AND json_type(after) = 'object'),
    reason      TEXT    CHECK (length(reason) BETWEEN 1 AND 512),
    created_at  INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    CHECK ((target_type IS NULL) = (target_id IS NULL))
) STRICT;
CREATE INDEX idx_audit_log_actor_id ON audit_log (actor_id, id);
CREATE INDEX idx_audit_log_target_id ON audit_log (target_id, id);
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

-- Which other tables have rows of a message (bits, shard/rows.py): a page looks only where there is something.
ALTER TABLE messages ADD COLUMN extras INTEGER NOT NULL DEFAULT 0 CHECK (extras >= 0);

-- How many people reacted with what, kept beside the reactions: a page need not count ten thousand of them.
CREATE TABLE reaction_counts (
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    emoji      TEXT    NOT NULL CHECK (length(emoji) BETWEEN 1 AND 64),
    count      INTEGER NOT NULL CHECK (count > 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, emoji)
) STRICT, WITHOUT ROWID;
