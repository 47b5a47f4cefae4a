-- What people say. The id is the position: it orders a channel, a thread and the whole room by time.
CREATE TABLE messages (
    id           INTEGER PRIMARY KEY CHECK (id > 0),
    channel_id   INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    thread_id    INTEGER REFERENCES threads (id) ON DELETE SET NULL,
    user_id      INTEGER NOT NULL CHECK (user_id > 0),
    content      TEXT    NOT NULL CHECK (length(content) <= 8000),
    content_type TEXT    NOT NULL DEFAULT 'text' CHECK (content_type IN ('text', 'image', 'audio', 'file', 'system')),
    metadata     TEXT    CHECK (json_valid(metadata)),
    reply_to_id  INTEGER,
    nonce        TEXT    CHECK (length(nonce) BETWEEN 1 AND 64),
    edit_count   INTEGER NOT NULL DEFAULT 0 CHECK (edit_count >= 0),
    is_pinned    INTEGER NOT NULL DEFAULT 0 CHECK (is_pinned IN (0, 1)),
    is_deleted   INTEGER NOT NULL DEFAULT 0 CHECK (is_deleted IN (0, 1)),
    created_at   INTEGER NOT NULL,
    edited_at    INTEGER,
    -- The words to index where they are not those of the content: scripts written without spaces, as bigrams.
    search_text  TEXT
) STRICT;
CREATE INDEX idx_messages_channel_id ON messages (channel_id, id);
CREATE INDEX idx_messages_thread_id ON messages (thread_id, id) WHERE thread_id IS NOT NULL;
CREATE INDEX idx_messages_user_id ON messages (user_id, id);
CREATE INDEX idx_messages_pinned ON messages (channel_id, id) WHERE is_pinned = 1;
-- The promise that a repeated send is one message.
CREATE UNIQUE INDEX idx_messages_user_id_nonce ON messages (user_id, nonce) WHERE nonce IS NOT NULL;

CREATE VIEW messages_search (id, words) AS
    SELECT id, coalesce(search_text, content) FROM messages WHERE is_deleted = 0;

-- Marks (M*) belong to words: without them Thai and Devanagari vowels would cut words apart.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    words,
    content = 'messages_search',
    content_rowid = 'id',
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'"
);

-- New messages are counted and indexed by the application, all of a transaction at its end: FTS5 writes out its index
-- at every savepoint, and an insert that fires a trigger is one. A message is indexed when its docsize row is there, so
-- a message that changes before it was indexed is neither taken out nor put in twice.
CREATE TRIGGER messages_delete AFTER DELETE ON messages BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, words)
        SELECT 'delete', old.id, coalesce(old.search_text, old.content)
        WHERE EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = old.id);
END;

CREATE TRIGGER messages_update AFTER UPDATE OF content, search_text, is_deleted ON messages BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, words)
        SELECT 'delete', old.id, coalesce(old.search_text, old.content)
        WHERE EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = old.id);
    INSERT INTO messages_fts (rowid, words)
        SELECT new.id, coalesce(new.search_text, new.content) WHERE new.is_deleted = 0;
END;

-- The bytes live in object storage; a row without a message is an upload that was not attached yet.
CREATE TABLE message_attachments (
    id          INTEGER PRIMARY KEY CHECK (id > 0),
    message_id  INTEGER REFERENCES messages (id) ON DELETE CASCADE,
    user_id     INTEGER NOT NULL CHECK (user_id > 0),
    filename    TEXT    NOT NULL CHECK (length(filename) BETWEEN 1 AND 255),
    size_bytes  INTEGER NOT NULL CHECK (size_bytes >= 0),
    mime_type   TEXT    NOT NULL CHECK (length(mime_type) BETWEEN 3 AND 127),
    sha256      TEXT    NOT NULL CHECK (length(sha256) = 64),
    object_key  TEXT    NOT NULL CHECK (length(object_key) > 0),
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'complete', 'attached')),
    width       INTEGER CHECK (width > 0),
    height      INTEGER CHECK (height > 0),
    duration_ms INTEGER CHECK (duration_ms >= 0),
    created_at  INTEGER NOT NULL,
    CHECK ((state = 'attached') = (message_id IS NOT NULL))
) STRICT;
CREATE INDEX idx_message_attachments_message_id ON message_attachments (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX idx_message_attachments_unattached ON message_attachments (created_at) WHERE state <> 'attached';

-- Who was called, decided when the message was sent. Target 0 of type 'everyone' is the whole room.
CREATE TABLE message_mentions (
    message_id  INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    target_type TEXT    NOT NULL CHECK (target_type IN ('user', 'role', 'everyone')),
    target_id   INTEGER NOT NULL CHECK ((target_type = 'everyone') = (target_id = 0)),
    PRIMARY KEY (message_id, target_type, target_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_message_mentions_target ON message_mentions (target_type, target_id, message_id);

CREATE TABLE reactions (
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    emoji      TEXT    NOT NULL CHECK (length(emoji) BETWEEN 1 AND 64),
    user_id    INTEGER NOT NULL CHECK (user_id > 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, emoji, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_reactions_user_id ON reactions (user_id, message_id);

-- How far someone has read; thread 0 is the channel itself. Unread counts are computed from it.
CREATE TABLE read_markers (
    user_id       INTEGER NOT NULL CHECK (user_id > 0),
    channel_id    INTEGER NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    thread_id     INTEGER NOT NULL DEFAULT 0 CHECK (thread_id >= 0),
    last_read_id  INTEGER NOT NULL CHECK (last_read_id >= 0),
    mention_count INTEGER NOT NULL DEFAULT 0 CHECK (mention_count >= 0),
    PRIMARY KEY (user_id, channel_id, thread_id)
) STRICT, WITHOUT ROWID;
