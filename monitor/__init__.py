"""The control plane: walks over the fleet of shards."""
