"""The table of a comparison by structure, stored or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.averaging.comparison.design import covariate_matrix, unknown_covariate, warn_if_small
from bsv_store.averaging.comparison.structure_values import compare_values, features
from bsv_store.averaging.comparison.structures import comparison_frame
from bsv_store.averaging.inputs import WITHOUT_SIDE, WITHOUT_TABLE
from bsv_store.catalog.search.found import check_limit
from bsv_store.catalog.without_unionizes import report_left_out, report_unknown_sides, report_without_covariate
from bsv_store.check import choice
from bsv_store.datasets.result.columns import COLUMNS, SIGNAL
from bsv_store.errors import InputError
from bsv_store.statistics.features import TwoGroupTest
from bsv_store.vocabulary import COMPARISON_ORDERS, COVARIATES, MEASURES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.averaging.comparison.structure_comparison import StructureComparison
    from bsv_store.averaging.grouping.assignment import Group
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import ComparisonOrder


def structure_table(
    version: VersionSource, *, sort_by: ComparisonOrder = "p", limit: int | None = None
) -> pd.DataFrame:
    """See `DatasetVersion.comparison_table`."""
    comparison = version.recipe.structure_comparison
    if comparison is None:
        raise InputError(
            f"{version.ref} is not a comparison by structure",
            hint="Compare two groups and store the result: bsv-store compare A B --name NAME.",
        )
    check_limit(limit)
    order = choice("sort_by", sort_by, COMPARISON_ORDERS).name
    with version.open() as file:
        arrays = {name: file[name][:] for name in COLUMNS}
        facts = dict(file["t"].attrs)
        # Those that were left out are NaN.
        signal = file[SIGNAL][: sum(group.n for group in version.groups)]
        structures = list(zip(file["structure_id"][:].tolist(), *_texts(file), strict=True))
    first, second = version.groups
    found = TwoGroupTest(
        **arrays, n_a=first.n, n_b=second.n, permutations=int(facts["permutations"]), exact=bool(facts["exact"])
    )
    reasons = {member.experiment_id: str(member.reason) for member in version.left_out}
    has_signal = (signal != 0).any(axis=0)
    frame = _table(version.recipe, comparison, version.groups, reasons, structures, found, has_signal, order, limit)
    frame.attrs.update({"dataset": version.ref, "fingerprint": version.fingerprint})
    return frame


def computed_table(
    inputs: Inputs, *, sort_by: ComparisonOrder, limit: int | None, progress: Progress | None
) -> pd.DataFrame:
    """The table of a comparison by structure that is not stored; its fingerprint is the one that a version would have.

    Raises
    ------
    InputError
        If no animal has signal in any of the structures, or SciPy is not installed.
    """
    comparison, values = inputs.recipe.structure_comparison, inputs.table
    assert comparison is not None
    assert values is not None
    found = compare_values(
        comparison, values.values, inputs.in_first_group(), covariate_matrix(inputs.covariates), progress
    )
    structures = [(each.id, each.acronym, each.name, side) for side, each in features(comparison, values.structures)]
    reasons = {left.experiment_id: left.reason for left in inputs.left_out}
    has_signal = (values.values != 0).any(axis=0)
    frame = _table(inputs.recipe, comparison, inputs.groups, reasons, structures, found, has_signal, sort_by, limit)
    frame.attrs["fingerprint"] = inputs.fingerprint()
    return frame


def warn_about(frame: pd.DataFrame, comparison: StructureComparison) -> None:
    """Warn about the experiments that were left out of a table, and about groups that are too small."""
    facts = frame.attrs
    report_left_out(facts["without_unionizes"], missing="leave_out")
    report_unknown_sides(facts["without_hemisphere"], comparison.hemisphere, missing="leave_out")
    words = " or ".join(COVARIATES[name].words for name in comparison.covariates)
    report_without_covariate(facts["without_covariate"], words, missing="leave_out")
    n_a, n_b = facts["n"]
    warn_if_small(n_a, n_b, comparison.permutations, has_covariates=bool(comparison.covariates))


def _table(
    recipe: Recipe,
    comparison: StructureComparison,
    groups: Sequence[Group | GroupInfo],
    reasons: Mapping[int, str],
    structures: Sequence[tuple[int, str, str, str]],
    found: TwoGroupTest,
    has_signal: NDArray[np.bool_],
    order: ComparisonOrder,
    limit: int | None,
) -> pd.DataFrame:
    """The table with the attributes that a stored comparison and one that is not stored have.

    Parameters
    ----------
    reasons : mapping of int to str
        Why experiments were left out.
    structures : sequence of (int, str, str, str)
        Id, acronym and name of the structure, and the hemisphere, of each test.
    has_signal : ndarray of bool, shape (tests,)
    """
    frame = comparison_frame(structures, found, has_signal, order, limit)
    without_covariate = [unknown_covariate(name) for name in comparison.covariates]
    given = {name: value for name, value in comparison.to_dict().items() if name not in _NOT_SHOWN}
    frame.attrs.update(
        {
            **given,
            "missing": recipe.missing,
            "labels": [group.label for group in groups],
            "n": [group.n for group in groups],
            "experiment_ids": [list(group.experiment_ids) for group in groups],
            "unit": MEASURES[comparison.measure].unit,
            "tests": int(np.count_nonzero(~np.isnan(found.t))),
            "permutations": found.permutations,
            "exact": found.exact,
            "without_signal": [
                f"{acronym} ({side})"
                for (_, acronym, _, side), is_there in zip(structures, has_signal, strict=True)
                if not is_there
            ],
            "without_unionizes": _left_out(reasons, [WITHOUT_TABLE]),
            "without_hemisphere": _left_out(reasons, [WITHOUT_SIDE]),
            "without_covariate": _left_out(reasons, without_covariate),
            "recipe": recipe.to_json(),
        }
    )
    return frame


# What determines which structures are compared; these are in the table itself.
_NOT_SHOWN = ("by", "targets", "structure_set", "within", "include_sources", "include_fiber_tracts")


def _texts(file: Any) -> list[list[str]]:
    return [list(file[name].asstr()[:]) for name in ("structure", "structure_name", "hemisphere")]


def _left_out(reasons: Mapping[int, str], these: Sequence[str]) -> list[int]:
    return [identifier for identifier, reason in reasons.items() if reason in these]
