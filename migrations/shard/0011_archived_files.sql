-- Which segment the file of an archived message belongs to.
-- Segments of one channel may lie among each other: a file goes with its own, not with one that reaches over it.
ALTER TABLE archived_attachments ADD COLUMN segment_id INTEGER REFERENCES segments (id) ON DELETE CASCADE;
UPDATE archived_attachments SET segment_id = (
    SELECT s.id FROM segments s WHERE s.channel_id = archived_attachments.channel_id
    AND archived_attachments.message_id BETWEEN s.first_id AND s.last_id ORDER BY s.last_id DESC LIMIT 1);
CREATE INDEX idx_archived_attachments_segment_id ON archived_attachments (segment_id);
