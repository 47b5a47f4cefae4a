-- What of a room's rows is damaged although the room goes on: rows that cannot be read, or a search index that does not
-- match. NULL while nothing of it is known. `problem` is for damage that closes the room.
ALTER TABLE shards ADD COLUMN damage TEXT CHECK (length(damage) BETWEEN 1 AND 1000);
