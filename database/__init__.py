"""The file engine of central stores: one writer, few readers, one snapshot for each use."""
