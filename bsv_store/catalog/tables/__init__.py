"""The catalog as tables: documented views, read-only SQL, data frames, status."""
