-- When the objects of a room were last looked for and read (0: never), and what of them is lost or damaged (NULL:
-- nothing).
ALTER TABLE shards ADD COLUMN scrubbed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shards ADD COLUMN lost TEXT CHECK (length(lost) BETWEEN 1 AND 1000);
CREATE INDEX idx_shards_scrubbed_at ON shards (scrubbed_at) WHERE ordinal = 0;
