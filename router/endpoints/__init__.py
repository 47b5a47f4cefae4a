"""What clients can do, a file for each part of their day."""
