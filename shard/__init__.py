"""One room: its file, its writer and readers, its rows, and the actions that people take in it."""
