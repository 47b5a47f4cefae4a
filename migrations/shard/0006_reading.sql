-- What a person wants to hear of a channel; without a row, what they want to hear of the whole room (the directory's).
CREATE TABLE channel_levels (
    user_id    INTEGER NOT NULL CHECK (user_id > 0),
    channel_id INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    level      TEXT    NOT NULL CHECK (level IN ('all', 'mentions', 'none')),
    PRIMARY KEY (user_id, channel_id)
) STRICT, WITHOUT ROWID;

-- Titles that begin with what somebody has typed so far.
CREATE INDEX idx_threads_title ON threads (channel_id, title COLLATE NOCASE);
