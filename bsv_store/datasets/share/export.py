"""A dataset version as a file for other programs; its ending says which.

``.nc``
    netCDF-4: the result file as it stands in the store, with labels, members and provenance.
``.nrrd``
    The mean. One group is a 3-D image [AP, DV, ML] with a header like Allen's own; several are one 4-D file whose last
    (slowest) axis is the list of groups, named in the header.
``.nii``, ``.nii.gz``
    The mean as NIfTI-1 with an affine in mm, see :mod:`bsv_store.formats.nifti`; groups are the fourth dimension.
``.npz``
    NumPy arrays: every statistic, the axes in um, the groups, recipe and fingerprint.
``.csv``
    The members: one row for each experiment that was asked for, those left out included.
``.bib``, ``.txt``
    References and a draft of the citation.
``.bsv.zip``
    All of it in one file that another store can import, see :mod:`bsv_store.datasets.share.bundle`.
"""

from __future__ import annotations

import math
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import path as checked_path
from bsv_store.datasets.result.file import checked_stream
from bsv_store.datasets.share.bundle import write_bundle
from bsv_store.datasets.share.citation import citation_of
from bsv_store.errors import InputError
from bsv_store.formats.nifti import write_nifti
from bsv_store.formats.output_file import written_whole
from bsv_store.volumes.grid import AXES
from bsv_store.volumes.layout import ml_blocks

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.share.source import VersionSource


_SLAB_BYTES = 1 << 24


def export_version(version: VersionSource, target: Path | str, *, overwrite: bool = False) -> Path:
    """The path of the file that was written; its ending says the format.

    At 25 and 10 um the result is never in memory as a whole: it takes some 400 MB for NRRD and NIfTI, whose voxels lie
    in another order, so that each group is read twice at 25 um and 19 times at 10 um; less for the others.

    Parameters
    ----------
    version : VersionSource
    target : path
        Ends in .nc, .nrrd, .nii, .nii.gz, .npz, .csv, .bib, .txt or .bsv.zip.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    InputError
        If the ending is none of these, the file exists, or its folder does not.
    DamagedFileError
        If the result file in the store is not what was published.
    NoSpaceError, StoreError
        If the file cannot be written; an existing one is left as it was.
    """
    path = checked_path("target", target)
    endings = [ending for ending in _WRITERS if path.name.lower().endswith(ending)]
    if not endings:
        raise InputError(
            f"cannot tell from {path.name!r} what to write", hint=f"The name ends in {', '.join(_WRITERS)}."
        )
    with written_whole(path, overwrite=overwrite) as temporary:
        _WRITERS[endings[0]](version, temporary)
    return path


def _write_netcdf(version: VersionSource, path: Path) -> None:
    with (
        checked_stream(
            version.path, size_bytes=version.size_bytes, file_sha256=version.file_sha256, what=version.ref
        ) as source,
        path.open("wb") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_nrrd(version: VersionSource, path: Path) -> None:
    from bsv_store.formats.nrrd_writer import write_nrrd_blocks

    several = len(version.groups) > 1
    facts = {
        "groups": "; ".join(f"{group.number}: {group.label} (n={group.n})" for group in version.groups),
        "dataset": version.ref,
        "fingerprint": version.fingerprint,
    }
    with version.open() as file:
        write_nrrd_blocks(
            path,
            _mean_blocks(version, file),
            version.grid,
            dtype=version.recipe.dtype,
            # NRRD headers are ASCII.
            content=f"mean {version.quantity}".replace("³", "^3").replace("µ", "u"),
            groups=len(version.groups) if several else None,
            labels=[*AXES, "group"] if several else AXES,
            facts=facts,
            level=1,
        )


def _mean_blocks(version: VersionSource, file: h5py.File) -> Iterator[NDArray[Any]]:
    """Blocks of ML planes of the mean, group after group."""
    for group in version.groups:
        yield from ml_blocks(partial(_slabs, file["mean"], group.number), version.grid, version.recipe.dtype)


def _slabs(dataset: h5py.Dataset, group: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """First AP plane and voxels of slab after slab of a group; no chunk is read for two of them."""
    step = dataset.chunks[1] * max(1, _SLAB_BYTES // (math.prod(dataset.chunks) * dataset.dtype.itemsize))
    for start in range(0, dataset.shape[1], step):
        yield start, dataset[group, start : start + step]


def _write_numpy(version: VersionSource, path: Path) -> None:
    groups = version.groups
    facts: dict[str, Any] = {f"{axis.lower()}_um": version.grid.centers_um(axis) for axis in AXES}
    facts["group_label"] = np.array([group.label for group in groups])
    facts["group_n"] = np.array([group.n for group in groups])
    facts |= {f"{name}_um": values for name, values in version.group_ranges().items()}
    facts |= {
        "dataset": np.array(version.ref),
        "recipe": np.array(version.recipe.to_json()),
        "fingerprint": np.array(version.fingerprint),
    }
    # As `np.savez_compressed` would write it, which needs all arrays in memory.
    with version.open() as result, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for statistic in version.recipe.statistics:
            with archive.open(f"{statistic}.npy", "w", force_zip64=True) as member:
                _write_array(member, result[statistic])
        for name, value in facts.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)


def _write_array(stream: IO[bytes], dataset: h5py.Dataset) -> None:
    header = {"descr": dataset.dtype.str, "fortran_order": False, "shape": dataset.shape}
    np.lib.format.write_array_header_1_0(stream, header)
    for group in range(dataset.shape[0]):
        for _, slab in _slabs(dataset, group):
            stream.write(slab.data)


def _write_nifti(version: VersionSource, path: Path, *, compress: bool) -> None:
    with version.open() as file:
        write_nifti(
            path,
            _mean_blocks(version, file),
            version.grid,
            dtype=version.recipe.dtype,
            groups=len(version.groups),
            description=f"{version.ref} mean",
            compress=compress,
        )


def _write_members(version: VersionSource, path: Path) -> None:
    frame = version.members
    frame.insert(0, "dataset", version.ref)
    frame.to_csv(path, index=False)


def _write_references(version: VersionSource, path: Path) -> None:
    path.write_text(citation_of(version).bibtex, encoding="utf-8")


def _write_citation(version: VersionSource, path: Path) -> None:
    path.write_text(str(citation_of(version)), encoding="utf-8")


_WRITERS: dict[str, Callable[[VersionSource, Path], None]] = {
    ".nc": _write_netcdf,
    ".nrrd": _write_nrrd,
    ".nii": partial(_write_nifti, compress=False),
    ".nii.gz": partial(_write_nifti, compress=True),
    ".npz": _write_numpy,
    ".csv": _write_members,
    ".bib": _write_references,
    ".txt": _write_citation,
    ".bsv.zip": write_bundle,
}
