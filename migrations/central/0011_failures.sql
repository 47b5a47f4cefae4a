-- Work on single rooms and objects that failed unexpectedly: set aside, reported, and tried again, while all else goes on.

CREATE TABLE failures (
    work        TEXT    NOT NULL CHECK (length(work) BETWEEN 1 AND 100),
    -- A room's id, or the key of an object.
    item        TEXT    NOT NULL CHECK (length(item) BETWEEN 1 AND 600),
    room_id     INTEGER CHECK (room_id > 0),
    tries       INTEGER NOT NULL DEFAULT 1 CHECK (tries > 0),
    reason      TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    failed_at   INTEGER NOT NULL,
    next_try_at INTEGER NOT NULL,
    PRIMARY KEY (work, item)
) STRICT, WITHOUT ROWID;
