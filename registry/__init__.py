"""The plant: its file, its definitions in PostgreSQL, and their publication to `registry.tags`."""
