-- Where the room tells who joined: a channel of its own choice, NULL for none.
ALTER TABLE room ADD COLUMN system_channel_id INTEGER REFERENCES channels (id) ON DELETE SET NULL;

UPDATE room SET system_channel_id =
    (SELECT id FROM channels WHERE type = 'text' AND is_archived = 0 ORDER BY position, id LIMIT 1);
