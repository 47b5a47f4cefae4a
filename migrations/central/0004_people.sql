-- Whom people let reach them, the one direct chat of each pair, and what a room listens to.

ALTER TABLE user_settings ADD COLUMN direct_messages_from TEXT NOT NULL DEFAULT 'everyone'
    CHECK (direct_messages_from IN ('everyone', 'shared', 'nobody'));

-- A link to what a room listens to; directory/rooms.py keeps it, the router says which links are music.
ALTER TABLE rooms ADD COLUMN music_url TEXT CHECK (length(music_url) BETWEEN 1 AND 512);

-- Who wants to hear nothing of whom. The one who is blocked is told nowhere.
CREATE TABLE blocks (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    blocked_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, blocked_id),
    CHECK (user_id <> blocked_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_blocks_blocked_id ON blocks (blocked_id);

-- The chat of a pair, whoever asked first. It goes with its registry row, so that a half-made chat is forgotten whole.
CREATE TABLE directs (
    low_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    high_id   INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    room_id   INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    opened_by INTEGER NOT NULL CHECK (opened_by IN (low_id, high_id)),
    PRIMARY KEY (low_id, high_id),
    CHECK (low_id < high_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_directs_high_id ON directs (high_id);
CREATE UNIQUE INDEX idx_directs_room_id ON directs (room_id);
CREATE INDEX idx_directs_opened_by ON directs (opened_by);
