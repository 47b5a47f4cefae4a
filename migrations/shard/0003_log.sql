-- The append-only log: every change leaves one row in its own transaction, numbered without gaps.
-- A created message is told by its id alone (the words stay in one place, where they can be erased);
-- whatever an edit or a deletion replaces is kept in its payload, so history is never overwritten.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY,
    type       TEXT    NOT NULL CHECK (type GLOB '[a-z]*.[a-z]*'),
    channel_id INTEGER,
    message_id INTEGER,
    actor_id   INTEGER,
    payload    TEXT    CHECK (json_valid(payload)),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_events_message_id ON events (message_id, seq)
    WHERE message_id IS NOT NULL AND type <> 'message.created';

CREATE TRIGGER events_append_only BEFORE UPDATE ON events BEGIN
    SELECT raise(ABORT, 'the event log is append-only');
END;

CREATE TABLE voice_sessions (
    id               INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id       INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    rtk_session_id   TEXT,
    started_at       INTEGER NOT NULL,
    ended_at         INTEGER CHECK (ended_at >= started_at),
    max_participants INTEGER NOT NULL DEFAULT 0 CHECK (max_participants >= 0),
    recording_url    TEXT
) STRICT;
CREATE INDEX idx_voice_sessions_channel_id ON voice_sessions (channel_id, started_at);
CREATE UNIQUE INDEX idx_voice_sessions_open ON voice_sessions (channel_id) WHERE ended_at IS NULL;

CREATE TABLE voice_participants (
    session_id INTEGER NOT NULL REFERENCES voice_sessions (id) ON DELETE CASCADE,
    user_id    INTEGER NOT NULL CHECK (user_id > 0),
    joined_at  INTEGER NOT NULL,
    left_at    INTEGER CHECK (left_at >= joined_at),
    PRIMARY KEY (session_id, user_id, joined_at)
) STRICT, WITHOUT ROWID;

CREATE TABLE webhooks (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id INTEGER REFERENCES channels (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    direction  TEXT    NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    token_hash BLOB    CHECK (length(token_hash) = 32),
    url        TEXT,
    last_seq   INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    created_by INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK (direction = 'outgoing' OR (token_hash IS NOT NULL AND channel_id IS NOT NULL)),
    CHECK (direction = 'incoming' OR url IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX idx_webhooks_token_hash ON webhooks (token_hash) WHERE token_hash IS NOT NULL;

-- The archive's manifest: which object holds which stretch of a channel's history.
CREATE TABLE segments (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id    INTEGER NOT NULL,
    object_key    TEXT    NOT NULL,
    sha256        TEXT    NOT NULL CHECK (length(sha256) = 64),
    first_id      INTEGER NOT NULL,
    last_id       INTEGER NOT NULL CHECK (last_id >= first_id),
    first_at      INTEGER NOT NULL,
    last_at       INTEGER NOT NULL CHECK (last_at >= first_at),
    message_count INTEGER NOT NULL CHECK (message_count > 0),
    bytes         INTEGER NOT NULL CHECK (bytes > 0),
    state         TEXT    NOT NULL CHECK (state IN ('active', 'replaced')),
    created_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_segments_channel_id ON segments (channel_id, last_id) WHERE state = 'active';
