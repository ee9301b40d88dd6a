"""Anatomy: the annotation, masks of structures, and signal by structure from voxels."""
