-- Voice sessions as they are told and recorded. Nothing was written to these tables before.

ALTER TABLE voice_sessions DROP COLUMN rtk_session_id;
ALTER TABLE voice_sessions DROP COLUMN recording_url;
-- What the site's media server calls the session, and where its recording is.
ALTER TABLE voice_sessions ADD COLUMN external_session_id TEXT CHECK (length(external_session_id) BETWEEN 1 AND 255);
ALTER TABLE voice_sessions ADD COLUMN recording_url TEXT CHECK (length(recording_url) BETWEEN 1 AND 2000);

-- When a participant was last heard of: a join, or a join again. The index has only who is in now, at most 500 rows.
ALTER TABLE voice_participants ADD COLUMN renewed_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX idx_voice_participants_open ON voice_participants (user_id, renewed_at) WHERE left_at IS NULL;
