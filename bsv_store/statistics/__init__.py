"""Tests of two groups of animals, by feature (such as structures) and by voxel, with permutations.

They take arrays and know nothing of the store. p values of t and clusters require the extra ``stats`` (SciPy).
"""

from __future__ import annotations

from bsv_store.statistics.corrections import benjamini_hochberg
from bsv_store.statistics.features import TwoGroupTest, compare_features
from bsv_store.statistics.voxels import VoxelTest, compare_voxels

__all__ = ["TwoGroupTest", "VoxelTest", "benjamini_hochberg", "compare_features", "compare_voxels"]
