"""Sharing of versions: exports, citations and bundles."""
