"""Averaging cut into passes: some groups on some AP planes, each over the volumes of its members.

A pass reads every file at most once. Passes depend on nothing but their inputs, so they can run one after the other or
at the same time, here or on other machines; members are added in the order of the inputs, voxel by voxel, so the result
does not depend on how the work was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.kernel.accumulator import Addend, GroupAccumulator
from bsv_store.averaging.kernel.slabs import bytes_per_plane, slabs_within
from bsv_store.errors import DamagedFileError
from bsv_store.progress import SILENCE
from bsv_store.volumes.batches import read_in_batches
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store.averaging.inputs import Inputs, MemberInput
    from bsv_store.averaging.kernel.statistics import Statistic
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.progress import Progress
    from bsv_store.volumes.batches import Voxels
    from bsv_store.volumes.files import StoreFiles

# Memory for running sums and their results in a pass, by spacing. A group takes about 24 MB at 100 um, where all files
# are read whole, so that groups share a pass. At 25 um it takes 1.5 GB (the mean alone), at 10 um 24 GB; a slab there
# is a part of each file, so that smaller slabs cost little but opening the files more often.
_BUDGET_BYTES = {100: 160_000_000, 50: 400_000_000, 25: 400_000_000, 10: 800_000_000}


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the volumes of some groups, for some AP planes. It can be pickled."""

    groups: range
    planes: tuple[int, int]
    members: tuple[MemberInput, ...]


@dataclass(frozen=True, slots=True)
class Averages:
    """What a pass gave: the statistics, arrays of shape (groups, planes, dv, ml); or the damage that it met.

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
    """The work cut into passes that fit into memory one by one, ascending by group, then by plane.

    Either a pass has groups as a whole, of which there are passes enough for all workers, or a slab of one group. Slabs
    do not depend on the workers, so that a result is written in the same order, and has the same bytes, for any number.

    Parameters
    ----------
    step : int
        Slabs are multiples of so many planes.
    workers : int
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
    progress: Progress = SILENCE,
    *,
    observe: Callable[[MemberInput, Voxels], None] | None = None,
) -> Averages:
    """The averages of a pass; every byte that is read is checked.

    Parameters
    ----------
    observe : callable, optional
        Called with each member and its volume, whose memory is reused after the call.
    """
    accumulator = GroupAccumulator(
        Grid(recipe.spacing_um),
        len(work.groups),
        statistics=recipe.statistics,
        hemisphere=recipe.hemisphere_rule,
        weighted=recipe.weight_by_data_mask,
        ap_range=work.planes,
    )
    damaged = add_all(accumulator, files, work, progress, observe)
    return Averages({} if damaged else accumulator.finish(recipe.dtype).arrays(), damaged)


def add_all(
    accumulator: GroupAccumulator,
    files: StoreFiles,
    work: Pass,
    progress: Progress = SILENCE,
    observe: Callable[[MemberInput, Voxels], None] | None = None,
) -> dict[int, tuple[str, str | None]]:
    """Add the members of a pass to the sums, in their order; message and hint of those whose files are damaged."""
    damaged: dict[int, tuple[str, str | None]] = {}
    members = iter(work.members)
    for batch in read_in_batches(files, [member.files() for member in work.members], *work.planes):
        addends = []
        for content, member in zip(batch, members, strict=False):
            if isinstance(content, DamagedFileError):
                # Text, since an error does not carry its chain to another process.
                damaged[member.experiment_id] = content.message, content.hint
            else:
                addends.append(_addend(member, content, work.groups.start))
                if observe is not None:
                    observe(member, content[0])
        # Nothing will come of a pass with damage; the rest is read only to name all that is damaged at once.
        if not damaged:
            accumulator.add_all(addends)
            progress.advance(len(addends))
    return damaged


def _addend(member: MemberInput, content: list[Voxels], first_group: int) -> Addend:
    volume, *masks = content
    exclude = masks.pop(0) if member.exclude is not None else None
    weights = masks.pop(0) if member.weights is not None else None
    what = f"experiment {member.experiment_id}"
    return Addend(member.group - first_group, volume, member.divisor, member.injected, weights, exclude, what)


def _bytes_per_plane(recipe: Recipe, shape: tuple[int, int, int], groups: int) -> int:
    return bytes_per_plane(
        shape,
        groups,
        statistics=recipe.statistics,
        hemisphere=recipe.hemisphere_rule,
        weighted=recipe.weight_by_data_mask,
        dtype=recipe.dtype,
    )
