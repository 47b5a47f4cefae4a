-- A copy of the file begins another branch of the log: `branch_seq` is the first number of the present one. `file_identity`
-- names the file in which the log is continued; null until the next open, which takes the file as it finds it.
ALTER TABLE room ADD COLUMN branch_seq INTEGER NOT NULL DEFAULT 1 CHECK (branch_seq > 0);
ALTER TABLE room ADD COLUMN file_identity TEXT;
