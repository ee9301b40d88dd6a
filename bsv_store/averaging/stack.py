"""Volumes of experiments as one lazy array."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import is_mirrored, process_volume
from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.errors import InputError
from bsv_store.html import card, paragraph, table
from bsv_store.text import listed, number_of, size_text
from bsv_store.vocabulary import HEMISPHERE_RULES, VOLUME_KINDS
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import Hemisphere, HemisphereRule, ResultDtype
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

_CHUNK_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class StackedVolume:
    """A volume, and how it is transformed when it is read.

    Attributes
    ----------
    file : VolumeFile
    hemisphere_rule : HemisphereRule
    injected : {'left', 'right'} or None
        The injected hemisphere, if the rule needs it.
    divisor : float or None
        None = not normalized.
    """

    file: VolumeFile
    hemisphere_rule: HemisphereRule = "none"
    injected: Hemisphere | None = None
    divisor: float | None = None

    @property
    def dtype(self) -> ResultDtype:
        """float32 as stored or mirrored, float64 if normalized or subtracted."""
        return "float32" if self.divisor is None and not HEMISPHERE_RULES[self.hemisphere_rule].subtracts else "float64"

    def planes(self, files: StoreFiles, start: int, stop: int) -> NDArray[Any]:
        """The AP planes [start, stop), a new array; NaN = no data.

        Raises
        ------
        DamagedFileError
            If the file differs from what was published.
        """
        voxels = read_slab(files, self.file, start, stop)
        array = voxels.dense_planes(start, stop) if isinstance(voxels, SparseArray) else voxels.copy()
        return self.transformed(array)

    def transformed(self, planes: NDArray[Any]) -> NDArray[Any]:
        """AP planes of the volume after the hemisphere rule and normalization."""
        if self.dtype == "float64":
            return process_volume(
                planes,
                divisor=1.0 if self.divisor is None else self.divisor,
                hemisphere_rule=self.hemisphere_rule,
                injected=self.injected,
                what=f"experiment {self.file.experiment_id}",
            )
        return np.ascontiguousarray(planes[..., ::-1]) if is_mirrored(self.hemisphere_rule, self.injected) else planes


class VolumeStack:
    """Volumes as a lazy array of shape (experiments, ap, dv, ml).

    Indexing reads the volumes selected by the first index, one after the other: ``stack[3]``, ``stack[:, 84]``,
    ``stack[[0, 5], 80:90, :, 57:]``. `to_dask` returns it as a dask array.

    Attributes
    ----------
    experiment_ids : tuple of int
        Along the first axis, ascending.
    shape : tuple of int
    dtype : numpy.dtype
        float32 as stored or mirrored, float64 if normalized or subtracted.
    left_out : dict of int to str
        Selected experiments that are not in the array, with the reason, where ``missing="leave_out"`` was given.

    Notes
    -----
    All parts of a volume are read from the same content. Reading raises `StoreError` if another process replaced the
    volume after its first part was read, or after the array was copied to this process.
    """

    ndim = 4

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        volumes: Sequence[StackedVolume],
        *,
        spacing_um: int,
        dtype: Any,
        left_out: Mapping[int, str] | None = None,
        follow: bool = False,
    ) -> None:
        self._files = files
        self._volumes = tuple(volumes)
        self._current = tuple(CurrentVolume(database, each.file, follow=follow) for each in self._volumes)
        self.experiment_ids = tuple(each.file.experiment_id for each in self._volumes)
        self.shape = (len(self._volumes), *Grid(spacing_um).shape)
        self.dtype = np.dtype(dtype)
        self.left_out = dict(sorted((left_out or {}).items()))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.volume(number) for number in range(len(self)))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """The selected part.

        Raises
        ------
        IndexError
            If an index is out of bounds, or there are more than four.
        DamagedFileError
            If a volume file differs from what was published.
        StoreError
            If a volume was replaced after it was first read, or in another process.
        """
        first, rest = _split(key)
        # NumPy interprets the first index, whatever its type.
        chosen = np.arange(len(self))[first]
        if np.ndim(chosen) == 0:
            return self._part(int(chosen), rest)
        shape = np.broadcast_to(np.zeros(1, np.bool_), self.shape[1:])[rest].shape
        result = np.empty((*chosen.shape, *shape), self.dtype)
        for place, number in np.ndenumerate(chosen):
            result[place] = self._part(int(number), rest)
        return result

    def volume(self, number: int) -> NDArray[Any]:
        """The volume at an index of the first axis: shape (ap, dv, ml); NaN = no data.

        Raises
        ------
        DamagedFileError, StoreError
            As for ``stack[...]``.
        """
        return self._planes(number, 0, self.shape[1])

    def _part(self, number: int, key: tuple[Any, ...]) -> NDArray[Any]:
        """The selected part of a volume. At 25 and 10 um only the AP planes that contain it are read."""
        planes = np.arange(self.shape[1])[key[0]] if key else np.arange(self.shape[1])
        if planes.size == 0:
            # An empty part of one plane, so that NumPy checks the other indices.
            return self._planes(number, 0, 1)[(slice(0, 0), *key[1:])]
        first = int(planes.min())
        part: NDArray[Any] = self._planes(number, first, int(planes.max()) + 1)
        inner = int(planes) - first if planes.ndim == 0 else slice(None, None, key[0].step if key else None)
        result: NDArray[Any] = part[(inner, *key[1:])]
        return result

    def _planes(self, number: int, start: int, stop: int) -> NDArray[Any]:
        stacked, current = self._volumes[operator.index(number)], self._current[operator.index(number)]
        return current.read(lambda file: replace(stacked, file=file).planes(self._files, start, stop))

    def to_dask(self) -> Any:
        """A dask array that reads the volumes when it is computed: one chunk for each volume, at 25 and 10 um several.

        Raises
        ------
        InputError
            If dask is not installed.
        """
        try:
            from dask.array import from_array
        except ImportError as error:
            raise InputError("dask is not installed", hint="Install it: pip install 'bsv-store[dask]'") from error
        plane_bytes = self.shape[2] * self.shape[3] * self.dtype.itemsize
        planes = min(self.shape[1], max(1, _CHUNK_BYTES // plane_bytes))
        # dask is only partly typed.
        make: Any = from_array
        return make(self, chunks=(1, planes, -1, -1), name=False, meta=np.empty((0,) * 4, self.dtype))

    def __repr__(self) -> str:
        return f"VolumeStack({self.shape}, {self.dtype})"

    def _repr_html_(self) -> str:
        experiments, *grid = self.shape
        facts = [
            ("Shape", f"{number_of(experiments, 'experiment')} × {' × '.join(map(str, grid))} voxels (AP, DV, ML)"),
            ("Type", f"{self.dtype}, {size_text(math.prod(self.shape) * self.dtype.itemsize)} if read as a whole"),
            ("Volumes", ", ".join(sorted({VOLUME_KINDS[each.file.kind].words for each in self._volumes}))),
            ("Experiments", listed(self.experiment_ids, limit=10)),
        ]
        left = table(["experiment", "reason"], [[str(each), reason] for each, reason in self.left_out.items()])
        shown = [paragraph("Left out:"), left] if left else []
        return card("Volumes as one array", *shown, kind="read when indexed", facts=facts)


def _split(key: Any) -> tuple[Any, tuple[Any, ...]]:
    """The first index and the other three, with an ellipsis expanded."""
    parts: Sequence[Any] = key if isinstance(key, tuple) else (key,)
    places = [place for place, part in enumerate(parts) if part is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can have only one ellipsis")
    if places:
        place = places[0]
        filling = (slice(None),) * (VolumeStack.ndim - len(parts) + 1)
        parts = (*parts[:place], *filling, *parts[place + 1 :])
    if len(parts) > VolumeStack.ndim:
        raise IndexError(f"too many indices: {len(parts)} for an array of {VolumeStack.ndim} dimensions")
    for part in parts[1:]:
        if not isinstance(part, slice | int | np.integer) or isinstance(part, bool):
            raise IndexError("indices of the axes ap, dv and ml must be integers or slices")
    return (parts[0] if parts else slice(None)), tuple(parts[1:])
