"""One stored volume as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.outside import written_whole

if TYPE_CHECKING:
    from bsv_store.volumes.volume import VolumeKind

FORMATS = (".nrrd", ".npy")


def export_array(
    array: NDArray[np.float32], target: Path, *, kind: VolumeKind, what: str, overwrite: bool = False
) -> None:
    """Write a volume to a file that appears whole, or not at all.

    Parameters
    ----------
    array : ndarray of float32, shape (ap, dv, ml)
        NaN = no data; NRRD files get Allen's mark for it, -1.
    target : pathlib.Path
        ``.nrrd`` (header like Allen's; first axis fastest) or ``.npy`` (C order, axes ap, dv, ml).
    kind : VolumeKind
    what : str
        Describes the content in the file's header.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    InputError
        If the ending is neither, the folder does not exist, or the file does.
    NoSpaceError
        If the disk is full.
    """
    from bsv_store.sources.formats.nrrd_writer import write_nrrd
    from bsv_store.volumes.checks import NO_DATA

    if target.suffix not in FORMATS:
        raise InputError(f"{target} ends in {target.suffix!r}", hint=f"Volumes are exported to {' or '.join(FORMATS)}.")
    with written_whole(target, overwrite=overwrite) as temporary:
        if target.suffix == ".npy":
            np.save(temporary, array)
        else:
            write_nrrd(temporary, array, Grid.from_shape(array.shape), content=f"{kind} {what}", no_data=NO_DATA)
