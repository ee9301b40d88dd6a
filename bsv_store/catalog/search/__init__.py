"""Searches in the catalog: source, target, injection, correlation and point; rankings and the projection matrix."""
