"""Recognizes the cache folders of Brain Street View and AllenSDK, and lists what they hold, without reading it.

Brain Street View: ``<id>/density.raw`` and ``<id>/injectionSummary_all.json``. AllenSDK, in the layout of its default
manifest: ``experiments.json``, ``structures.json``, ``experiment_<id>/structure_unionizes.csv``,
``experiment_<id>/<kind>_<spacing>.nrrd``, and ``annotation_<spacing>.nrrd`` in the folder of a reference space.
That a file is there says nothing about its content: AllenSDK downloads to the final name, so its files can be cut.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bsv_store.errors import InputError, NotACacheError
from bsv_store.formats.fields import MAX_ID
from bsv_store.vocabulary import SPACINGS_UM, VOLUME_KINDS, VolumeKind
from bsv_store.volumes.volume import volume_kind

CacheLayout = Literal["bsv", "allensdk"]

_BSV_DENSITY = "density.raw"
_BSV_SUMMARY = "injectionSummary_all.json"
_SDK_MANIFEST, _SDK_EXPERIMENTS, _SDK_STRUCTURES = "manifest.json", "experiments.json", "structures.json"
_SDK_UNIONIZES = "structure_unionizes.csv"
# annotation/ccf_2017/annotation_25.nrrd
_MAX_DEPTH = 3

_SPACING = "|".join(map(str, SPACINGS_UM))
_ID = re.compile(r"[1-9][0-9]{0,18}")
_SDK_FOLDER = re.compile(r"experiment_(.+)")
_SDK_VOLUME = re.compile(rf"({'|'.join(VOLUME_KINDS)})_({_SPACING})\.nrrd")
_SDK_ANNOTATION = re.compile(rf"annotation_({_SPACING})\.nrrd")
_KNOWN_LEFTOVERS = {
    "temp.zip": "left over from a download of Brain Street View",
    "density.mhd": "header of density.raw, which is not needed",
    _SDK_MANIFEST: "AllenSDK's own list of paths",
}


@dataclass(frozen=True, slots=True)
class CacheFile:
    """One file of a cache that belongs to an experiment.

    Attributes
    ----------
    path : Path
    experiment_id : int
        As the folder's name has it.
    kind : VolumeKind or None
        None for unionize tables.
    spacing_um : int or None
        None for unionize tables.
    """

    path: Path
    experiment_id: int
    kind: VolumeKind | None = None
    spacing_um: int | None = None


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """An annotation grid of the reference space in a cache."""

    path: Path
    spacing_um: int


@dataclass(frozen=True, slots=True)
class CacheScan:
    """What a cache folder holds.

    Attributes
    ----------
    folder : Path
    layout : CacheLayout
    structures, experiments : Path or None
        The structure graph and the experiment list; Brain Street View keeps none.
    unionizes, volumes : tuple of CacheFile
        By experiment id, then by name.
    annotations : tuple of AnnotationFile
        By spacing.
    ignored : tuple of (Path, str)
        Everything else, and why it is left alone. Of a folder that is left alone only the folder itself.
    """

    folder: Path
    layout: CacheLayout
    structures: Path | None
    experiments: Path | None
    unionizes: tuple[CacheFile, ...]
    volumes: tuple[CacheFile, ...]
    annotations: tuple[AnnotationFile, ...]
    ignored: tuple[tuple[Path, str], ...]

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """Experiments with at least one file, ascending."""
        return tuple(sorted({file.experiment_id for file in (*self.unionizes, *self.volumes)}))


def scan_cache(folder: Path) -> CacheScan:
    """What the cache in a folder holds, told by names alone.

    Parameters
    ----------
    folder : Path
        The folder that Brain Street View's ``save_location`` or AllenSDK's manifest names.

    Raises
    ------
    InputError
        If the folder cannot be read, or is neither kind of cache.
    """
    try:
        entries = sorted(folder.iterdir())
        inside = folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"there is no folder {folder}", hint="Check the path.") from error
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"the folder {folder} cannot be read: {reason}", hint="Check path and permissions.") from error
    layout = _layout(folder, entries)
    found = _Found(folder, inside)
    for entry in entries:
        if layout == "bsv":
            found.bsv_entry(entry)
        else:
            found.allensdk_entry(entry)
    return CacheScan(
        folder=folder,
        layout=layout,
        structures=found.structures,
        experiments=found.experiments,
        unionizes=tuple(sorted(found.unionizes, key=lambda file: (file.experiment_id, file.path))),
        volumes=tuple(sorted(found.volumes, key=lambda file: (file.experiment_id, file.path))),
        annotations=tuple(sorted(found.annotations, key=lambda file: (file.spacing_um, file.path))),
        ignored=tuple(found.ignored),
    )


def _layout(folder: Path, entries: list[Path]) -> CacheLayout:
    layout = _recognized(entries)
    if layout is not None:
        return layout
    meant = _neighbor(folder, entries)
    raise NotACacheError(
        f"{folder} is no cache of Brain Street View or AllenSDK",
        hint=f"But {meant} is one: name that folder."
        if meant is not None
        else (
            f"Expected are folders <experiment id> with {_BSV_DENSITY} or {_BSV_SUMMARY} (Brain Street View), or "
            f"{_SDK_EXPERIMENTS}, {_SDK_STRUCTURES} or folders experiment_<id> (AllenSDK): name the folder above them."
        ),
    )


def _recognized(entries: list[Path]) -> CacheLayout | None:
    names = {entry.name for entry in entries}
    if names & {_SDK_EXPERIMENTS, _SDK_STRUCTURES} or any(
        (match := _SDK_FOLDER.fullmatch(name)) and _ID.fullmatch(match[1]) for name in names
    ):
        return "allensdk"
    for entry in entries:
        if _ID.fullmatch(entry.name) and any((entry / name).exists() for name in (_BSV_DENSITY, _BSV_SUMMARY)):
            return "bsv"
    return None


def _neighbor(folder: Path, entries: list[Path]) -> Path | None:
    """The cache that was meant where somebody named the folder above it, or one experiment's folder inside it."""
    # Only a look: where it may not be read, there is nothing to suggest.
    for candidate in (folder.absolute().parent, *entries):
        with contextlib.suppress(OSError):
            if candidate.is_dir() and _recognized(sorted(candidate.iterdir())) is not None:
                return candidate
    return None


