"""The comparison of two groups by structure: a table of tests, with the animals as replicates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.comparison.design import (
    check_design,
    check_groups,
    covariate_matrix,
    known_covariates,
    warn_if_small,
)
from bsv_store.averaging.comparison.structure_comparison import StructureComparison
from bsv_store.averaging.comparison.structure_values import compare_values
from bsv_store.averaging.grouping.assignment import assign
from bsv_store.averaging.grouping.facts import experiment_facts
from bsv_store.averaging.grouping.membership import read_membership
from bsv_store.averaging.recipe import canonical_json
from bsv_store.catalog.search.projection_profile import targets_to_rank
from bsv_store.catalog.search.signal import read_signal
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.without_unionizes import (
    report_left_out,
    report_undecided,
    report_without_covariate,
    report_without_side,
)
from bsv_store.check import choice
from bsv_store.errors import InputError, MissingDataError
from bsv_store.vocabulary import (
    COVARIATES,
    MEASURES,
    MISSING_POLICIES,
    ComparisonOrder,
)

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from bsv_store.averaging.comparison.design import CovariateValues
    from bsv_store.averaging.grouping.assignment import Group
    from bsv_store.averaging.grouping.grouping import SelectionGrouping
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.progress import Progress
    from bsv_store.statistics import TwoGroupTest
    from bsv_store.vocabulary import (
        MissingPolicy,
    )

_RECIPE_VERSION = 1
# The structures are recorded by their ids instead.
_RECORDED = (
    *("measure", "hemisphere", "test", "effect_size", "covariates", "permutations", "bootstrap", "confidence", "seed"),
)


def compare_structures(
    connection: Connection,
    sides: SelectionGrouping,
    comparison: StructureComparison,
    *,
    targets: StructureRef | Sequence[StructureRef] | None,
    structure_set: int | None,
    within: StructureRef | None,
    sort_by: ComparisonOrder,
    limit: int | None,
    missing: MissingPolicy,
    progress: Progress | None,
) -> pd.DataFrame:
    """See `Store.compare_structures`."""
    recipe: dict[str, Any] = {
        "compare": "structures",
        "version": _RECIPE_VERSION,
        "groups": sides.to_dict()["groups"],
        **{name: value for name, value in comparison.to_dict().items() if name in _RECORDED},
        "missing": choice("missing", missing, MISSING_POLICIES).name,
    }
    animals = _animals(connection, sides, recipe)
    rows = targets_to_rank(
        connection,
        animals.ids,
        targets=targets,
        structure_set=structure_set,
        within=within,
        include_sources=comparison.include_sources,
        include_fiber_tracts=comparison.include_fiber_tracts,
    )
    if not rows:
        raise InputError("there are no structures to compare", hint="Name others, or a larger region for within.")
    recipe["structures"] = [row.id for row in rows]
    features = [(side, row) for side in recipe["hemisphere"] for row in rows]
    values = np.hstack(
        [
            read_signal(connection, animals.ids, rows, measure=recipe["measure"], hemisphere=side).values
            for side in recipe["hemisphere"]
        ]
    )
    found = compare_values(comparison, values, animals.in_a, covariate_matrix(animals.covariates), progress)
    warn_if_small(found.n_a, found.n_b, comparison.permutations, has_covariates=bool(comparison.covariates))
    has_signal = (values != 0).any(axis=0)
    untested = [feature for feature, is_tested in zip(features, has_signal, strict=True) if not is_tested]
    named = [(row.id, row.acronym, row.name, side) for side, row in features]
    frame = comparison_frame(named, found, has_signal, sort_by, limit)
    frame.attrs.update(
        {
            **{
                key: value for key, value in recipe.items() if key not in ("compare", "version", "groups", "structures")
            },
            "labels": [group.label for group in animals.groups],
            "n": [group.n for group in animals.groups],
            "experiment_ids": [list(group.experiment_ids) for group in animals.groups],
            "unit": MEASURES[recipe["measure"]].unit,
            "tests": int(np.count_nonzero(~np.isnan(found.t))),
            "permutations": found.permutations,
            "exact": found.exact,
            "without_signal": [f"{row.acronym} ({side})" for side, row in untested],
            **animals.left_out,
            "recipe": canonical_json(recipe),
            "fingerprint": _fingerprint(recipe, animals, values),
        }
    )
    return frame


@dataclass(frozen=True, slots=True, eq=False)
class _Animals:
    """The experiments that are compared.

    Attributes
    ----------
    ids : list of int
        Ascending.
    in_a : ndarray of bool, shape (experiments,)
        Which of them are in the first group.
    groups : tuple of Group
    covariates : mapping of covariate to tuple of float
        In the order of the ids.
    left_out : mapping of str to list of int
        Ids of the others by what is missing.
    """

    ids: list[int]
    in_a: NDArray[np.bool_]
    groups: tuple[Group, ...]
    covariates: CovariateValues
    left_out: Mapping[str, list[int]]


def _animals(connection: Connection, sides: SelectionGrouping, recipe: Mapping[str, Any]) -> _Animals:
    missing, names = recipe["missing"], recipe["covariates"]
    for side in sides.groups:
        report_undecided(connection, side.selection, missing=missing)
    membership = read_membership(connection, sides, allow_empty=False)
    facts = experiment_facts(connection, frozenset().union(*membership.values()))
    # Before anything is left out, so that an experiment in both groups is always an error.
    assign(sides, facts, membership=membership)
    selected = [each.experiment_id for each in facts]
    without_table = uncovered_among(connection, selected, "projection")
    report_left_out(without_table, missing=missing)
    without_side = report_without_side(connection, selected, recipe["hemisphere"], missing=missing)
    left = {*without_table, *without_side}
    known = known_covariates(connection, names, [each for each in facts if each.experiment_id not in left])
    without_covariate = set[int]()
    for name, values in known.items():
        absent = [each for each in selected if each not in values and each not in left]
        report_without_covariate(absent, COVARIATES[name].words, missing=missing)
        without_covariate |= set(absent)
    remaining = [each for each in facts if each.experiment_id not in left | without_covariate]
    if not remaining:
        raise MissingDataError(
            f"none of the {len(selected):,} selected experiments has the data that the comparison needs",
            hint="Download the unionize tables: bsv-store sync unionizes, with the same selections or --all.",
        )
    assignment = assign(sides, remaining, membership=membership)
    check_groups(assignment.groups)
    ids = [each.experiment_id for each in remaining]
    first = set(assignment.groups[0].experiment_ids)
    in_a = np.array([each in first for each in ids])
    covariates = {name: tuple(known[name][each] for each in ids) for name in names}
    check_design(in_a, covariates)
    return _Animals(
        ids,
        in_a,
        assignment.groups,
        covariates,
        {
            "without_unionizes": list(without_table),
            "without_hemisphere": without_side,
            "without_covariate": sorted(without_covariate),
        },
    )


def comparison_frame(
    features: Sequence[tuple[int, str, str, str]],
    test: TwoGroupTest,
    has_signal: NDArray[np.bool_],
    order: ComparisonOrder,
    limit: int | None,
) -> pd.DataFrame:
    """The table of a comparison, sorted.

    Parameters
    ----------
    features : sequence of (int, str, str, str)
        Id, acronym and name of the structure, and the hemisphere, of each test.
    test : TwoGroupTest
    has_signal : ndarray of bool, shape (features,)
        The rows to return.
    order : ComparisonOrder
    limit : int or None
        Maximum number of rows to return.
    """
    import pandas as pd

    frame = pd.DataFrame(
        {
            "structure": pd.Series([acronym for _, acronym, _, _ in features], dtype=object),
            "structure_id": np.array([identifier for identifier, *_ in features], dtype=np.int64),
            "structure_name": pd.Series([name for _, _, name, _ in features], dtype=object),
            "hemisphere": pd.Series([side for *_, side in features], dtype=object),
            "mean_a": test.mean_a,
            "mean_b": test.mean_b,
            "difference": test.difference,
            "lower": test.lower,
            "upper": test.upper,
            "effect_size": test.effect_size,
            "t": test.t,
            "p": test.p,
            "p_permutation": test.p_permutation,
            "p_fdr": test.p_fdr,
            "p_max_t": test.p_max_t,
        }
    )
    chosen = _order(test, order)
    return frame.iloc[chosen[has_signal[chosen]][:limit]].reset_index(drop=True)


def _order(test: TwoGroupTest, order: ComparisonOrder) -> NDArray[np.intp]:
    """The order of the rows; NaN last, ties in graph order."""
    effect = np.abs(test.effect_size)
    largest_effect = np.where(np.isnan(effect), np.inf, -effect)
    if order == "p":
        p = np.where(np.isnan(test.p_permutation), np.inf, test.p_permutation)
        return np.lexsort((largest_effect, p))
    if order == "effect_size":
        return np.argsort(largest_effect, kind="stable")
    if order == "difference":
        return np.argsort(-np.abs(test.difference), kind="stable")
    assert_never(order)


def _fingerprint(recipe: Mapping[str, Any], animals: _Animals, values: NDArray[np.float64]) -> str:
    """SHA-256 of recipe, members, covariates and values: equal for equal results."""
    content = {
        "recipe": recipe,
        "groups": [sorted(group.experiment_ids) for group in animals.groups],
        "covariates": {name: list(known) for name, known in animals.covariates.items()},
        "values": hashlib.sha256(np.ascontiguousarray(values, dtype="<f8").data).hexdigest(),
    }
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()
