-- Bots: users who act by tokens with scopes, for a person who answers for them.

CREATE TABLE bots (
    user_id    INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    owner_id   INTEGER NOT NULL REFERENCES users (id),
    -- Whether others than the owner may add it to rooms.
    is_public  INTEGER NOT NULL DEFAULT 0 CHECK (is_public IN (0, 1)),
    created_at INTEGER NOT NULL,
    CHECK (owner_id <> user_id)
) STRICT;
CREATE INDEX idx_bots_owner_id ON bots (owner_id, user_id);

-- A token is known by its SHA-256 only. Scopes are a JSON array of names (router/scopes.py).
CREATE TABLE bot_tokens (
    id           INTEGER PRIMARY KEY CHECK (id > 0),
    token_hash   BLOB    NOT NULL CHECK (length(token_hash) = 32),
    user_id      INTEGER NOT NULL REFERENCES bots (user_id) ON DELETE CASCADE,
    name         TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    scopes       TEXT    NOT NULL CHECK (json_valid(scopes) AND json_type(scopes) = 'array' AND scopes <> '[]'),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    expires_at   INTEGER CHECK (expires_at > created_at)
) STRICT;
CREATE UNIQUE INDEX idx_bot_tokens_token_hash ON bot_tokens (token_hash);
CREATE INDEX idx_bot_tokens_user_id ON bot_tokens (user_id, id);
CREATE INDEX idx_bot_tokens_expires_at ON bot_tokens (expires_at) WHERE expires_at IS NOT NULL;
