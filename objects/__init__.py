"""Object storage: immutable bytes under a key, on a local disk or in an S3-compatible store, behind one Protocol."""
