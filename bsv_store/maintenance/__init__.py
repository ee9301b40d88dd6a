"""Administration of a store: what it should contain, what its folder contains, and how differences are repaired."""
