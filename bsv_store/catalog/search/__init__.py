"""Searches over the catalog: by source, target, coordinate, correlation and point; rankings and the matrix."""
