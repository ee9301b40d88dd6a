"""Where data come from: the Allen API, files in its formats, other programs' caches, and made-up data to try out."""
