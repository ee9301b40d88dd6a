"""Quality of the members of a version: animals that differ from the others of their group."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import ExperimentsWarning, InputError

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import Measure

# Iglewicz and Hoaglin's limit for robust z-scores.
LIMIT = 3.5
# Smaller groups have no meaningful median absolute deviation.
MIN_ANIMALS = 5
# A group of two has one correlation for both animals.
_MIN_CORRELATED = 3
# Scales the median absolute deviation to the standard deviation of a normal distribution.
_MAD_SCALE = 1.4826

MEASURE: Measure = "projection_density"


@dataclass(frozen=True, slots=True)
class AnimalQuality:
    """How an animal compares with the others of its group.

    Attributes
    ----------
    experiment_id, group : int
    correlation : float or None
        Pearson correlation of its projection density by structure and hemisphere with the mean of the others.
    signal : float or None
        Projection volume per injection volume, from the experiment list.
    correlation_z, signal_z : float or None
        Robust z-scores within the group: of Fisher's z of the correlation, and of the logarithm of the signal.
    """

    experiment_id: int
    group: int
    correlation: float | None
    signal: float | None
    correlation_z: float | None
    signal_z: float | None

    @property
    def remark(self) -> str:
        """The z-scores that make the animal an outlier; '' if it is none."""
        scores = (("profile", self.correlation_z), ("signal", self.signal_z))
        return ", ".join(
            f"{name} z = {z:+.1f}"
            for name, z in scores
            if z is not None and (z < -LIMIT or (name == "signal" and z > LIMIT))
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the animal is an outlier, in words; empty if it is none."""
        found = []
        if self.correlation_z is not None and self.correlation_z < -LIMIT:
            found.append(f"profile correlates little with its group (robust z = {self.correlation_z:.1f})")
        if self.signal_z is not None and abs(self.signal_z) > LIMIT:
            size = "little" if self.signal_z < 0 else "much"
            found.append(f"{size} signal for its injection volume (robust z = {self.signal_z:+.1f})")
        return tuple(found)


def animal_quality(
    store: Store, version: DatasetVersion, experiments: pd.DataFrame
) -> tuple[tuple[AnimalQuality, ...], str | None]:
    """The quality of each member, by experiment id; and why there are no profiles, if there are none.

    Parameters
    ----------
    store : Store
    version : DatasetVersion
    experiments : pandas.DataFrame
        The rows of ``store.experiments()`` for the members, indexed by id.
    """
    correlations: dict[int, float] = {}
    missing = None
    try:
        correlations = _correlations(store, version)
    except InputError as error:
        # Such as an ontology without the set of summary structures.
        missing = str(error)
    found: list[AnimalQuality] = []
    for group in version.groups:
        ids = list(group.experiment_ids)
        signals = [_signal(experiments, identifier) for identifier in ids]
        known = [correlations.get(identifier) for identifier in ids]
        correlation_z = robust_z([None if each is None else math.atanh(min(each, 1 - 1e-12)) for each in known])
        signal_z = robust_z([None if each is None or each <= 0 else math.log10(each) for each in signals])
        for row in zip(ids, known, signals, correlation_z, signal_z, strict=True):
            identifier, *values = row
            found.append(AnimalQuality(identifier, group.number, *values))
    return tuple(sorted(found, key=lambda each: each.experiment_id)), missing


def robust_z(values: Sequence[float | None]) -> list[float | None]:
    """The distances from the median in units of 1.4826 median absolute deviations; None where they mean nothing.

    Fewer than five known values, or values of which more than half are equal, have no scale.
    """
    known = np.array([value for value in values if value is not None], float)
    if known.size < MIN_ANIMALS:
        return [None] * len(values)
    center = float(np.median(known))
    scale = _MAD_SCALE * float(np.median(np.abs(known - center)))
    if scale == 0:
        return [None] * len(values)
    return [None if value is None else (value - center) / scale for value in values]


def _signal(experiments: pd.DataFrame, identifier: int) -> float | None:
    import pandas as pd

    if identifier not in experiments.index:
        return None
    row = experiments.loc[identifier]
    projection, injection = row["projection_volume"], row["injection_volume"]
    if pd.isna(projection) or pd.isna(injection) or injection <= 0:
        return None
    return float(projection) / float(injection)


def _correlations(store: Store, version: DatasetVersion) -> dict[int, float]:
    """The correlation of each member with the mean of the others of its group, where the store has the tables."""
    members = [identifier for group in version.groups for identifier in group.experiment_ids]
    with warnings.catch_warnings():
        # Members without a table or side have no correlation, which the page states.
        warnings.simplefilter("ignore", ExperimentsWarning)
        selection = Selection(ids=members, include_excluded=True)
        profiles = store.catalog.matrix(selection, rows="experiments", measure=MEASURE)
    found: dict[int, float] = {}
    for group in version.groups:
        known = profiles.reindex([each for each in group.experiment_ids if each in profiles.index]).dropna(how="all")
        if len(known) < _MIN_CORRELATED:
            continue
        values: NDArray[np.float64] = np.nan_to_num(known.to_numpy(float))
        total = values.sum(axis=0)
        for identifier, profile in zip(known.index, values, strict=True):
            others = (total - profile) / (len(values) - 1)
            if profile.std() > 0 and others.std() > 0:
                found[int(identifier)] = float(np.corrcoef(profile, others)[0, 1])
    return found
