-- The prefixes under which this installation puts objects into buckets: the newest is its own, from the others it only
-- reads. `claim` is the number of the last object with which it claimed the prefix.
CREATE TABLE installations (
    number     INTEGER PRIMARY KEY CHECK (number > 0),
    prefix     TEXT    NOT NULL UNIQUE CHECK (length(prefix) <= 40 AND prefix NOT GLOB '*[^a-z0-9-]*'),
    claim      INTEGER NOT NULL DEFAULT 0 CHECK (claim >= 0),
    created_at INTEGER NOT NULL
) STRICT;
-- A directory of an earlier release put objects into its buckets without a prefix.
INSERT INTO installations (prefix, created_at) SELECT '', min(created_at) FROM rooms HAVING count(*) > 0;
