"""Sources of data: the Allen API, and the cache folders of other programs."""
