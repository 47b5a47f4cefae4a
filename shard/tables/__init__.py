"""Rows of a shard, a module for each table: all SQL about it."""
