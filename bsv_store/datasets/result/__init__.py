"""Result files of versions: writing, reading and verifying netCDF-4."""
