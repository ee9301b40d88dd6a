"""Web pages for people who only want to look: search, experiments, datasets."""
