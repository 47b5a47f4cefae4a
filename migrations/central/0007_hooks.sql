-- In which room a webhook is. The shard decides what it may; this finds the shard of a token, and says which rooms have
-- somebody outside to tell, so that a server that starts need not open all of them. A row may outlive its webhook.
CREATE TABLE hooks (
    id         INTEGER PRIMARY KEY CHECK (id > 0),
    room_id    INTEGER NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    direction  TEXT    NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX idx_hooks_outgoing ON hooks (room_id) WHERE direction = 'outgoing';
