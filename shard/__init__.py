"""Everything true inside one room: its file, its writer and readers, and what may be done in it."""
