-- One room in one file. Every index costs an empty room a page of 2 KiB, so tables that stay small (roles, channels,
-- bans, webhooks, ...) have none beside their key. Ids are snowflakes, times are milliseconds UTC. People are known by id only:
-- names and other personal data live in the directory.

-- The wrong-shard guard: exactly one row, compared with the wanted room at every open.
CREATE TABLE room (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    room_id    INTEGER NOT NULL CHECK (room_id > 0),
    kind       TEXT    NOT NULL CHECK (kind IN ('community', 'group', 'direct')),
    owner_id   INTEGER CHECK (owner_id > 0 OR kind = 'direct'),
    ordinal    INTEGER NOT NULL DEFAULT 0 CHECK (ordinal >= 0),
    created_at INTEGER NOT NULL
) STRICT;

-- Who is in. The row stays after leaving, so that rejoining and authorship keep their history.
CREATE TABLE members (
    user_id         INTEGER PRIMARY KEY CHECK (user_id > 0),
    nickname        TEXT CHECK (length(nickname) BETWEEN 1 AND 64),
    joined_at       INTEGER NOT NULL,
    timed_out_until INTEGER,
    left_at         INTEGER
) STRICT;

-- The role with the room's own id is everyone's.
CREATE TABLE roles (
    id             INTEGER PRIMARY KEY CHECK (id > 0),
    name           TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    color          TEXT    CHECK (color GLOB '#[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    permissions    INTEGER NOT NULL CHECK (permissions >= 0),
    position       INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0),
    is_mentionable INTEGER NOT NULL DEFAULT 1 CHECK (is_mentionable IN (0, 1)),
    created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE member_roles (
    user_id    INTEGER NOT NULL REFERENCES members (user_id) ON DELETE CASCADE,
    role_id    INTEGER NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    granted_by INTEGER NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, role_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_member_roles_role_id ON member_roles (role_id, user_id);

CREATE TABLE bans (
    user_id    INTEGER PRIMARY KEY CHECK (user_id > 0),
    reason     TEXT CHECK (length(reason) <= 512),
    banned_by  INTEGER NOT NULL,
    banned_at  INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;

CREATE TABLE categories (
    id                   INTEGER PRIMARY KEY CHECK (id > 0),
    name                 TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    position             INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0),
    collapsed_by_default INTEGER NOT NULL DEFAULT 0 CHECK (collapsed_by_default IN (0, 1)),
    created_at           INTEGER NOT NULL
) STRICT;

CREATE TABLE channels (
    id                 INTEGER PRIMARY KEY CHECK (id > 0),
    name               TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    type               TEXT    NOT NULL CHECK (type IN ('text', 'voice', 'announcement')),
    description        TEXT    CHECK (length(description) <= 1024),
    position           INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0),
    category_id        INTEGER REFERENCES categories (id) ON DELETE SET NULL,
    is_private         INTEGER NOT NULL DEFAULT 0 CHECK (is_private IN (0, 1)),
    is_archived        INTEGER NOT NULL DEFAULT 0 CHECK (is_archived IN (0, 1)),
    thread_mode        TEXT    NOT NULL DEFAULT 'optional' CHECK (thread_mode IN ('required', 'optional', 'disabled')),
    slow_mode_seconds  INTEGER NOT NULL DEFAULT 0 CHECK (slow_mode_seconds BETWEEN 0 AND 21600),
    auto_archive_hours INTEGER NOT NULL DEFAULT 168 CHECK (auto_archive_hours > 0),
    message_count      INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    last_message_id    INTEGER,
    created_by         INTEGER NOT NULL,
    created_at         INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX idx_channels_name ON channels (name COLLATE NOCASE);

-- What a role or one member may do in a channel beyond, or short of, what they may in the room.
CREATE TABLE channel_overwrites (
    channel_id  INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    target_type TEXT    NOT NULL CHECK (target_type IN ('role', 'member')),
    target_id   INTEGER NOT NULL CHECK (target_id > 0),
    allow       INTEGER NOT NULL DEFAULT 0 CHECK (allow >= 0),
    deny        INTEGER NOT NULL DEFAULT 0 CHECK (deny >= 0),
    CHECK (allow & deny = 0),
    PRIMARY KEY (channel_id, target_type, target_id)
) STRICT, WITHOUT ROWID;

-- A topic with a title inside a channel (Zulip's model): a channel's page shows the messages of all its threads.
CREATE TABLE threads (
    id              INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id      INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    title           TEXT    NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    created_by      INTEGER NOT NULL,
    message_count   INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    last_message_id INTEGER,
    last_message_at INTEGER NOT NULL,
    is_locked       INTEGER NOT NULL DEFAULT 0 CHECK (is_locked IN (0, 1)),
    is_archived     INTEGER NOT NULL DEFAULT 0 CHECK (is_archived IN (0, 1)),
    created_at      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX idx_threads_channel_id_title ON threads (channel_id, title);
CREATE INDEX idx_threads_channel_id_last_message_at ON threads (channel_id, last_message_at, id);
CREATE INDEX idx_threads_last_message_at ON threads (last_message_at, id);
