"""Bringing data into the store: from the Allen API and from caches that labs already have."""
