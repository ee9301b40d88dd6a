"""Fuzzing of every reader of outside bytes: ``make fuzz`` under atheris, and a share of it in `test_fuzzing.py`.

- `target.py`: what a target is, and the limits of an input: CPU time, memory, files.
- `mutate.py`: mutators that change what is inside a container: JSON trees, gzip streams, zip members, HDF5 datasets.
- `formats.py`, `stored.py`, `documents.py`, `remote.py`, `server.py`: the targets, by package.
- `targets.py`: the closed list of them.
- ``corpus/TARGET/``: small inputs that reach code which the seeds do not. Seeds are made by code when they are needed.
- ``found/TARGET/``: each input that once failed; `test_fuzzing.py` runs all of them.
"""
