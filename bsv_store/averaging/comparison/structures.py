"""The table of a comparison of two groups by structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.statistics import TwoGroupTest
    from bsv_store.vocabulary import ComparisonOrder


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
