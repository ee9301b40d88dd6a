"""The table of a stored comparison by structure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.averaging.comparison.structures import comparison_frame
from bsv_store.averaging.inputs import WITHOUT_SIDE, WITHOUT_TABLE
from bsv_store.catalog.search.found import check_limit
from bsv_store.check import choice
from bsv_store.datasets.result.columns import COLUMNS, SIGNAL
from bsv_store.errors import InputError
from bsv_store.statistics.features import TwoGroupTest
from bsv_store.vocabulary import COMPARISON_ORDERS, COVARIATES, MEASURES

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.datasets.share.source import VersionSource
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
    has_signal = (signal != 0).any(axis=0)
    frame = comparison_frame(structures, found, has_signal, order, limit)
    reasons = {member.experiment_id: member.reason for member in version.left_out}
    without_covariate = [f"the {COVARIATES[name].words} is not known" for name in comparison.covariates]
    given = {name: value for name, value in comparison.to_dict().items() if name not in _NOT_SHOWN}
    frame.attrs.update(
        {
            **given,
            "missing": version.recipe.missing,
            "dataset": version.ref,
            "labels": [group.label for group in version.groups],
            "n": [group.n for group in version.groups],
            "experiment_ids": [list(group.experiment_ids) for group in version.groups],
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
            "recipe": version.recipe.to_json(),
            "fingerprint": version.fingerprint,
        }
    )
    return frame


# What determines which structures are compared; these are in the table itself.
_NOT_SHOWN = ("by", "targets", "structure_set", "within", "include_sources", "include_fiber_tracts")


def _texts(file: Any) -> list[list[str]]:
    return [list(file[name].asstr()[:]) for name in ("structure", "structure_name", "hemisphere")]


def _left_out(reasons: dict[int, str | None], these: list[str]) -> list[int]:
    return [identifier for identifier, reason in reasons.items() if reason in these]
