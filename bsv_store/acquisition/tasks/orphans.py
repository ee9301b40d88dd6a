"""Recovery of published files without a database row: the run was killed between publication and commit.

Publication is atomic, so such a file is complete; it is nevertheless checked. Its name must contain its hash, and
encoding its content again must give the same bytes (at 25 and 10 um, the content must have the hash stored in the
file). The row can then be written without another download.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from bsv_store.errors import BsvStoreError, DamagedFileError
from bsv_store.file_systems import read_errors
from bsv_store.plausibility.judge import Plausibility
from bsv_store.progress import do_nothing
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.encoding import decode_with_hdf5, encode
from bsv_store.volumes.files import StoreFiles, hashes_of
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, text_attribute
from bsv_store.volumes.large import read_content
from bsv_store.volumes.library import VolumeFile
from bsv_store.volumes.volume import Volume

_HASH_DIGITS = 16


class OrphanVolumes:
    """Volume files of one kind and spacing that may have no row.

    Parameters
    ----------
    files : StoreFiles
    kind : VolumeKind
    spacing_um : int
    plausibility : Plausibility
        Files that contradict the catalog are not recovered.
    """

    def __init__(self, files: StoreFiles, kind: VolumeKind, spacing_um: int, plausibility: Plausibility) -> None:
        self._files = files
        self._plausibility = plausibility
        self._kind: VolumeKind = kind
        self._spacing_um = spacing_um
        self._folder = f"volumes/{kind}/{spacing_um}um"
        self._lock = threading.Lock()
        self._names: dict[int, list[str]] | None = None

    def recover(
        self, experiment_id: int, *, array_sha256: str | None = None, on_slab: Callable[[], None] = do_nothing
    ) -> VolumeFile | None:
        """The experiment's valid file without a row, if any. Call this only if the catalog has no usable row.

        Parameters
        ----------
        experiment_id : int
        array_sha256 : str, optional
            Hash that the catalog recorded for a volume whose file is lost. A file with other content is an older one
            that has been replaced.
        on_slab : callable
            Called before each slab of a large file is checked; it may raise to stop the work.
        """
        for name in self._listed().get(experiment_id, []):
            file = self._checked(experiment_id, name, on_slab)
            if file is None or array_sha256 not in (None, file.layout.array_sha256):
                continue
            # Recorded content was judged when it was stored.
            if array_sha256 is not None or self._is_plausible(file):
                return file
        return None

    def _is_plausible(self, file: VolumeFile) -> bool:
        try:
            return not self._plausibility.judge_stored(file).problems
        except DamagedFileError:
            # Another process deleted it.
            return False

    def _listed(self) -> dict[int, list[str]]:
        # Listed once: files published later are recorded by the run that publishes them.
        with self._lock:
            if self._names is None:
                self._names = {}
                for path in _entries(self._files.path(self._folder)):
                    experiment_id, _, rest = path.name.partition(".")
                    if experiment_id.isdigit() and rest.endswith(".h5"):
                        self._names.setdefault(int(experiment_id), []).append(path.name)
            return self._names

    def _checked(self, experiment_id: int, name: str, on_slab: Callable[[], None]) -> VolumeFile | None:
        path = f"{self._folder}/{name}"
        if Grid(self._spacing_um).is_large:
            return self._checked_large(experiment_id, name, path, on_slab)
        try:
            image = self._files.path(path).read_bytes()
        except OSError:
            # The file was deleted meanwhile, or is not readable.
            return None
        if name != f"{experiment_id}.{hashlib.sha256(image).hexdigest()[:_HASH_DIGITS]}.h5":
            return None
        try:
            source = _source(io.BytesIO(image))
            volume = Volume(self._kind, decode_with_hdf5(image, Grid(self._spacing_um), what=path))
            encoded = encode(volume, experiment_id=experiment_id, source=source)
        except (BsvStoreError, *HDF5_ERRORS):
            return None
        if encoded.image != image or encoded.layout.grid.spacing_um != self._spacing_um:
            return None
        return VolumeFile(experiment_id, self._kind, path, encoded.layout, source, datetime.now(UTC))

    def _checked_large(
        self, experiment_id: int, name: str, path: str, on_slab: Callable[[], None]
    ) -> VolumeFile | None:
        """As `_checked` in bounded memory: the content is compared with its hash instead of being encoded again."""
        try:
            with self._files.path(path).open("rb") as stream:
                hashes = hashes_of(stream)
                if name != f"{experiment_id}.{hashes.sha256[:_HASH_DIGITS]}.h5":
                    return None
                source = _source(stream)
                grid = Grid(self._spacing_um)
                content = read_content(
                    stream, grid, kind=self._kind, experiment_id=experiment_id, what=path, on_slab=on_slab
                )
        except (BsvStoreError, *HDF5_ERRORS):
            return None
        return VolumeFile(experiment_id, self._kind, path, content.layout(hashes), source, datetime.now(UTC))


def published_images(files: StoreFiles, folder: str, stem: str) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the HDF5 files of a folder whose names consist of a stem and their hash."""
    for path in _entries(files.path(folder)):
        if not (path.name.startswith(f"{stem}.") and path.suffix == ".h5"):
            continue
        try:
            image = path.read_bytes()
        except OSError:
            # Deleted meanwhile, or not readable.
            continue
        if path.name == f"{stem}.{hashlib.sha256(image).hexdigest()[:_HASH_DIGITS]}.h5":
            yield path.name, image


def _entries(folder: Path) -> list[Path]:
    try:
        with read_errors(folder):
            return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _source(stream: BinaryIO) -> str:
    with opened_hdf5(stream, what="a volume") as file:
        return text_attribute(file, "source")
