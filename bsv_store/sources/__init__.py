"""Where data come from: the Allen API, and the cache folders of other programs."""
