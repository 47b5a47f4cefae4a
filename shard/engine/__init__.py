"""The file of a room: its connections, its queues, the pool of open files, and copies of it."""
