"""One history of a room across its shard and its segments."""
