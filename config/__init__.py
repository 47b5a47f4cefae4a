"""Settings: the documented defaults (rookery.toml) and the frozen model that refuses what it does not know."""
