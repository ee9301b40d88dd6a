"""Comparisons of two groups of experiments: by voxel, as part of an average, and by structure."""
