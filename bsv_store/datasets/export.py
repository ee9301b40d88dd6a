"""A dataset version as a file for other programs; its ending says which.

``.nc``
    netCDF-4: the result file as it stands in the store, with labels, members and provenance.
``.nrrd``
    The mean. One group is a 3-D image [AP, DV, ML] with a header like Allen's own; several are one 4-D file whose last
    (slowest) axis is the list of groups, named in the header.
``.nii``, ``.nii.gz``
    The mean as NIfTI-1 with an affine in mm, see :mod:`bsv_store.datasets.nifti`; groups are the fourth dimension.
``.npz``
    NumPy arrays: every statistic, the axes in um, the groups, recipe and fingerprint.
``.csv``
    The members: one row for each experiment that was asked for, those left out included.
``.bib``, ``.txt``
    References and a draft of the citation.
``.bsv.zip``
    All of it in one file that another store can import, see :mod:`bsv_store.datasets.bundle`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.arguments import path as checked_path
from bsv_store.datasets.bundle import write_bundle
from bsv_store.datasets.citation import citation_of
from bsv_store.datasets.nifti import write_nifti
from bsv_store.datasets.result_file import checked_stream
from bsv_store.errors import InputError
from bsv_store.volumes.grid import AXES
from bsv_store.volumes.outside import written_whole

if TYPE_CHECKING:
    from bsv_store.datasets.stored import StoredVersion


def export_version(version: StoredVersion, target: Path | str, *, overwrite: bool = False) -> Path:
    """The path of the file that was written; its ending says the format.

    Parameters
    ----------
    version : StoredVersion
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


def _write_netcdf(version: StoredVersion, path: Path) -> None:
    with (
        checked_stream(
            version.path, size_bytes=version.size_bytes, file_sha256=version.file_sha256, what=version.ref
        ) as source,
        path.open("wb") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_nrrd(version: StoredVersion, path: Path) -> None:
    import nrrd

    spacing, several = version.grid.spacing_um, len(version.groups) > 1
    directions = np.full((4, 3), np.nan)
    directions[:3] = np.diag([spacing] * 3)
    header = {
        # As in Allen's files, where it is misleading: the axes run posterior, inferior, right. Files that are laid over
        # each other must agree in it, right or wrong.
        "space": "left-posterior-superior",
        "space origin": [0, 0, 0],
        "space directions": directions if several else directions[:3],
        "kinds": ["domain"] * 3 + ["list"] * several,
        "labels": ["AP", "DV", "ML", "group"][: 3 + several],
        # NRRD headers are ASCII.
        "content": f"mean {version.quantity}".replace("³", "^3").replace("µ", "u"),
        "groups": "; ".join(f"{group.number}: {group.label} (n={group.n})" for group in version.groups),
        "dataset": version.ref,
        "fingerprint": version.fingerprint,
    }
    array = np.moveaxis(version.mean, 0, -1) if several else version.mean[0]
    nrrd.write(str(path), array, header, index_order="F", compression_level=1)


def _write_numpy(version: StoredVersion, path: Path) -> None:
    groups = version.groups
    facts: dict[str, Any] = {name: version.statistic(name) for name in version.recipe.statistics}
    facts |= {f"{axis.lower()}_um": version.grid.centers_um(axis) for axis in AXES}
    facts["group_label"] = np.array([group.label for group in groups])
    facts["group_n"] = np.array([group.n for group in groups])
    facts |= {f"{name}_um": values for name, values in version.group_ranges().items()}
    facts |= {
        "dataset": np.array(version.ref),
        "recipe": np.array(version.recipe.to_json()),
        "fingerprint": np.array(version.fingerprint),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **facts)


def _write_nifti(version: StoredVersion, path: Path, *, compress: bool) -> None:
    write_nifti(path, version.mean, version.grid, description=f"{version.ref} mean", compress=compress)


def _write_members(version: StoredVersion, path: Path) -> None:
    frame = version.members
    frame.insert(0, "dataset", version.ref)
    frame.to_csv(path, index=False)


def _write_references(version: StoredVersion, path: Path) -> None:
    path.write_text(citation_of(version).bibtex, encoding="utf-8")


def _write_citation(version: StoredVersion, path: Path) -> None:
    path.write_text(str(citation_of(version)), encoding="utf-8")


_WRITERS: dict[str, Callable[[StoredVersion, Path], None]] = {
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
