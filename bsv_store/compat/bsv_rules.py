"""The rules of Brain Street View that differ from ours, for ``bsv_rules=True``.

* Every injection counts as on the right side (Brain Street View compares um with a voxel index).
* A region matches all structures whose acronym begins with its own; the first listed region that matches is used.
* An experiment without injection rows has neither primary structure nor coordinates, and is not normalized.
* A missing volume is absent from the sum but counts in the divisor of the mean.
* Unknown coordinates are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from bsv_store.averaging.grouping.assignment import Group, LeftOut, assign
from bsv_store.averaging.grouping.facts import ExperimentFacts
from bsv_store.averaging.inputs import Inputs, MemberInput
from bsv_store.catalog.tables.frames import injection_volumes
from bsv_store.catalog.volumes import find_volumes
from bsv_store.compat.request import groups_of

if TYPE_CHECKING:
    from bsv_store.compat.request import Request

UNKNOWN_COORDINATE = 0.0


def without_facts(experiment: ExperimentFacts) -> ExperimentFacts:
    """The experiment as Brain Street View sees it if it has no injection rows."""
    return ExperimentFacts(experiment.experiment_id, primary_structure="", primary_structure_id=0)


def gather_inputs(
    connection: Connection, request: Request, experiments: Sequence[ExperimentFacts]
) -> tuple[Inputs, list[int]]:
    """The inputs of the average by Brain Street View's rules, and the ids of those that cannot be normalized.

    The groups list all their experiments, the members only those with a volume.

    Parameters
    ----------
    experiments : sequence of ExperimentFacts
        As Brain Street View sees them.
    """
    recipe = request.recipe
    ids = [experiment.experiment_id for experiment in experiments]
    if request.regions:
        groups, left_out = _by_prefix(request.regions, experiments)
    else:
        assignment = assign(recipe.grouping, experiments)
        groups, left_out = assignment.groups, assignment.left_out
    volumes = find_volumes(connection, ids, kind=recipe.kind, spacing_um=recipe.spacing_um)
    normalize = recipe.normalize == "injection_volume"
    divisors = {i: volume for i, volume in injection_volumes(connection, ids).items() if volume} if normalize else {}
    members = [
        MemberInput(
            experiment_id,
            group.number,
            volumes[experiment_id],
            divisor=divisors.get(experiment_id, 1.0),
            injected=None if recipe.hemisphere_rule == "none" else "right",
        )
        for group in groups
        for experiment_id in group.experiment_ids
        if experiment_id in volumes
    ]
    members.sort(key=lambda member: member.experiment_id)
    unnormalized = [each.experiment_id for each in members if normalize and each.experiment_id not in divisors]
    return Inputs(recipe, groups, tuple(members), left_out), unnormalized


def divide_by_group_size(means: NDArray[np.float64], inputs: Inputs) -> None:
    """Convert means over the averaged volumes to means over all experiments of the group, in place.

    Parameters
    ----------
    means : ndarray of float64, shape (groups, ap, dv, ml)
    """
    for group in inputs.groups:
        count = sum(member.group == group.number for member in inputs.members)
        if count < group.n:
            means[group.number] *= count / group.n


def _by_prefix(
    regions: Sequence[tuple[str, int]], experiments: Sequence[ExperimentFacts]
) -> tuple[tuple[Group, ...], tuple[LeftOut, ...]]:
    members: dict[int, list[int]] = {number: [] for number in groups_of(regions)}
    left_out = []
    for experiment in experiments:
        acronym = experiment.primary_structure
        number = next((number for region, number in regions if acronym.startswith(region)), None)
        if number is None:
            left_out.append(LeftOut(experiment.experiment_id, f"{acronym!r} does not begin with a listed region"))
        else:
            members[number].append(experiment.experiment_id)
    groups = (Group(place, str(number), tuple(ids)) for place, (number, ids) in enumerate(members.items()))
    return tuple(groups), tuple(left_out)
