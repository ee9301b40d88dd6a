"""Comparing, tracing and rebuilding versions."""
