-- Files: where an upload belongs before a message has it, how much everyone stores here, and what is left to remove.
-- Nothing was written to message_attachments before.

ALTER TABLE message_attachments ADD COLUMN channel_id INTEGER CHECK (channel_id > 0);
-- The place among the files of its message.
ALTER TABLE message_attachments ADD COLUMN position INTEGER NOT NULL DEFAULT 0 CHECK (position >= 0);
CREATE INDEX idx_message_attachments_waiting ON message_attachments (user_id) WHERE state <> 'attached';

-- Files whose row is gone but whose bytes may still be stored: to be removed there, then here.
CREATE TABLE freed_files (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    user_id    INTEGER NOT NULL CHECK (user_id > 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
    object_key TEXT    NOT NULL CHECK (length(object_key) > 0)
) STRICT;

-- The bytes that each person has stored in this room, freed ones included: what quotas are counted from.
CREATE TABLE file_usage (
    user_id    INTEGER PRIMARY KEY CHECK (user_id > 0),
    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0)
) STRICT;

CREATE TRIGGER message_attachments_insert AFTER INSERT ON message_attachments BEGIN
    INSERT INTO file_usage (user_id, size_bytes) VALUES (new.user_id, new.size_bytes)
        ON CONFLICT (user_id) DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes;
END;

-- Whatever takes a row away, its message's deletion or its channel's, leaves what is to be removed.
CREATE TRIGGER message_attachments_delete AFTER DELETE ON message_attachments BEGIN
    INSERT INTO freed_files (id, user_id, size_bytes, object_key)
        VALUES (old.id, old.user_id, old.size_bytes, old.object_key);
END;

CREATE TRIGGER freed_files_delete AFTER DELETE ON freed_files BEGIN
    UPDATE file_usage SET size_bytes = size_bytes - old.size_bytes WHERE user_id = old.user_id;
    DELETE FROM file_usage WHERE user_id = old.user_id AND size_bytes = 0;
END;
