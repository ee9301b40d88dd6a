"""The members of a version with the weights of the experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.datasets.share.source import VersionSource


def members_with_weights(version: VersionSource) -> pd.DataFrame:
    """All selected experiments, one row each, as `DatasetVersion.members`.

    If the recipe weights experiments, there is a column ``weight``, which is missing for those left out.

    Raises
    ------
    DamagedFileError
        If the recipe weights experiments, and the result file is missing or damaged.
    """
    frame = version.members
    if version.recipe.weight_by != "none":
        frame["weight"] = frame["experiment_id"].map(version.weights()).astype("Float64")
    return frame
