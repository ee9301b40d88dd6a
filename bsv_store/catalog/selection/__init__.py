"""Selections of experiments: the query as a value, its SQL, saved selections and the exclusion list."""
