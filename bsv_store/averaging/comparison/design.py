"""The design of a comparison: two groups, the covariates of their experiments, and whether they can be compared."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.normalization import divisors
from bsv_store.catalog.without_unionizes import caller_level
from bsv_store.errors import BsvStoreWarning, FormatError, RecipeError
from bsv_store.text import joined, listed, number_of, shown
from bsv_store.vocabulary import COVARIATES, Covariate

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.comparison.comparison import Comparison
    from bsv_store.averaging.comparison.structure_comparison import StructureComparison
    from bsv_store.averaging.grouping.assignment import Group, LeftOut
    from bsv_store.averaging.grouping.facts import ExperimentFacts

CovariateValues = Mapping[Covariate, tuple[float, ...]]
"""The values of each covariate, in the order of the members (ascending by experiment id)."""

_LEAST = 2
_ENOUGH_FOR_INTERVALS = 10
_LEVEL = 0.05
# Relative size of the part of a covariate that the groups do not explain, below which it cannot be used. The tests, for
# which the volumes are read first, refuse 1e-4.
_COLLINEAR = 2e-4


def known_covariates(
    connection: Connection, covariates: Sequence[Covariate], experiments: Sequence[ExperimentFacts]
) -> dict[Covariate, dict[int, float]]:
    """The known values of each covariate by experiment id."""
    found: dict[Covariate, dict[int, float]] = {}
    for name in covariates:
        axis = COVARIATES[name].axis
        if axis is None:
            # The same volumes as those by which averages are divided.
            volumes = divisors(connection, "injection_volume", [each.experiment_id for each in experiments]) or {}
            found[name] = {identifier: volume.value for identifier, volume in volumes.items()}
        else:
            values = ((each.experiment_id, each.coordinate(axis)) for each in experiments)
            found[name] = {identifier: value for identifier, value in values if value is not None}
    return found


def unknown_covariate(name: Covariate) -> str:
    """The reason why experiments without the covariate are left out of a comparison."""
    return f"the {COVARIATES[name].words} is not known"


def check_groups(groups: Sequence[Group], left_out: Sequence[LeftOut] = ()) -> None:
    """Check that there are two groups of at least two experiments.

    Parameters
    ----------
    groups : sequence of Group
    left_out : sequence of LeftOut
        Named in the hint of the error about groups that are too small.

    Raises
    ------
    RecipeError
        If there are not.
    """
    if len(groups) != 2:
        labels = listed((group.label for group in groups), limit=6)
        raise RecipeError(
            f"a comparison needs two groups, the grouping gives {len(groups)}: {labels}",
            hint="Compare two of them: store.compare_voxels(version.groups[0], version.groups[1], ...).",
        )
    for group in groups:
        if group.n < _LEAST:
            raise RecipeError(
                f"the group {group.label!r} has {number_of(group.n, 'experiment')} with data; a comparison needs at "
                f"least {_LEAST} in each group, because it measures the variation between animals",
                hint=f"Widen the selection, or fetch what is missing.{_left_out_text(left_out)}",
            )


def _left_out_text(left_out: Sequence[LeftOut]) -> str:
    """The experiments that were left out, in words, with a leading space; empty if there are none."""
    if not left_out:
        return ""
    first = left_out[0]
    more = f" and {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
    return f" Left out: {first.experiment_id} ({first.reason}){more}."


def check_design(in_a: NDArray[np.bool_], covariates: CovariateValues) -> None:
    """Check that the effect of the groups can be separated from the covariates.

    Parameters
    ----------
    in_a : ndarray of bool, shape (experiments,)
        Which experiments are in the first group.
    covariates : mapping of covariate to tuple of float

    Raises
    ------
    RecipeError
        If a covariate is constant or collinear, or there are too few experiments for the covariates.
    """
    if len(in_a) < _LEAST + 1 + len(covariates):
        raise RecipeError(
            f"{number_of(len(in_a), 'experiment')} cannot be compared with {number_of(len(covariates), 'covariate')}: "
            f"at least {_LEAST + 1 + len(covariates)} are needed",
            hint="Widen the selections, or leave out covariates.",
        )
    design = [np.ones(len(in_a)), in_a.astype(np.float64)]
    for name, values in covariates.items():
        own, words = np.array(values), COVARIATES[name].words
        if np.ptp(own) == 0:
            raise RecipeError(f"the covariate {name} cannot be used: the {words} is {own[0]:g} in all experiments")
        scaled = (own - own.mean()) / own.std()
        if _unexplained(scaled, design[:2]) < _COLLINEAR:
            raise RecipeError(
                f"the covariate {name} cannot be used: the {words} differs between the groups and is constant within "
                "each, so that their effects cannot be separated",
                hint="Leave it out, or select experiments that vary within the groups.",
            )
        if _unexplained(scaled, design) < _COLLINEAR:
            raise RecipeError(
                f"the covariate {name} cannot be used: the other covariates and the groups determine the {words}",
                hint="Leave out one of the covariates.",
            )
        design.append(scaled)


def _unexplained(values: NDArray[np.float64], columns: Sequence[NDArray[np.float64]]) -> float:
    """The root mean square of what is left of values after a regression on some columns."""
    matrix = np.column_stack(columns)
    coefficients, *_ = np.linalg.lstsq(matrix, values, rcond=None)
    return float(np.sqrt(np.mean((values - matrix @ coefficients) ** 2)))


def covariate_matrix(covariates: CovariateValues) -> NDArray[np.float64] | None:
    """The covariates as columns, shape (experiments, covariates); None if there are none."""
    return np.column_stack([np.array(values, np.float64) for values in covariates.values()]) if covariates else None


def at_equal_covariates(covariates: Sequence[Covariate]) -> str:
    """What a difference is adjusted for, such as 'at equal values of the injection volume'; '' without covariates."""
    words = joined([COVARIATES[name].words for name in covariates], "and")
    return f"at equal values of the {words}" if words else ""


def narrow_intervals(counts: Sequence[int]) -> str:
    """A warning about bootstrap intervals if one of these numbers of animals is too small for them, else empty."""
    if min(counts) >= _ENOUGH_FOR_INTERVALS:
        return ""
    return f"Bootstrap intervals are too narrow for groups of fewer than {_ENOUGH_FOR_INTERVALS} animals."


def smallest_p(n_a: int, n_b: int, permutations: int, *, has_covariates: bool) -> float:
    """The smallest two-sided p that permutations can give.

    Without covariates it is at least the share of the divisions of the experiments into two groups of these sizes that
    give the observed statistic: one, or two if the groups have the same size and can be exchanged.
    """
    least = 1 / (permutations + 1)
    if has_covariates:
        return max(least, 1 / math.factorial(min(n_a + n_b, 20)))
    return max(least, (2 if n_a == n_b else 1) / math.comb(n_a + n_b, n_a))


def warn_if_small(n_a: int, n_b: int, permutations: int, *, has_covariates: bool) -> None:
    """Warn if no difference, however large, could have a p of 0.05 or less."""
    least = smallest_p(n_a, n_b, permutations, has_covariates=has_covariates)
    if least > _LEVEL:
        warnings.warn(
            BsvStoreWarning(
                f"with {n_a} and {n_b} experiments and {number_of(permutations, 'permutation')} the smallest possible "
                f"p by permutation is {least:.2g}, so no difference can reach p <= {_LEVEL:g}",
                hint="Select more experiments." if permutations >= 1 / _LEVEL else "Use more permutations.",
            ),
            stacklevel=caller_level(),
        )


def recorded_covariates(
    value: Any, comparison: Comparison | StructureComparison | None, members: int
) -> CovariateValues:
    """The covariates from their recorded form.

    Parameters
    ----------
    members : int
        Number of members, each of which has a value.

    Raises
    ------
    FormatError
        If they are not those of the comparison.
    """
    wanted = () if comparison is None else comparison.covariates
    if value is None and not wanted:
        return {}
    if not isinstance(value, dict) or tuple(sorted(value)) != tuple(sorted(wanted)) or not wanted:
        raise FormatError(f"the covariates must be {', '.join(wanted) or 'left out'}, got {shown(value)}")
    for name, values in value.items():
        if not isinstance(values, list) or len(values) != members or not all(map(_is_finite, values)):
            raise FormatError(f"the covariate {name} must have a number for each of the {members} members")
    return {name: tuple(float(each) for each in value[name]) for name in wanted}


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
