"""Recognize the cache folders of Brain Street View and AllenSDK, and list their files without reading them.

Brain Street View: ``<id>/density.raw`` and ``<id>/injectionSummary_all.json``. AllenSDK, in the layout of its default
manifest: ``experiments.json``, ``structures.json``, ``experiment_<id>/structure_unionizes.csv``,
``experiment_<id>/<kind>_<spacing>.nrrd``, ``average_template_<spacing>.nrrd``, and ``annotation_<spacing>.nrrd`` in the
folder of a reference space. Files that were compressed later (``.csv.gz``, ``.nrrd.gz``) are recognized too, and so is
``<id>/injectionSummary_all.mat`` in caches of Brain Street View for MATLAB.
The existence of a file says nothing about its content: AllenSDK downloads to the final name, so files can be
incomplete.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from bsv_store.errors import InputError, NotACacheError
from bsv_store.text import MAX_ID
from bsv_store.vocabulary import CACHE_LAYOUTS, SPACINGS_UM, VOLUME_KINDS, CacheLayout, VolumeKind

_BSV_DENSITY = "density.raw"
_BSV_HEADER = "density.mhd"
_BSV_SUMMARY, _BSV_MATLAB_SUMMARY = "injectionSummary_all.json", "injectionSummary_all.mat"
_SDK_MANIFEST, _SDK_EXPERIMENTS, _SDK_STRUCTURES = "manifest.json", "experiments.json", "structures.json"
_SDK_UNIONIZES = "structure_unionizes.csv"
_BSV_FILES = (_BSV_DENSITY, _BSV_SUMMARY, _BSV_MATLAB_SUMMARY)
_SDK_REFERENCE = "annotation"
# Folders below the cache's, such as those of annotation/ccf_2017/annotation_25.nrrd.
_MAX_DEPTH = 3

_SPACING = "|".join(map(str, SPACINGS_UM))
_ID = re.compile(r"[1-9][0-9]{0,18}")
_SDK_FOLDER = re.compile(r"experiment_(.+)")
_SDK_VOLUME = re.compile(rf"({'|'.join(VOLUME_KINDS)})_({_SPACING})\.nrrd(\.gz)?")
_SDK_YEAR = re.compile(r"ccf_(20\d\d)")
CCF_YEAR = 2017
"""Year of the CCFv3 annotation; annotations of other years have the same file names."""
_SDK_ANNOTATION = re.compile(rf"annotation_({_SPACING})\.nrrd(\.gz)?")
_SDK_TEMPLATE = re.compile(rf"average_template_({_SPACING})\.nrrd(\.gz)?")
_PACKED = ".gz"
_KNOWN_LEFTOVERS = {
    "temp.zip": "left over from an interrupted download of Brain Street View",
    _BSV_HEADER: "a header without its density.raw",
    _SDK_MANIFEST: "AllenSDK's own list of paths",
}


@dataclass(frozen=True, slots=True)
class CacheFile:
    """A file of an experiment in a cache.

    Attributes
    ----------
    path : Path
    experiment_id : int
        From the name of the folder.
    kind : VolumeKind or None
        None for unionize tables.
    spacing_um : int or None
        None for unionize tables.
    header : Path or None
        Path of the header of a density.raw; None for other files.
    """

    path: Path
    experiment_id: int
    kind: VolumeKind | None = None
    spacing_um: int | None = None
    header: Path | None = None


@dataclass(frozen=True, slots=True)
class CachedAtlasFile:
    """An annotation or template in a cache."""

    path: Path
    spacing_um: int


@dataclass(frozen=True, slots=True)
class CacheScan:
    """The content of a cache folder.

    Attributes
    ----------
    folder : Path
    layout : CacheLayout
    structures, experiments : Path or None
        The ontology and the experiment list; a cache of Brain Street View has neither.
    unionizes, volumes : tuple of CacheFile
        Sorted by experiment id, then by name.
    annotations, templates : tuple of CachedAtlasFile
        Sorted by spacing.
    ignored : tuple of (Path, str)
        Everything else, with the reason. For an ignored folder, only the folder itself.
    """

    folder: Path
    layout: CacheLayout
    structures: Path | None
    experiments: Path | None
    unionizes: tuple[CacheFile, ...]
    volumes: tuple[CacheFile, ...]
    annotations: tuple[CachedAtlasFile, ...]
    templates: tuple[CachedAtlasFile, ...]
    ignored: tuple[tuple[Path, str], ...]

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """The experiments that have files, ascending."""
        return tuple(sorted({file.experiment_id for file in (*self.unionizes, *self.volumes)}))


def scan_cache(folder: Path) -> CacheScan:
    """List the content of a cache folder by the names of its files.

    Parameters
    ----------
    folder : Path
        The folder that Brain Street View's ``save_location`` or AllenSDK's manifest names.

    Raises
    ------
    InputError
        If the folder cannot be read, or is not a known kind of cache.
    """
    try:
        entries = sorted(folder.iterdir())
        inside = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"the folder {folder} does not exist", hint="Check the path.") from error
        if isinstance(error, NotADirectoryError):
            hint = "Give the folder that contains the cache."
            raise InputError(f"{folder} is not a folder", hint=hint) from error
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the folder {folder} cannot be read: {reason}", hint="Check its permissions.") from error
    layout = _layout(folder, entries)
    found = _Found(folder, inside)
    for entry in entries:
        if layout == "bsv":
            found.add_bsv(entry)
        elif layout == "allensdk":
            found.add_allensdk(entry)
        else:
            assert_never(layout)
    return CacheScan(
        folder=folder,
        layout=layout,
        structures=found.structures,
        experiments=found.experiments,
        unionizes=tuple(sorted(found.unionizes, key=lambda file: (file.experiment_id, file.path))),
        volumes=tuple(sorted(found.volumes, key=lambda file: (file.experiment_id, file.path))),
        annotations=tuple(sorted(found.annotations, key=lambda file: (file.spacing_um, file.path))),
        templates=tuple(sorted(found.templates, key=lambda file: (file.spacing_um, file.path))),
        ignored=tuple(found.ignored),
    )


def _layout(folder: Path, entries: list[Path]) -> CacheLayout:
    layout = _recognized(entries)
    if layout is not None:
        return layout
    near = _near_cache(folder, entries)
    known = " or ".join(row.words for row in CACHE_LAYOUTS.values())
    raise NotACacheError(
        f"{folder} is not a cache of {known}",
        hint=f"Did you mean {near}?"
        if near is not None
        else (
            f"A cache contains folders <experiment id> with {_BSV_DENSITY} or {_BSV_SUMMARY} (Brain Street View), or "
            f"{_SDK_EXPERIMENTS}, {_SDK_STRUCTURES} or folders experiment_<id> (AllenSDK)."
        ),
    )


def _recognized(entries: list[Path]) -> CacheLayout | None:
    names = {entry.name for entry in entries}
    # AllenSDK's cache of a reference space may contain only annotations or templates.
    if _SDK_MANIFEST in names and (_SDK_REFERENCE in names or any(map(_SDK_TEMPLATE.fullmatch, names))):
        return "allensdk"
    if names & {_SDK_EXPERIMENTS, _SDK_STRUCTURES} or any(
        (match := _SDK_FOLDER.fullmatch(name)) and _ID.fullmatch(match[1]) for name in names
    ):
        return "allensdk"
    for entry in entries:
        if _ID.fullmatch(entry.name) and any((entry / name).exists() for name in _BSV_FILES):
            return "bsv"
    return None


def _near_cache(folder: Path, entries: list[Path]) -> Path | None:
    """A cache directly above or below the folder, to suggest in an error message."""
    for candidate in (folder.absolute().parent, *entries):
        with contextlib.suppress(OSError):
            if candidate.is_dir() and _recognized(sorted(candidate.iterdir())) is not None:
                return candidate
    return None


@dataclass(slots=True)
class _Found:
    """Collects the files of a cache; links must not lead out of ``inside``, the folder's real path."""

    folder: Path
    inside: Path
    structures: Path | None = None
    experiments: Path | None = None
    unionizes: list[CacheFile] = field(default_factory=list)
    volumes: list[CacheFile] = field(default_factory=list)
    annotations: list[CachedAtlasFile] = field(default_factory=list)
    templates: list[CachedAtlasFile] = field(default_factory=list)
    ignored: list[tuple[Path, str]] = field(default_factory=list)

    def add_bsv(self, entry: Path) -> None:
        """Add an entry of a cache folder of Brain Street View."""
        if not self._is_usable(entry, want_folder=True):
            return
        experiment_id = _experiment_id(entry.name)
        if experiment_id is None:
            self._ignore(entry, "its name is not an experiment id")
            return
        files = {path.name: path for path in self._files(entry)}
        for name, path in files.items():
            if name == _BSV_SUMMARY:
                self.unionizes.append(CacheFile(path, experiment_id))
            elif name == _BSV_MATLAB_SUMMARY and _BSV_SUMMARY in files:
                self._ignore(path, f"{_BSV_SUMMARY} beside it is used")
            elif name == _BSV_MATLAB_SUMMARY:
                self.unionizes.append(CacheFile(path, experiment_id))
            elif name == _BSV_DENSITY:
                self.volumes.append(
                    CacheFile(path, experiment_id, "projection_density", 100, header=files.get(_BSV_HEADER))
                )
            elif name != _BSV_HEADER or _BSV_DENSITY not in files:
                self._ignore(path, _KNOWN_LEFTOVERS.get(name, "unknown file"))

    def add_allensdk(self, entry: Path) -> None:
        """Add an entry of a cache folder of AllenSDK."""
        if entry.is_dir():
            if match := _SDK_FOLDER.fullmatch(entry.name):
                self._add_allensdk_experiment(entry, match[1])
            elif self._is_usable(entry, want_folder=True):
                self._add_atlas_files_below(entry, depth=1)
            return
        if not self._is_usable(entry, want_folder=False):
            return
        if entry.name == _SDK_STRUCTURES:
            self.structures = entry
        elif entry.name == _SDK_EXPERIMENTS:
            self.experiments = entry
        elif match := _SDK_ANNOTATION.fullmatch(entry.name):
            self.annotations.append(CachedAtlasFile(entry, int(match[1])))
        elif match := _SDK_TEMPLATE.fullmatch(entry.name):
            self.templates.append(CachedAtlasFile(entry, int(match[1])))
        else:
            self._ignore(entry, _KNOWN_LEFTOVERS.get(entry.name, "unknown file"))

    def _add_allensdk_experiment(self, folder: Path, name: str) -> None:
        experiment_id = _experiment_id(name)
        if experiment_id is None:
            self._ignore(folder, "its name does not contain an experiment id")
            return
        if not self._is_usable(folder, want_folder=True):
            return
        files = {path.name: path for path in self._files(folder)}
        for name, path in files.items():
            if name.removesuffix(_PACKED) != name and name.removesuffix(_PACKED) in files:
                self._ignore(path, f"{name.removesuffix(_PACKED)} beside it is used")
            elif name.removesuffix(_PACKED) == _SDK_UNIONIZES:
                self.unionizes.append(CacheFile(path, experiment_id))
            elif match := _SDK_VOLUME.fullmatch(name):
                self.volumes.append(CacheFile(path, experiment_id, VOLUME_KINDS[match[1]].name, int(match[2])))
            else:
                self._ignore(path, "unknown file")

    def _add_atlas_files_below(self, folder: Path, *, depth: int) -> None:
        """Add annotations and templates in a folder that is not of an experiment. A folder without any is ignored."""
        before = len(self.annotations) + len(self.templates)
        others: list[tuple[Path, str]] = []
        for path in self._listed(folder):
            if path.is_dir():
                if path.is_symlink():
                    self._ignore(path, "a link to a folder")
                elif depth == _MAX_DEPTH:
                    self._ignore(path, "nested too deep for an annotation or template")
                else:
                    self._add_atlas_files_below(path, depth=depth + 1)
            elif match := _SDK_ANNOTATION.fullmatch(path.name):
                if (year := annotation_year(path)) not in (None, CCF_YEAR):
                    self._ignore(path, f"the annotation of {year}; that of the CCFv3 is of {CCF_YEAR}")
                elif self._is_usable(path, want_folder=False):
                    self.annotations.append(CachedAtlasFile(path, int(match[1])))
            elif match := _SDK_TEMPLATE.fullmatch(path.name):
                if self._is_usable(path, want_folder=False):
                    self.templates.append(CachedAtlasFile(path, int(match[1])))
            else:
                others.append((path, "unknown file"))
        if len(self.annotations) + len(self.templates) > before:
            self.ignored.extend(others)
        elif others:
            self._ignore(folder, "contains no file that the store can adopt")

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in self._listed(folder):
            if self._is_usable(path, want_folder=False):
                yield path

    def _listed(self, folder: Path) -> list[Path]:
        try:
            return sorted(folder.iterdir())
        except OSError as error:
            self._ignore(folder, f"cannot be read: {error.strerror}")
            return []

    def _is_usable(self, path: Path, *, want_folder: bool) -> bool:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            self._ignore(path, "a broken link")
            return False
        if not real.is_relative_to(self.inside):
            self._ignore(path, "a link out of the folder")
        elif real.relative_to(self.inside).parts[:1] != path.relative_to(self.folder).parts[:1]:
            # The file does not contain its experiment id: a link must not assign it to another experiment.
            self._ignore(path, "a link to another part of the folder")
        elif want_folder and not real.is_dir():
            self._ignore(path, "not a folder")
        elif not want_folder and not real.is_file():
            self._ignore(path, "not a regular file")
        else:
            return True
        return False

    def _ignore(self, path: Path, why: str) -> None:
        self.ignored.append((path, why))


def annotation_year(path: Path) -> int | None:
    """The year of an annotation from the name of its folder, such as ``ccf_2017``; None if it has no year."""
    years = (_SDK_YEAR.fullmatch(folder.name) for folder in path.absolute().parents)
    return next((int(match[1]) for match in years if match), None)


def _experiment_id(name: str) -> int | None:
    """The experiment id in a folder's name; leading zeros and signs are refused, so that an id has one name only."""
    return int(name) if _ID.fullmatch(name) and int(name) <= MAX_ID else None
