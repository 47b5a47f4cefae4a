-- The highest number that an archived message, or a deleted one behind which the archive closed, has of a millisecond
-- with more messages than the generations of `room.segments_made` leave room for: what is imported gets a higher one.
CREATE TABLE archived_crowds (
    begin_id INTEGER PRIMARY KEY,
    last_id  INTEGER NOT NULL CHECK (last_id >= begin_id)
) STRICT;
