-- What somebody had read, or had not, of a message that was moved into a thread, or out of one, whose marker says otherwise.
CREATE TABLE moved_reads (
    user_id    INTEGER NOT NULL CHECK (user_id > 0),
    message_id INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    is_read    INTEGER NOT NULL CHECK (is_read IN (0, 1)),
    PRIMARY KEY (user_id, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX idx_moved_reads_message_id ON moved_reads (message_id);
