-- Which rooms there are, where their shards stand, and who is in which: an index of what the shards say of themselves.

CREATE TABLE rooms (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    kind          TEXT    NOT NULL CHECK (kind IN ('community', 'group', 'direct')),
    name          TEXT    CHECK (length(name) BETWEEN 2 AND 50 AND name GLOB '[a-z0-9]*' AND name NOT GLOB '*[^a-z0-9-]*'),
    display_name  TEXT    CHECK (length(display_name) BETWEEN 1 AND 100),
    description   TEXT    CHECK (length(description) <= 1024),
    icon_url      TEXT    CHECK (length(icon_url) BETWEEN 1 AND 2048),
    banner_url    TEXT    CHECK (length(banner_url) BETWEEN 1 AND 2048),
    owner_id      INTEGER REFERENCES users (id),
    is_public     INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1)),
    is_verified   INTEGER NOT NULL DEFAULT 0 CHECK (is_verified IN (0, 1)),
    max_members   INTEGER CHECK (max_members > 0),
    member_count  INTEGER NOT NULL DEFAULT 0 CHECK (member_count >= 0),
    message_count INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    shard_count   INTEGER NOT NULL DEFAULT 1 CHECK (shard_count > 0),
    features      TEXT    NOT NULL DEFAULT '[]' CHECK (json_valid(features) AND json_type(features) = 'array'),
    state         TEXT    NOT NULL DEFAULT 'creating'
                  CHECK (state IN ('creating', 'active', 'readonly', 'hibernated', 'deleted')),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    CHECK ((kind = 'community') = (name IS NOT NULL)),
    CHECK (kind <> 'community' OR display_name IS NOT NULL),
    CHECK (kind = 'direct' OR owner_id IS NOT NULL),
    CHECK (kind = 'community' OR is_public = 0)
) STRICT;
-- A deleted room gives its name back.
CREATE UNIQUE INDEX idx_rooms_name ON rooms (name) WHERE name IS NOT NULL AND state <> 'deleted';
CREATE INDEX idx_rooms_owner_id ON rooms (owner_id, state);
CREATE INDEX idx_rooms_public ON rooms (member_count, id) WHERE is_public = 1;
CREATE INDEX idx_rooms_creating ON rooms (id) WHERE state = 'creating';

CREATE TRIGGER rooms_identity BEFORE UPDATE OF id, kind, created_at ON rooms
    WHEN new.id IS NOT old.id OR new.kind IS NOT old.kind OR new.created_at IS NOT old.created_at
BEGIN
    SELECT raise(ABORT, 'the identity of a room never changes');
END;

-- Which file holds a room, and how that file was when it was last measured.
CREATE TABLE shards (
    room_id        INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    ordinal        INTEGER NOT NULL DEFAULT 0 CHECK (ordinal >= 0),
    database_id    TEXT    NOT NULL CHECK (length(database_id) BETWEEN 1 AND 64),
    schema_version INTEGER NOT NULL DEFAULT 0 CHECK (schema_version >= 0),
    size_bytes     INTEGER NOT NULL DEFAULT 0 CHECK (size_bytes >= 0),
    wal_bytes      INTEGER NOT NULL DEFAULT 0 CHECK (wal_bytes >= 0),
    freelist_bytes INTEGER NOT NULL DEFAULT 0 CHECK (freelist_bytes >= 0),
    message_count  INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    last_seq       INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    level          TEXT    NOT NULL DEFAULT 'ok' CHECK (level IN ('ok', 'warn', 'critical', 'full')),
    checked_at     INTEGER,
    hibernated_at  INTEGER,
    PRIMARY KEY (room_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX idx_shards_database_id ON shards (database_id);
CREATE INDEX idx_shards_checked_at ON shards (checked_at) WHERE hibernated_at IS NULL;
CREATE INDEX idx_shards_level ON shards (level) WHERE level <> 'ok';
CREATE INDEX idx_shards_schema_version ON shards (schema_version);

-- What the growth forecast is drawn from.
CREATE TABLE shard_sizes (
    room_id     INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    measured_at INTEGER NOT NULL,
    size_bytes  INTEGER NOT NULL CHECK (size_bytes >= 0),
    PRIMARY KEY (room_id, ordinal, measured_at),
    FOREIGN KEY (room_id, ordinal) REFERENCES shards (room_id, ordinal) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_shard_sizes_measured_at ON shard_sizes (measured_at);

-- The user's index of rooms; access is decided by the members table of the shard.
CREATE TABLE room_members (
    room_id            INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    user_id            INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    nickname           TEXT    CHECK (length(nickname) BETWEEN 1 AND 64),
    joined_at          INTEGER NOT NULL,
    last_read_at       INTEGER,
    notification_level TEXT    NOT NULL DEFAULT 'all' CHECK (notification_level IN ('all', 'mentions', 'none')),
    PRIMARY KEY (room_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_room_members_user_id_joined_at ON room_members (user_id, joined_at, room_id);
CREATE INDEX idx_room_members_room_id_joined_at ON room_members (room_id, joined_at, user_id);

CREATE TRIGGER room_members_insert AFTER INSERT ON room_members BEGIN
    UPDATE rooms SET member_count = member_count + 1 WHERE id = new.room_id;
END;

CREATE TRIGGER room_members_delete AFTER DELETE ON room_members BEGIN
    UPDATE rooms SET member_count = member_count - 1 WHERE id = old.room_id;
END;

CREATE TABLE invites (
    code       TEXT    PRIMARY KEY CHECK (length(code) BETWEEN 14 AND 64 AND code NOT GLOB '*[^A-Za-z0-9_-]*'),
    room_id    INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    created_by INTEGER NOT NULL,
    role_id    INTEGER CHECK (role_id > 0),
    uses       INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0),
    max_uses   INTEGER CHECK (max_uses > 0),
    created_at INTEGER NOT NULL,
    expires_at INTEGER CHECK (expires_at > created_at),
    revoked_at INTEGER,
    CHECK (max_uses IS NULL OR uses <= max_uses)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_invites_room_id_created_at ON invites (room_id, created_at);
