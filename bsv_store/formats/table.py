"""The file formats to which images are exported: one row for each, with a writer that is imported when it is used.

To add a format, write a module with a function that writes an `Image`, and add a row here. Volumes, masks and the means
of dataset versions can then be exported to it, and help texts and error messages list it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from bsv_store.errors import InputError
from bsv_store.formats.output_file import atomic_output

if TYPE_CHECKING:
    from bsv_store.formats.image import Image

ContentT = TypeVar("ContentT")
ExportOption = Literal["like_allen", "group", "statistic"]


@dataclass(frozen=True, slots=True)
class FileFormat(Generic[ContentT]):
    """A file format to export to.

    Attributes
    ----------
    ending : str
        Of the file name, lower case, with the dot.
    words : str
        For help texts.
    write : callable
        Writes the content to a path that does not exist yet.
    marker : str, optional
        For a format that is a folder: a file that every such folder contains. Only folders with it are overwritten.
    options : frozenset of ExportOption
        Supported export options: "like_allen" (the directions of Allen's files), "group" and "statistic" (a single
        group of a dataset version, and another array than its mean).
    """

    ending: str
    words: str
    write: Callable[[ContentT, Path], None]
    marker: str | None = None
    options: frozenset[ExportOption] = frozenset()


def _write_nrrd(image: Image, path: Path) -> None:
    from bsv_store.formats.nrrd import write_nrrd

    write_nrrd(image, path)


def _write_nifti(image: Image, path: Path) -> None:
    from bsv_store.formats.nifti import write_nifti

    write_nifti(image, path, compress=False)


def _write_compressed_nifti(image: Image, path: Path) -> None:
    from bsv_store.formats.nifti import write_nifti

    write_nifti(image, path, compress=True)


def _write_npy(image: Image, path: Path) -> None:
    from bsv_store.formats.npy import write_npy

    write_npy(image, path)


def _write_ome_zarr(image: Image, path: Path) -> None:
    from bsv_store.formats.ome_zarr import write_ome_zarr

    write_ome_zarr(image, path)


IMAGE_FORMATS: tuple[FileFormat[Image], ...] = (
    FileFormat(".nrrd", "NRRD, directions in mm", _write_nrrd, options=frozenset({"like_allen"})),
    FileFormat(".nii", "NIfTI-1, affine in mm", _write_nifti),
    FileFormat(".nii.gz", "the same, compressed", _write_compressed_nifti),
    FileFormat(".npy", "NumPy array, last axes ap, dv, ml", _write_npy),
    FileFormat(".zarr", "OME-Zarr 0.5, a folder; needs bsv-store[zarr]", _write_ome_zarr, marker="zarr.json"),
)


def format_of(path: Path, formats: Sequence[FileFormat[ContentT]]) -> FileFormat[ContentT]:
    """The format that the ending of a file name stands for; case does not matter.

    Raises
    ------
    InputError
        If none of the formats has that ending; the hint lists the endings.
    """
    for each in formats:
        if path.name.lower().endswith(each.ending):
            return each
    endings = ", ".join(each.ending for each in formats)
    raise InputError(f"{path.name!r} does not have the ending of a known format", hint=f"Valid endings are {endings}.")


def checked_format(
    path: Path, formats: Sequence[FileFormat[ContentT]], *, options: Mapping[ExportOption, bool]
) -> FileFormat[ContentT]:
    """The format of a file name, which must support the options that are used.

    Raises
    ------
    InputError
        If none of the formats has that ending, or the format does not support an option that is used.
    """
    chosen = format_of(path, formats)
    for option, is_used in options.items():
        if is_used and option not in chosen.options:
            endings = ", ".join(each.ending for each in formats if option in each.options)
            raise InputError(
                f"{chosen.ending} files do not support the option {option}", hint=f"Endings that support it: {endings}."
            )
    return chosen


def write_file(
    content: ContentT, target: Path, formats: Sequence[FileFormat[ContentT]], *, overwrite: bool = False
) -> None:
    """Write content to a file or folder that appears complete or not at all; its ending selects the format.

    Raises
    ------
    InputError
        If no format has that ending, the parent folder does not exist, the target exists and may not be overwritten, or
        it cannot be written.
    NoSpaceError
        If the disk is full.
    """
    chosen = format_of(target, formats)
    with atomic_output(target, overwrite=overwrite, marker=chosen.marker) as temporary:
        chosen.write(content, temporary)
