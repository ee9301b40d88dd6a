"""Read an HDF5 file of unknown origin in a separate process first.

The HDF5 library crashes the process on some damaged files. The author of such a file can also make its hashes fit.
Files of the store have a hash in the catalog, which is compared before they are opened, so that only the results in
bundles need this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

TIMEOUT_S: Final = 3_600.0
"""Maximum time for reading a file; the result of a version at 10 um takes minutes."""

_MAX_DATASETS = 100
_MAX_TEXTS = 1_000_000
_CODE = "from bsv_store.volumes.hdf5_probe import main; main()"


def try_to_read(file: Path) -> None:
    """Read all datasets of a file in another process, to see whether that crashes it.

    Other errors are not reported, because this process will get them, too.

    Raises
    ------
    ValueError
        If the process crashes, or does not end in time.
    """
    try:
        code = read_in_process(file)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"it could not be read within {TIMEOUT_S:.0f} s") from error
    # On Windows, the code of a crash is the status of the exception, above 0xC0000000.
    if code < 0 or code > 255:
        raise ValueError("it crashes the HDF5 library")


def read_in_process(file: Path) -> int:
    """The exit code of a process that reads all datasets of a file, negative if a signal ended it.

    Raises
    ------
    subprocess.TimeoutExpired
        If it does not end in time.
    """
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    # -P: no module is imported from the current folder.
    return subprocess.run(
        [sys.executable, "-P", "-c", _CODE, os.fspath(file)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    ).returncode


def main() -> None:
    """Read the file that the first argument names."""
    read_all(Path(sys.argv[1]))


def read_all(path: Path) -> None:
    """Read all datasets of a file, in a process that may crash."""
    if os.name == "posix":
        import resource

        # A crash is expected: no core file.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    from bsv_store.volumes.hdf5 import opened_hdf5

    with path.open("rb") as stream, opened_hdf5(stream, what="it") as file:
        for name in list(file.attrs)[:_MAX_DATASETS]:
            file.attrs.get_id(name)
        if len(file) > _MAX_DATASETS:
            return
        for name in file:
            _read(file[name], name)


def _read(dataset: Any, name: str) -> None:
    import h5py

    from bsv_store.volumes.hdf5_limits import check_storage

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        return
    check_storage(dataset, name)
    if dataset.chunks is not None:
        # Only the chunks in the file: a false shape may have billions of others.
        offsets: list[tuple[int, ...]] = []
        dataset.id.chunk_iter(lambda chunk: offsets.append(chunk.chunk_offset))
        for offset in offsets:
            dataset[tuple(slice(first, first + size) for first, size in zip(offset, dataset.chunks, strict=True))]
    elif dataset.size <= _MAX_TEXTS:
        dataset[()]
