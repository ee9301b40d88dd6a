"""A version for others: exports, citations and bundles."""
