"""From inputs to a result file: volumes are read one after the other, slab by slab where memory asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.aggregation.kernel import GroupAccumulator
from bsv_store.aggregation.slabs import bytes_per_plane, slabs_within
from bsv_store.datasets.result_file import EncodedResult, result_writer
from bsv_store.errors import DamagedFileError
from bsv_store.progress import SILENCE
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import read_voxels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.aggregation.result import GroupResult
    from bsv_store.datasets.inputs import Inputs, MemberInput
    from bsv_store.datasets.recipe import Recipe
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile
    from bsv_store.volumes.volume import SparseArray

_Content = dict["VolumeFile", "SparseArray | NDArray[np.float32]"] | DamagedFileError

# Memory for running sums and their results, by spacing. A group takes about 24 MB at 100 um and 1.5 GB at 25 um, where
# each slab costs another pass over files of some 50 MB.
_BUDGET_BYTES = {100: 160_000_000, 50: 400_000_000, 25: 1_000_000_000, 10: 1_500_000_000}


class DamagedInputsError(DamagedFileError):
    """Files of members that are missing or differ from what was published.

    Attributes
    ----------
    damaged : dict of int to str
        Experiment id -> what is wrong with its file.
    """

    def __init__(self, message: str, *, hint: str | None, damaged: dict[int, str]) -> None:
        super().__init__(message, hint=hint)
        self.damaged = damaged


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over the volumes of some groups, for some AP planes."""

    groups: range
    planes: tuple[int, int]
    members: tuple[MemberInput, ...]


def compute(files: StoreFiles, inputs: Inputs, progress: Progress | None = None) -> EncodedResult:
    """The result file of these inputs; every byte that is read is checked.

    Memory is bounded: as many groups at a time as fit, since each volume belongs to one group and is read once all the
    same; where not even one fits, slab by slab. Members are added in the order of the inputs, voxel by voxel, so the
    result does not depend on how the work is cut.

    Raises
    ------
    DamagedInputsError
        If files are not what was published: names the members concerned.
    """
    watcher = progress or SILENCE
    with result_writer(inputs) as writer:
        passes = _passes(inputs, writer.planes_per_chunk)
        watcher.start(sum(len(each.members) for each in passes), "averaging volumes")
        try:
            for each in passes:
                result = _computed(files, inputs.recipe, each, watcher)
                writer.write(result.arrays(), first_group=each.groups.start, first_plane=each.planes[0])
                del result
            return writer.finish()
        finally:
            watcher.finish()


def _computed(files: StoreFiles, recipe: Recipe, work: _Pass, progress: Progress) -> GroupResult:
    """The statistics of some groups on some AP planes; the running sums behind them are given back with the return."""
    accumulator = GroupAccumulator(
        Grid(recipe.spacing_um),
        len(work.groups),
        statistics=recipe.statistics,
        hemisphere=recipe.hemisphere,
        weighted=recipe.weight_by_data_mask,
        ap_range=work.planes,
    )
    _add_all(accumulator, files, work, progress)
    return accumulator.finish(recipe.dtype)


def _add_all(accumulator: GroupAccumulator, files: StoreFiles, work: _Pass, progress: Progress) -> None:
    damaged: dict[int, DamagedFileError] = {}
    for member, content in _contents(files, work.members):
        if isinstance(content, DamagedFileError):
            damaged[member.experiment_id] = content
        if damaged:
            # Nothing will come of this pass; the rest is read only to name all that is damaged at once.
            continue
        assert isinstance(content, dict)
        accumulator.add(
            member.group - work.groups.start,
            content[member.volume],
            divisor=member.divisor,
            injected=member.injected,
            weights=None if member.weights is None else content[member.weights],
            exclude=None if member.exclude is None else content[member.exclude],
            what=f"experiment {member.experiment_id}",
        )
        progress.advance()
    if damaged:
        raise _damage(damaged)


def _contents(files: StoreFiles, members: tuple[MemberInput, ...]) -> Iterator[tuple[MemberInput, _Content]]:
    """Members with their voxels, in order; the next file is read while the last one is added."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = None
        for member in members:
            following = reader.submit(_read, files, member.files())
            if ahead is not None:
                yield ahead[0], ahead[1].result()
            ahead = member, following
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def _read(files: StoreFiles, wanted: tuple[VolumeFile, ...]) -> _Content:
    try:
        return {file: read_voxels(files, file) for file in wanted}
    except DamagedFileError as error:
        return error


def _passes(inputs: Inputs, step: int) -> list[_Pass]:
    """The work cut into passes that fit into memory; slabs are multiples of the file's chunks."""
    recipe = inputs.recipe
    shape, budget = Grid(recipe.spacing_um).shape, _BUDGET_BYTES[recipe.spacing_um]
    group_bytes = shape[0] * _bytes_per_plane(recipe, shape, 1)
    together = max(1, budget // group_bytes)
    passes = []
    for first in range(0, len(inputs.groups), together):
        groups = range(first, min(first + together, len(inputs.groups)))
        members = tuple(member for member in inputs.members if member.group in groups)
        plane_bytes = _bytes_per_plane(recipe, shape, len(groups))
        slabs = slabs_within(shape[0], plane_bytes, budget, step=step)
        passes += [_Pass(groups, planes, members) for planes in slabs]
    return passes


def _bytes_per_plane(recipe: Recipe, shape: tuple[int, int, int], groups: int) -> int:
    return bytes_per_plane(
        shape,
        groups,
        statistics=recipe.statistics,
        hemisphere=recipe.hemisphere,
        weighted=recipe.weight_by_data_mask,
        dtype=recipe.dtype,
    )


def _damage(damaged: dict[int, DamagedFileError]) -> DamagedInputsError:
    first = min(damaged)
    more = f" (and {len(damaged) - 1} more: {', '.join(map(str, sorted(damaged)[1:11]))})" if len(damaged) > 1 else ""
    error = DamagedInputsError(
        f"experiment {first}{more}: {damaged[first].message}",
        hint=f"{damaged[first].hint or ''} Or leave such experiments out (missing: leave_out).".strip(),
        damaged={identifier: each.message for identifier, each in damaged.items()},
    )
    error.__cause__ = damaged[first]
    return error
