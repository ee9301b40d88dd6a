"""Selections of experiments: criteria, their SQL, saved selections and the exclusion list."""
