-- Words are cut and folded by the application (word_forms.py) in one version, which the room names; another one
-- at the next open empties the index. Messages up to unindexed_until are indexed in the background, newest first; of
-- them those are in the index that have a docsize row.
ALTER TABLE room ADD COLUMN folding TEXT NOT NULL DEFAULT '';
ALTER TABLE room ADD COLUMN unindexed_until INTEGER NOT NULL DEFAULT 0 CHECK (unindexed_until >= 0);

DROP TRIGGER messages_delete;
DROP TRIGGER messages_update;
DROP TABLE messages_fts;
DROP VIEW messages_search;

CREATE VIEW messages_search (id, words) AS
    SELECT id, coalesce(search_text, content) FROM messages
    WHERE is_deleted = 0 AND (id > coalesce((SELECT unindexed_until FROM room), 0)
        OR EXISTS (SELECT 1 FROM messages_fts_docsize d WHERE d.id = messages.id));

-- Beyond ASCII search_text has the words as they are to be found, with spaces between them.
CREATE VIRTUAL TABLE messages_fts USING fts5 (
    words,
    content = 'messages_search',
    content_rowid = 'id',
    tokenize = 'ascii'
);

CREATE TRIGGER messages_delete AFTER DELETE ON messages BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, words)
        SELECT 'delete', old.id, coalesce(old.search_text, old.content)
        WHERE EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = old.id);
END;

CREATE TRIGGER messages_update AFTER UPDATE OF content, search_text, is_deleted ON messages
    WHEN old.content <> new.content OR old.is_deleted <> new.is_deleted
        OR EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = old.id)
BEGIN
    INSERT INTO messages_fts (messages_fts, rowid, words)
        SELECT 'delete', old.id, coalesce(old.search_text, old.content)
        WHERE EXISTS (SELECT 1 FROM messages_fts_docsize WHERE id = old.id);
    INSERT INTO messages_fts (rowid, words)
        SELECT new.id, coalesce(new.search_text, new.content) WHERE new.is_deleted = 0;
END;

-- A segment whose words were folded otherwise is searched without its index and its filter, until it is built again.
ALTER TABLE segments ADD COLUMN folding TEXT NOT NULL DEFAULT '';
