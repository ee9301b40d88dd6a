"""How the two groups of a recipe are compared by voxel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from bsv_store.check import as_float, choice, several, whole_number
from bsv_store.errors import RecipeError
from bsv_store.text import MAX_ID, shown
from bsv_store.vocabulary import (
    CLUSTER_STATISTICS,
    COMPARISON_MAPS,
    COVARIATES,
    TWO_SAMPLE_STATISTICS,
    ClusterStatistic,
    ComparisonMap,
    Covariate,
    TwoSampleStatistic,
)

DEFAULT_CLUSTER_THRESHOLD_P = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A test of the difference between the two groups of a recipe at each voxel, with permutations of the experiments.

    Tested are the voxels where every experiment has data and at least one of them has signal.

    Attributes
    ----------
    permutations : int
        Number of permutations. If there are fewer distinct ones, each is computed once.
    seed : int
        Of the random permutations.
    test : TwoSampleStatistic
    covariates : tuple of Covariate
        Properties of the experiments that are taken into account by the Freedman-Lane procedure.
    cluster : ClusterStatistic
    cluster_threshold_p : float
        Uncorrected p that forms clusters; for 'extent' only.

    Raises
    ------
    RecipeError, InputError
        If a part is not valid; the hint lists the valid values.
    """

    permutations: int = 10_000
    seed: int = 0
    test: TwoSampleStatistic = "welch"
    covariates: tuple[Covariate, ...] = ()
    cluster: ClusterStatistic = "none"
    cluster_threshold_p: float = DEFAULT_CLUSTER_THRESHOLD_P

    def __post_init__(self) -> None:
        threshold = as_float(self.cluster_threshold_p)
        if threshold is None or not 0 < threshold < 1:
            raise RecipeError(
                f"cluster_threshold_p must be a number between 0 and 1, got {shown(self.cluster_threshold_p)}"
            )
        cluster = choice("cluster", self.cluster, CLUSTER_STATISTICS, error=RecipeError).name
        if cluster != "extent" and not math.isclose(threshold, DEFAULT_CLUSTER_THRESHOLD_P):
            raise RecipeError(
                f"cluster_threshold_p cannot be combined with cluster={cluster!r}", hint="Use cluster='extent'."
            )
        covariates = checked_covariates(self.covariates)
        checked = {
            "permutations": checked_draws("permutations", self.permutations),
            "seed": checked_seed(self.seed),
            "test": checked_test(self.test, covariates),
            "covariates": covariates,
            "cluster": cluster,
            "cluster_threshold_p": threshold,
        }
        for name, value in checked.items():
            # The object is frozen; this is the only place that sets a value.
            object.__setattr__(self, name, value)

    @property
    def maps(self) -> tuple[ComparisonMap, ...]:
        """The maps of the result, in the order of ``COMPARISON_MAPS``."""
        return tuple(row.name for row in COMPARISON_MAPS.values() if row.cluster in (None, self.cluster))

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        values: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        values["covariates"] = list(self.covariates)
        if self.cluster != "extent":
            del values["cluster_threshold_p"]
        return values

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Comparison:
        """The comparison from the result of `to_dict`.

        Raises
        ------
        RecipeError
            If this is not a valid comparison, or one with unknown parts.
        """
        if not isinstance(value, Mapping):
            raise RecipeError(f"the comparison of a recipe must be a JSON object, got {shown(value)}")
        known = [part.name for part in fields(cls)]
        unknown = sorted(str(name) for name in set(value).difference(known))
        if unknown:
            raise RecipeError(f"a comparison has no part {shown(unknown[0])}", hint=f"Parts are {', '.join(known)}.")
        return cls(**value)


def checked_covariates(names: str | Sequence[str] | None) -> tuple[Covariate, ...]:
    """The covariates with these names, in the order of `COVARIATES`; without names, none.

    Raises
    ------
    RecipeError
        If a name is not valid.
    """
    if names is None:
        return ()
    given = several("covariates", names, such_as="['injection_volume', 'injection_ap']", error=RecipeError)
    chosen = {choice("covariates", name, COVARIATES, error=RecipeError).name for name in given}
    return tuple(row.name for row in COVARIATES.values() if row.name in chosen)


def checked_test(test: str | None, covariates: Sequence[Covariate]) -> TwoSampleStatistic:
    """The test; by default Welch's t, or Student's t with covariates.

    Raises
    ------
    RecipeError
        If it is not valid, or cannot be combined with covariates.
    """
    if test is None:
        return "student" if covariates else "welch"
    row = choice("test", test, TWO_SAMPLE_STATISTICS, error=RecipeError)
    if covariates and not row.allows_covariates:
        possible = [repr(each.name) for each in TWO_SAMPLE_STATISTICS.values() if each.allows_covariates]
        raise RecipeError(
            f"test={row.name!r} cannot be combined with covariates", hint=f"Use test={', '.join(possible)}."
        )
    return row.name


def checked_seed(seed: int) -> int:
    """The seed, an integer from 0 to 2**63 - 1.

    Raises
    ------
    InputError
        If it is not valid.
    """
    number = whole_number("seed", seed, least=0)
    if number > MAX_ID:
        raise RecipeError(f"seed must be at most {MAX_ID}, got {shown(number)}")
    return number


# More take hours and gigabytes of memory, and give no digit more.
MAX_DRAWS = 1_000_000


def checked_draws(name: str, count: int) -> int:
    """The number of random draws, such as permutations: from 1 to `MAX_DRAWS`.

    Raises
    ------
    InputError
        If it is not valid.
    """
    number = whole_number(name, count, least=1)
    if number > MAX_DRAWS:
        raise RecipeError(f"{name} must be at most {MAX_DRAWS:,}, got {shown(number)}")
    return number
