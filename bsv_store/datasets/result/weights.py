"""The weights of the experiments in a result file, read and checked without its voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.datasets.result.file import rebuild_hint
from bsv_store.documents import json_value
from bsv_store.errors import DamagedFileError
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles


def read_weights(files: StoreFiles, path: str, *, size_bytes: int, fingerprint: str, what: str) -> list[float]:
    """The weights in the order of the members, of a version whose recipe weights experiments.

    Only the recorded inputs are read, and checked by the fingerprint, not the voxels, which may have many GB.

    Parameters
    ----------
    files : StoreFiles
    path : str
        Of the result file, relative to the store.
    size_bytes : int
    fingerprint : str
    what : str
        Name of the version in messages.

    Raises
    ------
    DamagedFileError
        If the result file is missing, or its inputs differ from what was published.
    """
    try:
        text = files.read_undamaged(path, lambda: _inputs(files, path, size_bytes, fingerprint, what))
    except DamagedFileError as error:
        raise DamagedFileError(
            f"the weights of {what} are only in its file: {error.message}", hint=rebuild_hint(what)
        ) from error
    return [float(each) for each in json_value(text)["weights"]]


def _inputs(files: StoreFiles, path: str, size_bytes: int, fingerprint: str, what: str) -> str:
    # Its path would download it as a whole from a remote store.
    name = f"the file of {what}"
    with files.opened(path, size_bytes=size_bytes) as stream:
        try:
            with opened_hdf5(stream, what=name, arrays=["inputs"]) as file:
                text = read_inputs(file)
        except HDF5_ERRORS as error:
            raise DamagedFileError(f"{name} is damaged: {error}", hint=rebuild_hint(what)) from error
    if fingerprint_of(text) != fingerprint:
        raise DamagedFileError(f"the inputs in {name} have changed", hint=rebuild_hint(what))
    return text
