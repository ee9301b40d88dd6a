"""The bytes: grids, the encoding of volumes in HDF5, and files that are published whole or not at all."""
