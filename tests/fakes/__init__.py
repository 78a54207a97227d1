"""Stand-ins for what unit tests must not need."""
