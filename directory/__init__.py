"""Everything true across rooms: people, sessions, the registry of rooms, invites and the audit log."""
