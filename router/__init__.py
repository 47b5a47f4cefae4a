"""Data plane: HTTP in front of the directory and the shards."""
