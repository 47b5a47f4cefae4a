-- What people store in files, over all rooms: an index of what the shards say, against which uploads are admitted.

CREATE TABLE storage (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    room_id    INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    -- When room was last reserved for an upload, which its shard may not know of yet.
    asked_at   INTEGER NOT NULL,
    PRIMARY KEY (user_id, room_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_storage_room_id ON storage (room_id);

-- The rooms that have files, and when each is looked through next for what is left to remove.
CREATE TABLE file_rooms (
    room_id INTEGER PRIMARY KEY REFERENCES rooms (id) ON DELETE CASCADE,
    due_at  INTEGER NOT NULL,
    -- The key in object storage up to which the present look has come; empty between two.
    place   TEXT    NOT NULL DEFAULT '' CHECK (length(place) <= 512)
) STRICT;
CREATE INDEX idx_file_rooms_due_at ON file_rooms (due_at);
