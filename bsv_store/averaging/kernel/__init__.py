"""Averages of volumes in one streaming pass: sums per group, then statistics. NumPy only."""
