"""Export of a dataset version to a file for other programs; the ending of the file name selects the format."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.check import path as checked_path
from bsv_store.datasets.arrays import checked_array, without_voxels
from bsv_store.datasets.groups import group_number
from bsv_store.errors import InputError
from bsv_store.formats.output_file import check_target
from bsv_store.formats.table import IMAGE_FORMATS, FileFormat, checked_format, format_of, write_file
from bsv_store.vocabulary import COMPARISON_MAPS

if TYPE_CHECKING:
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.formats.image import Image
    from bsv_store.formats.table import ExportOption
    from bsv_store.vocabulary import ComparisonMap, Statistic


@dataclass(frozen=True, slots=True)
class VersionExport:
    """A version to export, with options of image formats.

    Attributes
    ----------
    version : VersionSource
    statistic : Statistic or ComparisonMap
        What images show.
    group : int or None
        Number of the single group to write; None writes all groups.
    like_allen : bool
        See `Image`.
    """

    version: VersionSource
    statistic: Statistic | ComparisonMap = "mean"
    group: int | None = None
    like_allen: bool = False


def export_version(
    version: VersionSource,
    target: Path | str,
    *,
    statistic: Statistic | ComparisonMap = "mean",
    group: int | str | None = None,
    like_allen: bool = False,
    overwrite: bool = False,
) -> Path:
    """See `DatasetVersion.export`."""
    path = checked_path("path", target)
    if not version.recipe.has_voxels:
        return _export_table(
            version, path, statistic=statistic, group=group, like_allen=like_allen, overwrite=overwrite
        )
    chosen = checked_array(statistic, version.recipe, what=version.ref)
    used: dict[ExportOption, bool] = {
        "like_allen": like_allen,
        "group": group is not None,
        "statistic": chosen != "mean",
    }
    checked_format(path, VERSION_FORMATS, options=used)
    if chosen in COMPARISON_MAPS and group is not None:
        raise InputError(f"{chosen} has no groups, got group={group!r}", hint="Leave out group.")
    number = None if group is None else group_number(version.groups, group, what=version.ref)
    write_file(VersionExport(version, chosen, number, like_allen), path, VERSION_FORMATS, overwrite=overwrite)
    return path


def _export_table(
    version: VersionSource,
    path: Path,
    *,
    statistic: str,
    group: int | str | None,
    like_allen: bool,
    overwrite: bool,
) -> Path:
    """Export a comparison by structure, which no image format can hold."""
    chosen = format_of(path, VERSION_FORMATS)
    if "statistic" in chosen.options or statistic != "mean" or group is not None or like_allen:
        raise without_voxels(version.ref)
    write_file(VersionExport(version), path, VERSION_FORMATS, overwrite=overwrite)
    return path


def export_groups(
    version: VersionSource,
    target: Path | str,
    *,
    statistic: Statistic = "mean",
    like_allen: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """See `DatasetVersion.export_groups`."""
    path = checked_path("path", target)
    array = checked_array(statistic, version.recipe, what=version.ref)
    if array in COMPARISON_MAPS:
        raise InputError(f"{array} has no groups", hint="Export it as one file.")
    chosen = checked_format(path, VERSION_FORMATS, options={"like_allen": like_allen, "group": True})
    ending = len(chosen.ending)
    # Viewers recognize OME-Zarr by the complete ending `.ome.zarr`.
    if path.name[:-ending].lower().endswith(".ome"):
        ending += len(".ome")
    stem, suffix = path.name[:-ending], path.name[-ending:]
    width = len(str(len(version.groups) - 1))
    paths = [path.with_name(f"{stem}-group{each.number:0{width}}{suffix}") for each in version.groups]
    # All paths are checked before the first file is written.
    for each in paths:
        check_target(each, overwrite=overwrite, marker=chosen.marker)
    for group, each in zip(version.groups, paths, strict=True):
        write_file(VersionExport(version, array, group.number, like_allen), each, VERSION_FORMATS, overwrite=overwrite)
    return paths


def _write_netcdf(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.result.file import checked_stream

    version = export.version
    with (
        checked_stream(
            version.path, size_bytes=version.size_bytes, file_sha256=version.file_sha256, what=version.ref
        ) as source,
        path.open("wb") as copy,
    ):
        shutil.copyfileobj(source, copy, 1 << 20)


def _write_npz(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.share.npz import write_npz

    write_npz(export.version, path)


def _write_csv(export: VersionExport, path: Path) -> None:
    if export.version.recipe.has_voxels:
        _write_members(export, path)
    else:
        _write_structures(export, path)


def _write_structures(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.structure_table import structure_table

    frame = structure_table(export.version)
    frame.insert(0, "dataset", export.version.ref)
    frame.to_csv(path, index=False)


def _write_members(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.weights import members_with_weights

    frame = members_with_weights(export.version)
    frame.insert(0, "dataset", export.version.ref)
    frame.to_csv(path, index=False)


def _write_references(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.share.citation import citation_of

    path.write_text(citation_of(export.version).bibtex, encoding="utf-8")


def _write_ris(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.share.citation import citation_of

    path.write_text(citation_of(export.version).ris, encoding="utf-8", newline="")


def _write_citation(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.share.citation import citation_of

    path.write_text(str(citation_of(export.version)), encoding="utf-8")


def _write_bundle(export: VersionExport, path: Path) -> None:
    from bsv_store.datasets.share.bundle import write_bundle

    write_bundle(export.version, path)


def _image_as(image_format: FileFormat[Image]) -> FileFormat[VersionExport]:
    """The format that holds the mean of a version, or another of its arrays, as an image."""

    def write(export: VersionExport, path: Path) -> None:
        from bsv_store.datasets.share.image import version_image

        with version_image(
            export.version, statistic=export.statistic, group=export.group, like_allen=export.like_allen
        ) as image:
            image_format.write(image, path)

    own: frozenset[ExportOption] = frozenset({"group", "statistic"})
    words, options = f"the mean: {image_format.words}", image_format.options | own
    return FileFormat(image_format.ending, words, write, image_format.marker, options)


VERSION_FORMATS: tuple[FileFormat[VersionExport], ...] = (
    FileFormat(".nc", "netCDF-4, the result file of the store", _write_netcdf),
    *map(_image_as, IMAGE_FORMATS),
    FileFormat(".npz", "NumPy arrays: every statistic and map, axes, groups, recipe", _write_npz),
    FileFormat(".csv", "the members, including those left out; for a comparison by structure, its table", _write_csv),
    FileFormat(".bib", "references, BibTeX", _write_references),
    FileFormat(".ris", "references, RIS", _write_ris),
    FileFormat(".txt", "draft of the citation", _write_citation),
    FileFormat(".bsv.zip", "everything, for import into another store", _write_bundle),
)
