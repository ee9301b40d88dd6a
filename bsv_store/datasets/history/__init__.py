"""The history of versions: comparison, staleness, lineage, rebuilds and their checks."""
