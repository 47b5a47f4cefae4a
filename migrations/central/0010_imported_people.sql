-- Whom a name in an imported history means, in each room: bound by id, since a name does not say who bears it here.
CREATE TABLE imported_people (
    room_id        INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    name           TEXT    NOT NULL CHECK (length(name) > 0),
    user_id        INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- 1 for an account that was made for the name, and that nobody can sign in to until somebody claims it.
    is_placeholder INTEGER NOT NULL CHECK (is_placeholder IN (0, 1)),
    PRIMARY KEY (room_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_imported_people_user_id ON imported_people (user_id);

-- Imports before this bound people by username. Those of them whom nobody can sign in as keep their messages when the same
-- history is imported again.
INSERT OR IGNORE INTO imported_people (room_id, name, user_id, is_placeholder)
SELECT m.room_id, coalesce(u.display_name, u.username), u.id, 1
FROM room_members m
JOIN rooms r ON r.id = m.room_id
JOIN users u ON u.id = m.user_id
WHERE r.kind = 'community' AND u.id <> r.owner_id AND u.is_anonymous = 0 AND u.is_bot = 0 AND u.status = 'active'
    AND u.last_login_at IS NULL AND NOT EXISTS (SELECT 1 FROM credentials c WHERE c.user_id = u.id);
