"""Voxel grids, volumes in memory and in HDF5 files, and the atomic publication of files."""
