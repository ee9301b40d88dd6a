"""The synthetic volumes in Allen's file formats: the zip with a MetaImage, and NRRD.

Volumes are computed at 100 um; at finer spacings their voxels are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.server.allen.files import ZIP_MEMBERS, FileDtype, Voxels, ZipMember, nrrd_file, zip_file
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import anatomy
from bsv_store_synthetic.anatomy import GRID
from bsv_store_synthetic.atlas import SyntheticAtlas

NRRD_SPACINGS_UM = (25, 50, 100)
ANNOTATION_SPACINGS_UM = (10, 25, 50, 100)


def repeated(identity: str, spacing_um: int, array: Callable[[], NDArray[Any]]) -> Voxels:
    """The voxels of a 100 um array, shape (132, 80, 114), axes [ap, dv, ml], repeated at finer spacings."""
    return Voxels(identity, spacing_um, lambda: _repeated(np.moveaxis(array(), 2, 0), GRID.spacing_um // spacing_um))


def annotation(spacing_um: int) -> Voxels:
    """The annotation; at 10 um with the voxels of 50 um, repeated."""
    sampled = 50 if spacing_um == 10 else spacing_um
    return Voxels(
        f"synthetic annotation {spacing_um}",
        spacing_um,
        lambda: _repeated(anatomy.planes(sampled), sampled // spacing_um),
    )


def template(spacing_um: int) -> Voxels:
    """The average template; at 10 um with the voxels of 50 um, repeated."""
    sampled = 50 if spacing_um == 10 else spacing_um
    return Voxels(
        f"synthetic template {spacing_um}",
        spacing_um,
        lambda: _repeated(anatomy.template_planes(sampled), sampled // spacing_um),
        "u2",
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
    """An NRRD file of the annotation, unsigned int.

    Raises
    ------
    KeyError
        If the spacing is unknown.
    """
    if spacing_um not in ANNOTATION_SPACINGS_UM:
        raise KeyError(spacing_um)
    return b"".join(nrrd_file(annotation(spacing_um), dtype="u4").pieces())


def template_nrrd(spacing_um: int) -> bytes:
    """An NRRD file of the average template, unsigned short.

    Raises
    ------
    KeyError
        If the spacing is unknown.
    """
    if spacing_um not in ANNOTATION_SPACINGS_UM:
        raise KeyError(spacing_um)
    return b"".join(nrrd_file(template(spacing_um), dtype="u2").pieces())


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


def _repeated(planes: Iterator[NDArray[Any]] | NDArray[Any], repeat: int) -> Iterator[NDArray[Any]]:
    """Blocks of equal ML planes, from planes of shape (ap, dv)."""
    for plane in planes:
        fine = np.repeat(np.repeat(plane, repeat, 0), repeat, 1)
        yield np.broadcast_to(fine[..., np.newaxis], (*fine.shape, repeat))
