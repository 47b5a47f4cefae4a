-- The archive's manifest, and what the shard keeps of messages that moved into it. Nothing was written to segments before.

DROP TABLE segments;
-- A segment is an immutable object with a stretch of one channel's messages. Of them those up to cut_id have moved: what
-- stands behind it is still in the table messages, and counts there alone. first_id, last_id and the count are of what
-- has moved.
CREATE TABLE segments (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    object_key    TEXT    NOT NULL CHECK (length(object_key) > 0),
    sha256        TEXT    NOT NULL CHECK (length(sha256) = 64),
    size_bytes    INTEGER NOT NULL CHECK (size_bytes > 0),
    file_bytes    INTEGER NOT NULL CHECK (file_bytes > 0),
    first_id      INTEGER NOT NULL,
    last_id       INTEGER NOT NULL CHECK (last_id >= first_id),
    cut_id        INTEGER NOT NULL CHECK (cut_id >= last_id),
    until_id      INTEGER NOT NULL CHECK (until_id >= cut_id),
    built_seq     INTEGER NOT NULL,
    message_count INTEGER NOT NULL CHECK (message_count >= 0),
    hidden_count  INTEGER NOT NULL DEFAULT 0 CHECK (hidden_count >= 0),
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_segments_channel_id ON segments (channel_id, last_id);

-- Where the archived messages of a thread are: a thread's page asks no segment in vain.
CREATE TABLE segment_threads (
    thread_id     INTEGER NOT NULL,
    segment_id    INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    first_id      INTEGER NOT NULL,
    last_id       INTEGER NOT NULL CHECK (last_id >= first_id),
    message_count INTEGER NOT NULL CHECK (message_count >= 0),
    PRIMARY KEY (thread_id, segment_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_segment_threads_segment_id ON segment_threads (segment_id);

-- Which words, authors and mentions a segment may have (shard/segment_filters.py).
CREATE TABLE segment_filters (
    segment_id INTEGER PRIMARY KEY REFERENCES segments (id) ON DELETE CASCADE,
    filter     BLOB NOT NULL
) STRICT;

-- Messages that an object has and that do not count: deleted since, or changed before they could move. Nobody is shown
-- them; the next rewrite of the segment leaves them out.
CREATE TABLE segment_hidden (
    segment_id INTEGER NOT NULL REFERENCES segments (id) ON DELETE CASCADE,
    message_id INTEGER NOT NULL,
    PRIMARY KEY (segment_id, message_id)
) STRICT, WITHOUT ROWID;

-- Objects that no segment needs any more: to be removed from storage, then here.
CREATE TABLE freed_objects (
    object_key TEXT PRIMARY KEY CHECK (length(object_key) > 0)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER segments_delete AFTER DELETE ON segments BEGIN
    INSERT INTO freed_objects (object_key) VALUES (old.object_key) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER segments_update AFTER UPDATE OF object_key ON segments WHEN old.object_key <> new.object_key BEGIN
    INSERT INTO freed_objects (object_key) VALUES (old.object_key) ON CONFLICT DO NOTHING;
END;

-- The nonces of archived messages, as 64 bits of a hash: what was sent once is not sent again after it moved.
CREATE TABLE archived_nonces (
    hash INTEGER PRIMARY KEY
) STRICT;

-- The files of archived messages: they are served, counted and removed as all others.
CREATE TABLE archived_attachments (
    id          INTEGER PRIMARY KEY CHECK (id > 0),
    message_id  INTEGER NOT NULL,
    channel_id  INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    user_id     INTEGER NOT NULL CHECK (user_id > 0),
    filename    TEXT    NOT NULL,
    size_bytes  INTEGER NOT NULL CHECK (size_bytes >= 0),
    mime_type   TEXT    NOT NULL,
    sha256      TEXT    NOT NULL CHECK (length(sha256) = 64),
    object_key  TEXT    NOT NULL CHECK (length(object_key) > 0),
    width       INTEGER CHECK (width > 0),
    height      INTEGER CHECK (height > 0),
    duration_ms INTEGER CHECK (duration_ms >= 0),
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_archived_attachments_message_id ON archived_attachments (message_id);

-- A row that moved into archived_attachments leaves nothing to remove.
DROP TRIGGER message_attachments_delete;
CREATE TRIGGER message_attachments_delete AFTER DELETE ON message_attachments
    WHEN NOT EXISTS (SELECT 1 FROM archived_attachments WHERE id = old.id)
BEGIN
    INSERT INTO freed_files (id, user_id, size_bytes, object_key)
        VALUES (old.id, old.user_id, old.size_bytes, old.object_key);
END;

CREATE TRIGGER archived_attachments_delete AFTER DELETE ON archived_attachments BEGIN
    INSERT INTO freed_files (id, user_id, size_bytes, object_key)
        VALUES (old.id, old.user_id, old.size_bytes, old.object_key);
END;

-- What becomes of old messages, beyond what the settings say for all rooms; channel 0 is the room. A held one keeps all.
CREATE TABLE archive_policies (
    channel_id         INTEGER PRIMARY KEY CHECK (channel_id >= 0),
    archive_after_days INTEGER CHECK (archive_after_days >= 0),
    delete_after_days  INTEGER CHECK (delete_after_days > 0),
    is_held            INTEGER NOT NULL DEFAULT 0 CHECK (is_held IN (0, 1)),
    hold_reason        TEXT CHECK (length(hold_reason) BETWEEN 1 AND 512)
) STRICT;

-- How many segments were ever begun: the numbers of what is imported afterwards are of another generation.
ALTER TABLE room ADD COLUMN segments_made INTEGER NOT NULL DEFAULT 0 CHECK (segments_made >= 0);
-- The lowest number from which on the log has every event; below it those of archived messages are missing.
ALTER TABLE room ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 1 CHECK (first_seq > 0);
