"""The members of a version with the weights of the experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
