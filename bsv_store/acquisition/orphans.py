"""Volume files without a row: a run was killed after it had published the file and before it committed the row.

Such a file is whole, for publication is atomic, yet nothing is trusted because it exists: its name must carry its hash,
and its content, encoded anew, must give the same bytes (at 25 and 10 um, have the hash that it says). Then the row can
be written without asking upstream again.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from bsv_store.errors import BsvStoreError
from bsv_store.progress import go_on
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.encoding import decode_with_hdf5, encode
from bsv_store.volumes.files import StoreFiles, hashes_of
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.large import read_content
from bsv_store.volumes.library import VolumeFile
from bsv_store.volumes.volume import Volume

_HASH_DIGITS = 16


class OrphanFiles:
    """Files of one kind and spacing that may lack their row.

    Parameters
    ----------
    files : StoreFiles
    kind : VolumeKind
    spacing_um : int
    """

    def __init__(self, files: StoreFiles, kind: VolumeKind, spacing_um: int) -> None:
        self._files = files
        self._kind: VolumeKind = kind
        self._spacing_um = spacing_um
        self._folder = f"volumes/{kind}/{spacing_um}um"
        self._lock = threading.Lock()
        self._names: dict[int, list[str]] | None = None

    def recover(
        self, experiment_id: int, *, array_sha256: str | None = None, on_slab: Callable[[], None] = go_on
    ) -> VolumeFile | None:
        """The experiment's file, if a sound one lies there. Call it only if the catalog has no usable row for it.

        Parameters
        ----------
        experiment_id : int
        array_sha256 : str, optional
            What the catalog last recorded of a volume whose file is lost: another content is an older one, which some
            run had published before it was superseded.
        on_slab : callable
            Called before each slab of a large file that is looked at; an exception from it gives the work up.
        """
        for name in self._listed().get(experiment_id, []):
            file = self._checked(experiment_id, name, on_slab)
            if file is not None and array_sha256 in (None, file.layout.array_sha256):
                return file
        return None

    def _listed(self) -> dict[int, list[str]]:
        # Once for all: what is published from now on gets its row from whoever publishes it.
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
            # Gone or not readable: as good as not there.
            return None
        if name != f"{experiment_id}.{hashlib.sha256(image).hexdigest()[:_HASH_DIGITS]}.h5":
            return None
        try:
            source = _source(io.BytesIO(image))
            volume = Volume(self._kind, decode_with_hdf5(image, what=path))
            encoded = encode(volume, experiment_id=experiment_id, source=source)
        except (BsvStoreError, OSError, KeyError, ValueError):
            return None
        if encoded.image != image or encoded.layout.grid.spacing_um != self._spacing_um:
            return None
        return VolumeFile(experiment_id, self._kind, path, encoded.layout, source, datetime.now(UTC))

    def _checked_large(
        self, experiment_id: int, name: str, path: str, on_slab: Callable[[], None]
    ) -> VolumeFile | None:
        """The same in bounded memory: instead of being encoded anew, the content is compared with its own hash."""
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
        except (BsvStoreError, OSError, KeyError, ValueError):
            return None
        return VolumeFile(experiment_id, self._kind, path, content.layout(hashes), source, datetime.now(UTC))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _source(stream: BinaryIO) -> str:
    import h5py

    with h5py.File(stream, "r") as file:
        return bytes(file.attrs["source"]).decode()
