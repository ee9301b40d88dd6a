"""The synthetic volumes in Allen's file formats: the zip with a MetaImage, and NRRD.

Volumes are computed at 100 um; at finer spacings their voxels are repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.server.allen.files import ZIP_MEMBERS, FileDtype, Voxels, ZipMember, nrrd_file, zip_file
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic.anatomy import GRID, INVENTED, repeated_planes
from bsv_store_synthetic.atlas import SyntheticAtlas

NRRD_SPACINGS_UM = (25, 50, 100)


def repeated(identity: str, spacing_um: int, array: Callable[[], NDArray[Any]]) -> Voxels:
    """The voxels of a 100 um array, shape (132, 80, 114), axes [ap, dv, ml], repeated at finer spacings."""
    return Voxels(
        identity, spacing_um, lambda: repeated_planes(np.moveaxis(array(), 2, 0), GRID.spacing_um // spacing_um)
    )


def intensity(atlas: SyntheticAtlas, experiment_id: int) -> NDArray[np.float32]:
    """float32 array, shape (132, 80, 114), axes [ap, dv, ml]: projection intensity, 0 without signal."""
    energy = atlas.volume(experiment_id, "projection_energy")
    density = atlas.volume(experiment_id, "projection_density")
    return np.divide(energy, density, out=np.zeros_like(energy), where=density > 0)


def grid_zip(atlas: SyntheticAtlas, experiment_id: int, members: tuple[ZipMember, ...] = ("density",)) -> bytes:
    """A zip with <member>.mhd and <member>.raw for each member: 100 um, little-endian float32, first axis fastest.

    Raises
    ------
    KeyError
        If the experiment is unknown.
    """
    arrays: dict[ZipMember, Callable[[], NDArray[np.float32]]] = {
        "density": lambda: atlas.volume(experiment_id, "projection_density"),
        "energy": lambda: atlas.volume(experiment_id, "projection_energy"),
        "intensity": lambda: intensity(atlas, experiment_id),
    }
    found = {name: repeated(name, 100, arrays[name]) for name in ZIP_MEMBERS if name in members}
    return b"".join(zip_file(found).pieces())


def grid_nrrd(atlas: SyntheticAtlas, experiment_id: int, kind: VolumeKind, spacing_um: int) -> bytes:
    """An NRRD file of one volume: float at 100 and 50 um, double at 25 um, like Allen's.

    Raises
    ------
    KeyError
        If the experiment or spacing is unknown.
    """
    if spacing_um not in NRRD_SPACINGS_UM:
        raise KeyError(spacing_um)
    return nrrd(atlas.volume(experiment_id, kind), spacing_um, dtype="f8" if spacing_um == 25 else "f4")


def annotation_nrrd(spacing_um: int) -> bytes:
    """An NRRD file of the invented annotation, unsigned int.

    Raises
    ------
    KeyError
        If the spacing is unknown.
    """
    voxels = INVENTED.annotation_voxels(spacing_um)
    if voxels is None:
        raise KeyError(spacing_um)
    return b"".join(nrrd_file(voxels, dtype="u4").pieces())


def template_nrrd(spacing_um: int) -> bytes:
    """An NRRD file of the invented average template, unsigned short.

    Raises
    ------
    KeyError
        If the spacing is unknown.
    """
    voxels = INVENTED.template_voxels(spacing_um)
    if voxels is None:
        raise KeyError(spacing_um)
    return b"".join(nrrd_file(voxels, dtype="u2").pieces())


def nrrd(array: NDArray[Any], spacing_um: int, *, dtype: FileDtype) -> bytes:
    """An NRRD file with a gzip body of a 100 um array, whose voxels are repeated for finer spacings.

    Parameters
    ----------
    array : ndarray, shape (132, 80, 114), axes [ap, dv, ml]
    spacing_um : int
        10, 25, 50 or 100.
    dtype : str
        Data type in the file, little-endian.
    """
    return b"".join(nrrd_file(repeated("", spacing_um, lambda: array), dtype=dtype).pieces())