@dataclass(slots=True)
class _Found:
    """Collects while the folder is walked; ``inside`` is its real path, out of which no link may lead."""

    folder: Path
    inside: Path
    structures: Path | None = None
    experiments: Path | None = None
    unionizes: list[CacheFile] = field(default_factory=list)
    volumes: list[CacheFile] = field(default_factory=list)
    annotations: list[AnnotationFile] = field(default_factory=list)
    ignored: list[tuple[Path, str]] = field(default_factory=list)

    def bsv_entry(self, entry: Path) -> None:
        """Sort what lies in a Brain Street View cache under one name."""
        if not self._is_usable(entry, want_folder=True):
            return
        experiment_id = _experiment_id(entry.name)
        if experiment_id is None:
            self._ignore(entry, "its name is no experiment id")
            return
        for path in self._files(entry):
            if path.name == _BSV_SUMMARY:
                self.unionizes.append(CacheFile(path, experiment_id))
            elif path.name == _BSV_DENSITY:
                self.volumes.append(CacheFile(path, experiment_id, "projection_density", 100))
            else:
                self._ignore(path, _KNOWN_LEFTOVERS.get(path.name, "unknown file"))

    def allensdk_entry(self, entry: Path) -> None:
        """Sort what lies in an AllenSDK cache under one name."""
        if entry.is_dir():
            if match := _SDK_FOLDER.fullmatch(entry.name):
                self._allensdk_experiment(entry, match[1])
            elif self._is_usable(entry, want_folder=True):
                self._annotations_below(entry, depth=1)
            return
        if not self._is_usable(entry, want_folder=False):
            return
        if entry.name == _SDK_STRUCTURES:
            self.structures = entry
        elif entry.name == _SDK_EXPERIMENTS:
            self.experiments = entry
        elif match := _SDK_ANNOTATION.fullmatch(entry.name):
            self.annotations.append(AnnotationFile(entry, int(match[1])))
        else:
            self._ignore(entry, _KNOWN_LEFTOVERS.get(entry.name, "unknown file"))

    def _allensdk_experiment(self, folder: Path, name: str) -> None:
        experiment_id = _experiment_id(name)
        if experiment_id is None:
            self._ignore(folder, "its name holds no experiment id")
            return
        if not self._is_usable(folder, want_folder=True):
            return
        for path in self._files(folder):
            if path.name == _SDK_UNIONIZES:
                self.unionizes.append(CacheFile(path, experiment_id))
            elif match := _SDK_VOLUME.fullmatch(path.name):
                self.volumes.append(CacheFile(path, experiment_id, volume_kind(match[1]), int(match[2])))
            else:
                self._ignore(path, "unknown file")

    def _annotations_below(self, folder: Path, *, depth: int) -> None:
        """Annotations in folders without an experiment; a folder without any is ignored as a whole."""
        before = len(self.annotations)
        others: list[tuple[Path, str]] = []
        for path in self._listed(folder):
            if path.is_dir():
                if path.is_symlink():
                    self._ignore(path, "a link to a folder")
                elif depth == _MAX_DEPTH:
                    self._ignore(path, "lies too deep for an annotation")
                else:
                    self._annotations_below(path, depth=depth + 1)
            elif match := _SDK_ANNOTATION.fullmatch(path.name):
                if self._is_usable(path, want_folder=False):
                    self.annotations.append(AnnotationFile(path, int(match[1])))
            else:
                others.append((path, "unknown file"))
        if len(self.annotations) > before:
            self.ignored.extend(others)
        elif others:
            self._ignore(folder, "holds nothing that the store takes in")

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
            self._ignore(path, "a link that leads nowhere")
            return False
        if not real.is_relative_to(self.inside):
            self._ignore(path, "a link out of the folder")
        elif real.relative_to(self.inside).parts[:1] != path.relative_to(self.folder).parts[:1]:
            # A volume does not say whose it is: the folder's name must not be lent to another experiment's file.
            self._ignore(path, "a link to another part of the folder")
        elif want_folder and not real.is_dir():
            self._ignore(path, "no folder of an experiment")
        elif not want_folder and not real.is_file():
            self._ignore(path, "no regular file")
        else:
            return True
        return False

    def _ignore(self, path: Path, why: str) -> None:
        self.ignored.append((path, why))


def _experiment_id(name: str) -> int | None:
    """The id that a folder is named for; a leading zero or a sign would make two names for one id."""
    return int(name) if _ID.fullmatch(name) and int(name) <= MAX_ID else None
