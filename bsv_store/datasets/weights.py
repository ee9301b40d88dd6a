"""The weights of the experiments in tables and texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.vocabulary import ANIMAL_WEIGHTS

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.datasets.share.source import VersionSource


def members_with_weights(version: VersionSource) -> pd.DataFrame:
    """All selected experiments, one row each, as `DatasetVersion.members`.

    There is a column ``weight`` only if the recipe weights experiments. It is missing for those left out.

    Raises
    ------
    DamagedFileError
        If only the result file has the weights, see `DatasetVersion.weights`, and it is missing or damaged.
    """
    frame = version.members
    if version.recipe.weight_by == "none":
        return frame.drop(columns="weight")
    frame["weight"] = frame["experiment_id"].map(version.weights()).astype("Float64")
    return frame


def weight_words(version: VersionSource) -> str:
    """How a version weights experiments, such as 'weighted by injection overlap: 0.12 to 0.98'; '' if it does not.

    Raises
    ------
    DamagedFileError
        See `members_with_weights`.
    """
    if version.recipe.weight_by == "none":
        return ""
    values = version.weights().values()
    ends = dict.fromkeys(f"{value:.3g}" for value in (min(values), max(values)))
    return f"{ANIMAL_WEIGHTS[version.recipe.weight_by].rule}: {' to '.join(ends)}"
