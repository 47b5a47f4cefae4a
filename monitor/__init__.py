"""The control plane: work on all shards. rookery/server/periodic.py runs it at intervals, rookery/commands/ by hand."""
