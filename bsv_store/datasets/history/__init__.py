"""What became of a version: comparison, staleness, lineage, rebuilds and their checks."""
