"""Results: recipes, immutable versions, tags, and the files that hold them."""
