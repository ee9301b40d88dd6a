"""Two-group tests written down plainly in float64, one feature and one relabeling at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.statistics.relabelings import Relabelings

Floats = NDArray[np.float64]


def student(y: Floats, x: Floats, z: Floats) -> float:
    """T of the coefficient of x in the regression of y on x and z, as textbooks have it."""
    design = np.column_stack([x, z])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ y
    residuals = y - design @ coefficients
    variance = residuals @ residuals / (len(y) - design.shape[1])
    return float(coefficients[0] / np.sqrt(variance * inverse[0, 0]))


def welch(y: Floats, x: Floats) -> float:
    a, b = y[x == 1], y[x == 0]
    return float((a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)))


def permuted(values: Any, in_a: Any, orders: Relabelings, *, covariates: Any = None, statistic: str = "student") -> Any:
    """T of the observed labels, of shape (features,), and of each relabeling, of shape (relabelings, features)."""
    values, x = np.asarray(values, np.float64), np.asarray(in_a, np.float64)
    constant = np.ones((len(x), 1))
    z = constant if covariates is None else np.hstack([constant, covariates])

    def t(y: Floats) -> float:
        return welch(y, x) if statistic == "welch" else student(y, x, z)

    null = np.empty((len(orders), values.shape[1]))
    for number, order in enumerate(orders.order):
        # The label of animal j becomes that of animal order[j]: its data become those of that animal.
        moved = np.argsort(order)
        for feature, y in enumerate(values.T):
            fitted = z @ np.linalg.lstsq(z, y, rcond=None)[0]
            null[number, feature] = t(fitted + (y - fitted)[moved])
    return np.array([t(y) for y in values.T]), null


def p_values(observed: Any, null: Any, *, exact: bool) -> tuple[Any, Any]:
    """P by permutation of each feature, and corrected by the largest absolute t."""
    extra = 0 if exact else 1
    least = np.abs(observed) * (1 - 1e-9)
    of_each = (np.abs(null) >= least).sum(axis=0) + extra
    of_largest = (np.abs(null).max(axis=1)[:, np.newaxis] >= least).sum(axis=0) + extra
    return of_each / (len(null) + extra), of_largest / (len(null) + extra)
