"""The volumes of the members of a version as one lazy array."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import process_volume
from bsv_store.datasets.original_inputs import content_of_file, original_inputs
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


class VolumeStack:
    """Volumes of a version's members as a lazy array of shape (members, ap, dv, ml).

    Indexing reads the volumes selected by the first index, one after the other: ``stack[3]``, ``stack[:, 84]``,
    ``stack[[0, 5], 80:90, :, 57:]``. It works with ``dask.array.from_array(stack, chunks=(1, -1, -1, -1))``.

    Attributes
    ----------
    experiment_ids : tuple of int
        Along the first axis, ascending.
    shape : tuple of int
    dtype : numpy.dtype
        float32 as stored, float64 if processed.
    """

    ndim = 4

    def __init__(self, files: StoreFiles, inputs: Inputs, *, processed: bool) -> None:
        self._files = files
        self._inputs = inputs
        self._processed = processed
        self.experiment_ids = tuple(member.experiment_id for member in inputs.members)
        self.shape = (len(inputs.members), *Grid(inputs.recipe.spacing_um).shape)
        self.dtype = np.dtype(np.float64 if processed else np.float32)

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
        DamagedFileError
            If its file differs from what was published.
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
        member = self._inputs.members[operator.index(number)]
        voxels = read_slab(self._files, member.volume, start, stop)
        array = voxels.dense_planes(start, stop) if isinstance(voxels, SparseArray) else voxels.copy()
        if not self._processed:
            return array
        return process_volume(
            array,
            divisor=member.divisor,
            hemisphere_rule=self._inputs.recipe.hemisphere_rule,
            injected=member.injected,
            what=f"experiment {member.experiment_id}",
        )

    def __repr__(self) -> str:
        return f"VolumeStack({self.shape}, {self.dtype}, {'processed' if self._processed else 'as stored'})"


def volume_stack(
    database: Database, files: StoreFiles, version: DatasetVersion, *, processed: bool = False
) -> VolumeStack:
    """The volumes of a version's members as a lazy array; see `Datasets.stack`."""
    content = content_of_file(version)
    with database.reading() as connection:
        return VolumeStack(files, original_inputs(connection, version, content), processed=processed)


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
