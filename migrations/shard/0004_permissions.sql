-- Permissions of categories, which their channels copy, and the room's own record of what moderators did.

ALTER TABLE categories ADD COLUMN is_private INTEGER NOT NULL DEFAULT 0 CHECK (is_private IN (0, 1));

CREATE TABLE category_overwrites (
    category_id INTEGER NOT NULL REFERENCES categories (id) ON DELETE CASCADE,
    target_type TEXT    NOT NULL CHECK (target_type IN ('role', 'member')),
    target_id   INTEGER NOT NULL CHECK (target_id > 0),
    allow       INTEGER NOT NULL DEFAULT 0 CHECK (allow >= 0),
    deny        INTEGER NOT NULL DEFAULT 0 CHECK (deny >= 0),
    CHECK (allow & deny = 0),
    PRIMARY KEY (category_id, target_type, target_id)
) STRICT, WITHOUT ROWID;

-- A deleted channel is out of sight at once; what was said in it is removed in slices (shard/acts/shaping.py), because
-- taking 100,000 messages out of the search index at once would hold the room for two seconds.
ALTER TABLE channels ADD COLUMN deleted_at INTEGER;
DROP INDEX idx_channels_name;
CREATE UNIQUE INDEX idx_channels_name ON channels (name COLLATE NOCASE) WHERE deleted_at IS NULL;

-- What the door needs for a decision, packed beside the rows that it reads anyway: all roles of the room (id, permissions,
-- position), the roles of a member (id), the overwrites of a channel or category (is it a member's, id, allow, deny).
-- With 50 roles and 50 overwrites looking up each took 30 us, reading these takes 8. Only the triggers below write them.
ALTER TABLE room ADD COLUMN roles_packed TEXT NOT NULL DEFAULT '';
ALTER TABLE members ADD COLUMN roles_packed TEXT NOT NULL DEFAULT '';
ALTER TABLE channels ADD COLUMN overwrites_packed TEXT NOT NULL DEFAULT '';
ALTER TABLE categories ADD COLUMN overwrites_packed TEXT NOT NULL DEFAULT '';

UPDATE room SET roles_packed = coalesce(
    (SELECT group_concat(id || ',' || permissions || ',' || position ORDER BY id) FROM roles), '');
UPDATE members SET roles_packed = (
    SELECT group_concat(role_id ORDER BY role_id) FROM member_roles o WHERE o.user_id = members.user_id)
    WHERE user_id IN (SELECT user_id FROM member_roles);
UPDATE channels SET overwrites_packed = (
    SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                        ORDER BY target_type, target_id)
    FROM channel_overwrites o WHERE o.channel_id = channels.id)
    WHERE id IN (SELECT channel_id FROM channel_overwrites);

CREATE TRIGGER roles_insert AFTER INSERT ON roles BEGIN
    UPDATE room SET roles_packed = coalesce(
        (SELECT group_concat(id || ',' || permissions || ',' || position ORDER BY id) FROM roles), '');
END;

CREATE TRIGGER roles_update AFTER UPDATE OF permissions, position ON roles BEGIN
    UPDATE room SET roles_packed = coalesce(
        (SELECT group_concat(id || ',' || permissions || ',' || position ORDER BY id) FROM roles), '');
END;

CREATE TRIGGER roles_delete AFTER DELETE ON roles BEGIN
    UPDATE room SET roles_packed = coalesce(
        (SELECT group_concat(id || ',' || permissions || ',' || position ORDER BY id) FROM roles), '');
END;

CREATE TRIGGER member_roles_insert AFTER INSERT ON member_roles BEGIN
    UPDATE members SET roles_packed = coalesce(
        (SELECT group_concat(role_id ORDER BY role_id) FROM member_roles WHERE user_id = new.user_id), '')
        WHERE user_id = new.user_id;
END;

CREATE TRIGGER member_roles_delete AFTER DELETE ON member_roles BEGIN
    UPDATE members SET roles_packed = coalesce(
        (SELECT group_concat(role_id ORDER BY role_id) FROM member_roles WHERE user_id = old.user_id), '')
        WHERE user_id = old.user_id;
END;

