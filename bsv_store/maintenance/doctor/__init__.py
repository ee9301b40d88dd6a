"""Checks of the environment of a store, by area. Each is tried for real, and each problem has a remedy."""
