"""The averages of a call, and its single volumes, computed in memory. Nothing is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import process_volume
from bsv_store.averaging.passes import Pass, run
from bsv_store.datasets.compute import damaged_inputs
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs, MemberInput
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.volumes.batches import Voxels
    from bsv_store.volumes.files import StoreFiles


class Individuals:
    """The processed volumes of a call; zero for experiments that are not averaged.

    Parameters
    ----------
    recipe : Recipe
    ids : sequence of int
        In call order.
    """

    def __init__(self, recipe: Recipe, ids: Sequence[int]) -> None:
        self._recipe = recipe
        self._places = {experiment_id: place for place, experiment_id in enumerate(ids)}
        self._volumes = np.zeros((len(ids), *Grid(recipe.spacing_um).shape))

    def add(self, member: MemberInput, voxels: Voxels) -> None:
        """Process and store a volume."""
        self._volumes[self._places[member.experiment_id]] = process_volume(
            voxels.to_dense() if isinstance(voxels, SparseArray) else voxels,
            divisor=member.divisor,
            hemisphere_rule=self._recipe.hemisphere_rule,
            injected=member.injected,
        )

    def array(self) -> NDArray[np.float64]:
        """The volumes, shape (ap, dv, ml, n_ids)."""
        return np.moveaxis(self._volumes, 0, -1)


def group_means(files: StoreFiles, inputs: Inputs, individuals: Individuals | None) -> NDArray[np.float64]:
    """The mean of every group, float64, shape (groups, ap, dv, ml); each file is read once.

    Parameters
    ----------
    individuals : Individuals or None
        Collects the volumes.

    Raises
    ------
    DamagedInputsError
        If files differ from what was published.
    """
    grid = Grid(inputs.recipe.spacing_um)
    # One pass: all means are returned in memory, and running sums take no more than twice as much.
    # Group by group, so that the sums being added to stay in the processor's cache; the result is the same.
    members = tuple(sorted(inputs.members, key=lambda member: member.group))
    work = Pass(range(len(inputs.groups)), (0, grid.shape[0]), members)
    averages = run(files, inputs.recipe, work, observe=None if individuals is None else individuals.add)
    if averages.damaged:
        raise damaged_inputs(averages.damaged)
    return averages.arrays["mean"]