CREATE TRIGGER channel_overwrites_insert AFTER INSERT ON channel_overwrites BEGIN
    UPDATE channels SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM channel_overwrites WHERE channel_id = new.channel_id), '')
        WHERE id = new.channel_id;
END;

CREATE TRIGGER channel_overwrites_update AFTER UPDATE ON channel_overwrites BEGIN
    UPDATE channels SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM channel_overwrites WHERE channel_id = new.channel_id), '')
        WHERE id = new.channel_id;
END;

CREATE TRIGGER channel_overwrites_delete AFTER DELETE ON channel_overwrites BEGIN
    UPDATE channels SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM channel_overwrites WHERE channel_id = old.channel_id), '')
        WHERE id = old.channel_id;
END;

CREATE TRIGGER category_overwrites_insert AFTER INSERT ON category_overwrites BEGIN
    UPDATE categories SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM category_overwrites WHERE category_id = new.category_id), '')
        WHERE id = new.category_id;
END;

CREATE TRIGGER category_overwrites_update AFTER UPDATE ON category_overwrites BEGIN
    UPDATE categories SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM category_overwrites WHERE category_id = new.category_id), '')
        WHERE id = new.category_id;
END;

CREATE TRIGGER category_overwrites_delete AFTER DELETE ON category_overwrites BEGIN
    UPDATE categories SET overwrites_packed = coalesce(
        (SELECT group_concat((target_type = 'member') || ',' || target_id || ',' || allow || ',' || deny
                             ORDER BY target_type, target_id)
         FROM category_overwrites WHERE category_id = old.category_id), '')
        WHERE id = old.category_id;
END;

-- Written in the transaction of the act it tells of, so neither is there without the other; it goes wherever its room
-- goes. Append-only and chained: hash = SHA-256(previous hash, row), so that a changed, missing or inserted row shows
-- (shard/audit.py). Actor NULL is the server or its operator. `before` and `after` have what changed, as JSON objects.
CREATE TABLE audit_log (
    id          INTEGER PRIMARY KEY CHECK (id > 0),
    actor_id    INTEGER,
    action      TEXT    NOT NULL CHECK (action GLOB '[a-z]*.[a-z]*' AND length(action) <= 64),
    target_type TEXT    CHECK (length(target_type) BETWEEN 1 AND 32),
    target_id   INTEGER,
    before      TEXT    CHECK (json_valid(before) AND json_type(before) = 'object'),
    after       TEXT    CHECK (json_valid(after) AND json_type(after) = 'object'),
    reason      TEXT    CHECK (length(reason) BETWEEN 1 AND 512),
    created_at  INTEGER NOT NULL,
    hash        BLOB    NOT NULL CHECK (length(hash) = 32),
    CHECK ((target_type IS NULL) = (target_id IS NULL))
) STRICT;
CREATE INDEX idx_audit_log_actor_id ON audit_log (actor_id, id);
CREATE INDEX idx_audit_log_target_id ON audit_log (target_id, id);
CREATE INDEX idx_audit_log_action ON audit_log (action, id);

-- Also stops INSERT OR REPLACE, which deletes without firing a delete trigger.
CREATE TRIGGER audit_log_insert BEFORE INSERT ON audit_log
    WHEN new.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM audit_log)
BEGIN
    SELECT raise(ABORT, 'the audit log is append-only: rows are numbered without gaps');
END;

CREATE TRIGGER audit_log_update BEFORE UPDATE ON audit_log BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

CREATE TRIGGER audit_log_delete BEFORE DELETE ON audit_log BEGIN
    SELECT raise(ABORT, 'the audit log is append-only');
END;

-- Which other tables have rows of a message (bits, shard/rows.py): a page looks only where there is something.
ALTER TABLE messages ADD COLUMN extras INTEGER NOT NULL DEFAULT 0 CHECK (extras >= 0);

-- How many people reacted with what, kept beside the reactions: a page need not count ten thousand of them.
CREATE TABLE reaction_counts (
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    emoji      TEXT    NOT NULL CHECK (length(emoji) BETWEEN 1 AND 64),
    count      INTEGER NOT NULL CHECK (count > 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, emoji)
) STRICT, WITHOUT ROWID;
