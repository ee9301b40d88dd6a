"""The arrays of a comparison by structure in a result file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bsv_store.averaging.comparison.structure_values import TEST_ARRAYS
from bsv_store.datasets.result.contents import describe_variable
from bsv_store.vocabulary import MEASURES

if TYPE_CHECKING:
    import h5py

    from bsv_store.averaging.recipe import Recipe

SIGNAL: Final = "signal"
COLUMNS: Final = TEST_ARRAYS
"""The columns with the results of the test, one value for each feature."""

PROBABILITIES: Final = tuple(name for name in COLUMNS if name == "p" or name.startswith("p_"))

_TYPE = np.dtype("<f8")
_CHUNK_BYTES = 1_250_000
_WITH_UNIT = (SIGNAL, "mean_a", "mean_b", "difference", "lower", "upper")
_WORDS = {
    SIGNAL: "value of the member, NaN = left out",
    "mean_a": "mean of the first group",
    "mean_b": "mean of the second group",
    "difference": "mean of the first group minus mean of the second, with covariates at equal values of these",
    "effect_size": "effect size of the difference",
    "t": "t statistic of the difference",
    "p": "two-sided p of t under normality",
    "p_permutation": "two-sided p by permutation, not corrected",
    "p_fdr": "p corrected by the procedure of Benjamini and Hochberg",
    "p_max_t": "two-sided p by permutation, corrected for all features by the maximum statistic",
    "lower": "lower end of the bootstrap interval of the difference",
    "upper": "upper end of the bootstrap interval of the difference",
}


def create_columns(file: h5py.File, recipe: Recipe) -> None:
    """Create the arrays, whose dimensions the file has."""
    members, count = len(file["member"]), len(file["feature"])
    rows = max(1, min(members, _CHUNK_BYTES // (_TYPE.itemsize * count)))
    _create(file, SIGNAL, recipe, ("member", "feature"), (rows, count))
    for name in COLUMNS:
        _create(file, name, recipe, ("feature",), (count,))


def _create(file: h5py.File, name: str, recipe: Recipe, dimensions: tuple[str, ...], chunks: tuple[int, ...]) -> None:
    comparison = recipe.structure_comparison
    assert comparison is not None
    options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "fletcher32": True}
    shape = tuple(len(file[each]) for each in dimensions)
    dataset = file.create_dataset(name, shape=shape, dtype=_TYPE, chunks=chunks, **options)
    for axis, scale in enumerate(dimensions):
        dataset.dims[axis].attach_scale(file[scale])
    unit = MEASURES[comparison.measure].unit if name in _WITH_UNIT else ""
    describe_variable(dataset, long_name=_WORDS[name], units=unit or "1")
    dataset.attrs["_FillValue"] = _TYPE.type(np.nan)
    if name in PROBABILITIES:
        dataset.attrs["valid_range"] = np.array([0, 1], _TYPE)
