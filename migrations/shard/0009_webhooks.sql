-- Webhooks, in and out, as they are used. Nothing was written to this table before.

DROP TABLE webhooks;
CREATE TABLE webhooks (
    -- Of an incoming one also the user that its messages are by.
    id              INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id      INTEGER REFERENCES channels (id) ON DELETE CASCADE,
    name            TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    direction       TEXT    NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    -- A token is known by its SHA-256 only; what signs has to be kept as it is.
    token_hash      BLOB    CHECK (length(token_hash) = 32),
    secret          BLOB    CHECK (length(secret) = 32),
    url             TEXT    CHECK (length(url) BETWEEN 1 AND 2000),
    -- Types of events, their nouns, or '*', as a JSON array.
    events          TEXT    CHECK (json_valid(events) AND json_type(events) = 'array' AND events <> '[]'),
    -- Whoever answers for an outgoing one: it is told what this person sees.
    keeper_id       INTEGER CHECK (keeper_id > 0),
    -- The last event that its receiver has taken.
    last_seq        INTEGER NOT NULL DEFAULT 0 CHECK (last_seq >= 0),
    last_tried_at   INTEGER,
    last_status     INTEGER,
    last_error      TEXT    CHECK (length(last_error) BETWEEN 1 AND 100),
    failures        INTEGER NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since   INTEGER,
    next_try_at     INTEGER,
    disabled_at     INTEGER,
    disabled_reason TEXT    CHECK (length(disabled_reason) BETWEEN 1 AND 64),
    created_by      INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    CHECK ((direction = 'incoming') = (token_hash IS NOT NULL)),
    CHECK (direction = 'outgoing' OR channel_id IS NOT NULL),
    CHECK (direction = 'incoming' OR (secret IS NOT NULL AND url IS NOT NULL AND events IS NOT NULL AND keeper_id IS NOT NULL)),
    CHECK ((failures > 0) = (failing_since IS NOT NULL)),
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT;
