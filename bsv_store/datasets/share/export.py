"""Export of a dataset version to a file for other programs; the ending of the file name selects the format."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.check import path as checked_path
from bsv_store.formats.table import IMAGE_FORMATS, FileFormat, write_file

if TYPE_CHECKING:
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.formats.image import Image


def export_version(version: VersionSource, target: Path | str, *, overwrite: bool = False) -> Path:
    """Write a version to a file; see `VERSION_FORMATS` for the endings.

    At 25 and 10 um the result is never in memory as a whole. NRRD and NIfTI take some 400 MB: they store the axes in
    reverse order, so each group is read twice at 25 um and 19 times at 10 um. The other formats take less.

    Parameters
    ----------
    version : VersionSource
    target : path
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        Of the file.

    Raises
    ------
    InputError
        If the ending is unknown, the parent folder does not exist, or the file exists and may not be overwritten.
    DamagedFileError
        If the result file in the store differs from what was published.
    NoSpaceError, StoreError
        If the file cannot be written; an existing one is left as it was.
    """
    path = checked_path("target", target)
    write_file(version, path, VERSION_FORMATS, overwrite=overwrite)
    return path


def _write_netcdf(version: VersionSource, path: Path) -> None:
    from bsv_store.datasets.result.file import checked_stream

    with (
        checked_stream(
            version.path, size_bytes=version.size_bytes, file_sha256=version.file_sha256, what=version.ref
        ) as source,
        path.open("wb") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_npz(version: VersionSource, path: Path) -> None:
    from bsv_store.datasets.share.npz import write_npz

    write_npz(version, path)


def _write_members(version: VersionSource, path: Path) -> None:
    frame = version.members
    frame.insert(0, "dataset", version.ref)
    frame.to_csv(path, index=False)


def _write_references(version: VersionSource, path: Path) -> None:
    from bsv_store.datasets.share.citation import citation_of

    path.write_text(citation_of(version).bibtex, encoding="utf-8")


def _write_citation(version: VersionSource, path: Path) -> None:
    from bsv_store.datasets.share.citation import citation_of

    path.write_text(str(citation_of(version)), encoding="utf-8")


def _write_bundle(version: VersionSource, path: Path) -> None:
    from bsv_store.datasets.share.bundle import write_bundle

    write_bundle(version, path)


def _mean_as(image_format: FileFormat[Image]) -> FileFormat[VersionSource]:
    """The format that holds the mean of a version as an image."""

    def write(version: VersionSource, path: Path) -> None:
        from bsv_store.datasets.share.image import mean_image

        with mean_image(version) as image:
            image_format.write(image, path)

    return FileFormat(image_format.ending, f"the mean: {image_format.words}", write, image_format.marker)


VERSION_FORMATS: tuple[FileFormat[VersionSource], ...] = (
    FileFormat(".nc", "netCDF-4, the result file of the store", _write_netcdf),
    *map(_mean_as, IMAGE_FORMATS),
    FileFormat(".npz", "NumPy arrays: every statistic, axes, groups, recipe", _write_npz),
    FileFormat(".csv", "the members, including those left out", _write_members),
    FileFormat(".bib", "references", _write_references),
    FileFormat(".txt", "draft of the citation", _write_citation),
    FileFormat(".bsv.zip", "everything, for import into another store", _write_bundle),
)
