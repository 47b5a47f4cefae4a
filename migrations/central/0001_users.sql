-- Who people are: the only home of personal data. Ids are snowflakes, times are milliseconds UTC.

-- The last number given out, over all tables: two processes may write here, and a number never comes back.
CREATE TABLE snowflakes (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    last_id INTEGER NOT NULL CHECK (last_id >= 0)
) STRICT;
INSERT INTO snowflakes (one, last_id) VALUES (1, 0);

CREATE TABLE users (
    id                INTEGER PRIMARY KEY CHECK (id > 0),
    username          TEXT    NOT NULL COLLATE NOCASE
                      CHECK (length(username) BETWEEN 3 AND 30 AND username NOT GLOB '*[^A-Za-z0-9_]*'),
    -- What the name looks like (directory/skeletons.py); NULL where an imported name looks like one that was there before.
    skeleton          TEXT,
    email             TEXT    COLLATE NOCASE CHECK (length(email) BETWEEN 3 AND 254 AND email LIKE '_%@_%'),
    email_verified_at INTEGER CHECK (email_verified_at IS NULL OR email IS NOT NULL),
    display_name      TEXT    CHECK (length(display_name) BETWEEN 1 AND 100),
    avatar_url        TEXT    CHECK (length(avatar_url) BETWEEN 1 AND 2048),
    bio               TEXT    CHECK (length(bio) <= 2000),
    is_anonymous      INTEGER NOT NULL DEFAULT 0 CHECK (is_anonymous IN (0, 1)),
    is_bot            INTEGER NOT NULL DEFAULT 0 CHECK (is_bot IN (0, 1)),
    locale            TEXT    NOT NULL DEFAULT 'en' CHECK (length(locale) BETWEEN 2 AND 35),
    timezone          TEXT    NOT NULL DEFAULT 'UTC' CHECK (length(timezone) BETWEEN 1 AND 64),
    age_layer         TEXT    CHECK (age_layer IN ('minor', 'transitional', 'adult')),
    status            TEXT    NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    last_login_at     INTEGER,
    deleted_at        INTEGER,
    CHECK ((status = 'deleted') = (deleted_at IS NOT NULL)),
    CHECK (is_anonymous = 0 OR is_bot = 0)
) STRICT;
CREATE UNIQUE INDEX idx_users_username ON users (username);
CREATE UNIQUE INDEX idx_users_skeleton ON users (skeleton) WHERE skeleton IS NOT NULL;
CREATE UNIQUE INDEX idx_users_email ON users (email) WHERE email IS NOT NULL;
CREATE INDEX idx_users_status ON users (status, id) WHERE status <> 'active';

CREATE TRIGGER users_identity BEFORE UPDATE OF id, created_at, is_bot ON users
    WHEN new.id IS NOT old.id OR new.created_at IS NOT old.created_at OR new.is_bot IS NOT old.is_bot
BEGIN
    SELECT raise(ABORT, 'the identity of a user never changes');
END;

-- Apart from users, so that no profile query can carry a hash.
CREATE TABLE credentials (
    user_id       INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    password_hash TEXT    NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    changed_at    INTEGER NOT NULL
) STRICT;

-- A token is known by its SHA-256 only: who reads this table cannot log in with it.
CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY CHECK (id > 0),
    token_hash   BLOB    NOT NULL CHECK (length(token_hash) = 32),
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL CHECK (expires_at > created_at),
    ip           TEXT    CHECK (length(ip) <= 45),
    user_agent   TEXT    CHECK (length(user_agent) <= 512)
) STRICT;
CREATE UNIQUE INDEX idx_sessions_token_hash ON sessions (token_hash);
CREATE INDEX idx_sessions_user_id ON sessions (user_id, id);
CREATE INDEX idx_sessions_expires_at ON sessions (expires_at);

CREATE TABLE verification_tokens (
    token_hash BLOB    PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose    TEXT    NOT NULL CHECK (purpose IN ('email_verification', 'password_reset', 'email_change')),
    -- The address that the token was sent to: what it proves, even if the account's address changes meanwhile.
    email      TEXT    NOT NULL COLLATE NOCASE CHECK (length(email) BETWEEN 3 AND 254),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_verification_tokens_user_id ON verification_tokens (user_id, purpose);
CREATE INDEX idx_verification_tokens_expires_at ON verification_tokens (expires_at);

-- Apart from users for export; a missing row means the defaults.
CREATE TABLE user_settings (
    user_id               INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    notifications_enabled INTEGER NOT NULL DEFAULT 1 CHECK (notifications_enabled IN (0, 1)),
    notification_sound    TEXT    NOT NULL DEFAULT 'default' CHECK (length(notification_sound) BETWEEN 1 AND 64),
    theme                 TEXT    NOT NULL DEFAULT 'auto' CHECK (length(theme) BETWEEN 1 AND 64),
    compact_mode          INTEGER NOT NULL DEFAULT 0 CHECK (compact_mode IN (0, 1)),
    developer_mode        INTEGER NOT NULL DEFAULT 0 CHECK (developer_mode IN (0, 1)),
    settings              TEXT    NOT NULL DEFAULT '{}'
                          CHECK (json_valid(settings) AND json_type(settings) = 'object' AND length(settings) <= 65536),
    updated_at            INTEGER NOT NULL
) STRICT;

-- Platform-wide capabilities. Granted by NULL is the operator at the command line.
CREATE TABLE permissions (
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    capability TEXT    NOT NULL CHECK (length(capability) BETWEEN 1 AND 100 AND capability NOT GLOB '*[^a-z_]*'),
    granted_by INTEGER,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, capability)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_permissions_capability ON permissions (capability, user_id);

CREATE TABLE global_bans (
    user_id    INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    reason     TEXT    NOT NULL CHECK (length(reason) BETWEEN 1 AND 512),
    banned_by  INTEGER,
    banned_at  INTEGER NOT NULL,
    expires_at INTEGER CHECK (expires_at > banned_at)
) STRICT;
