-- The nodes of the processes that make ids in rooms: each takes the next one of its kind, in turn.
CREATE TABLE nodes (
    kind      TEXT    PRIMARY KEY CHECK (kind IN ('server', 'command')),
    last_node INTEGER NOT NULL CHECK (last_node BETWEEN 0 AND 1023)
) STRICT, WITHOUT ROWID;
