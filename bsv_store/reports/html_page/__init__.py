"""The report on a dataset version as an HTML page."""
