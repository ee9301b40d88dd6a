"""Web pages for reading only: search, experiments, datasets."""
