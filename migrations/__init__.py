"""Schema migrations: one engine for the directory and for every shard, and the numbered files of both."""
