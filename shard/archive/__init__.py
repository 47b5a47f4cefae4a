"""Old messages outside the file: segments, their manifest, and the cuts, which move rows into them."""
