"""Averaging in passes. A pass computes some groups on some AP planes from the volumes of their members.

A pass reads each file at most once. Passes are independent, so they can run one after the other or simultaneously, on
this machine or on others. Members are added to each voxel in the order of the inputs, so the result does not depend on
the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.kernel.accumulator import GroupAccumulator, MemberVolume
from bsv_store.averaging.kernel.scatter import batch_bytes
from bsv_store.averaging.kernel.slabs import bytes_per_plane, slabs_within
from bsv_store.errors import DamagedFileError
from bsv_store.progress import NO_PROGRESS
from bsv_store.volumes.batches import read_in_batches
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store.averaging.inputs import Inputs, MemberInput
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import Statistic
    from bsv_store.volumes.batches import Voxels
    from bsv_store.volumes.files import StoreFiles

# Memory for the running sums and results of a pass, by spacing. A group takes about 24 MB at 100 um, where all files
# are read whole, so groups share a pass. At 25 um a group takes 1.5 GB (mean only), at 10 um 24 GB. There a slab is a
# part of each file, so smaller slabs cost little more than opening the files more often.
_BUDGET_BYTES = {100: 160_000_000, 50: 400_000_000, 25: 400_000_000, 10: 800_000_000}


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the volumes of some groups, for some AP planes. It can be pickled."""

    groups: range
    planes: tuple[int, int]
    members: tuple[MemberInput, ...]


@dataclass(frozen=True, slots=True)
class Averages:
    """The result of a pass: statistics, arrays of shape (groups, planes, dv, ml), or the damaged files.

    Attributes
    ----------
    arrays : dict
        By name; empty if files are damaged.
    damaged : dict of int to (str, str or None)
        Experiment id -> message and hint.
    """

    arrays: dict[Statistic, NDArray[Any]]
    damaged: dict[int, tuple[str, str | None]]


def cut(inputs: Inputs, step: int, *, workers: int = 1) -> list[Pass]:
    """Passes that each fit into memory, ascending by group, then by plane.

    A pass has either whole groups, with at least one pass for each worker if possible, or a slab of one group. Slabs do
    not depend on the number of workers, so the result is written in the same order and has the same bytes.

    Parameters
    ----------
    step : int
        Slabs begin at multiples of this number of planes.
    workers : int
        Number of processes.
    """
    recipe = inputs.recipe
    shape, budget = Grid(recipe.spacing_um).shape, _BUDGET_BYTES[recipe.spacing_um]
    group_bytes = shape[0] * _bytes_per_plane(recipe, shape, 1)
    together = max(1, min(budget // group_bytes, -(-len(inputs.groups) // workers)))
    passes = []
    for first in range(0, len(inputs.groups), together):
        groups = range(first, min(first + together, len(inputs.groups)))
        members = tuple(member for member in inputs.members if member.group in groups)
        plane_bytes = _bytes_per_plane(recipe, shape, len(groups))
        slabs = slabs_within(shape[0], plane_bytes, budget, step=step)
        passes += [Pass(groups, planes, members) for planes in slabs]
    return passes


def run(
    files: StoreFiles,
    recipe: Recipe,
    work: Pass,
    progress: Progress = NO_PROGRESS,
    *,
    observe: Callable[[MemberInput, Voxels], None] | None = None,
) -> Averages:
    """The averages of a pass. Every byte that is read is checked.

    Parameters
    ----------
    observe : callable, optional
        Called with each member and its volume, whose memory is reused after the call.
    """
    accumulator = GroupAccumulator(
        Grid(recipe.spacing_um),
        len(work.groups),
        statistics=recipe.statistics,
        hemisphere_rule=recipe.hemisphere_rule,
        weighted=recipe.is_weighted,
        ap_range=work.planes,
    )
    damaged = add_all(accumulator, files, work, progress, observe)
    return Averages({} if damaged else accumulator.finish(recipe.dtype).arrays(), damaged)


def add_all(
    accumulator: GroupAccumulator,
    files: StoreFiles,
    work: Pass,
    progress: Progress = NO_PROGRESS,
    observe: Callable[[MemberInput, Voxels], None] | None = None,
) -> dict[int, tuple[str, str | None]]:
    """Add the members of a pass in their order; returns message and hint of those with damaged files."""
    damaged: dict[int, tuple[str, str | None]] = {}
    for batch in member_volumes(files, work):
        volumes = []
        for member, found in batch:
            if isinstance(found, MemberVolume):
                volumes.append(found)
                if observe is not None:
                    observe(member, found.voxels)
            else:
                damaged[member.experiment_id] = found
        # After damage the other files are read only to report all damaged files at once.
        if not damaged:
            accumulator.add_all(volumes)
            progress.advance(len(volumes))
    return damaged


def member_volumes(
    files: StoreFiles, work: Pass
) -> Iterator[list[tuple[MemberInput, MemberVolume | tuple[str, str | None]]]]:
    """The members of a pass in their order, in batches, each with its volume, or message and hint of a damaged file.

    The arrays of a batch are valid until the next batch is requested, which reuses their memory.
    """
    members = iter(work.members)
    requests = [member.files() for member in work.members]
    for batch in read_in_batches(files, requests, *work.planes, batch_bytes=batch_bytes()):
        yield [
            # As text, since pickling an error loses its cause.
            (member, (content.message, content.hint))
            if isinstance(content, DamagedFileError)
            else (member, _member_volume(member, content, work.groups.start))
            for content, member in zip(batch, members, strict=False)
        ]


def _member_volume(member: MemberInput, content: list[Voxels], first_group: int) -> MemberVolume:
    volume, *masks = content
    exclude = masks.pop(0) if member.exclude is not None else None
    weights = masks.pop(0) if member.weights is not None else member.weight
    what = f"experiment {member.experiment_id}"
    return MemberVolume(member.group - first_group, volume, member.divisor, member.injected, weights, exclude, what)


def _bytes_per_plane(recipe: Recipe, shape: tuple[int, int, int], groups: int) -> int:
    return bytes_per_plane(
        shape,
        groups,
        statistics=recipe.statistics,
        hemisphere_rule=recipe.hemisphere_rule,
        weighted=recipe.is_weighted,
        dtype=recipe.dtype,
    )
