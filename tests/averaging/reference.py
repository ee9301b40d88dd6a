"""A plain reference: dense, float64, one volume after the other, the rules taken literally. Slow on purpose."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TinyGrid:
    """Stands in for a CCF grid where the real one would be slow."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Member:
    """One volume as a test hands it to the kernel and to the reference."""

    array: NDArray[np.float32]
    group: int = 0
    divisor: float = 1.0
    injected: Any = "right"
    weights: Array | None = None
    exclude: Array | None = None


def mirror(volume: Array) -> Array:
    result = np.empty_like(volume)
    width = volume.shape[2]
    for i in range(width):
        result[:, :, i] = volume[:, :, width - 1 - i]
    return result


def processed(member: Member, rule: str) -> tuple[Array, Array]:
    """Values and weights of one member, after normalization, masks and the hemisphere rule; weight 0 is not counted."""
    values = member.array.astype(np.float64) / member.divisor
    weights = np.ones(values.shape) if member.weights is None else member.weights.astype(np.float64)
    weights = np.where(np.isnan(weights), 0.0, weights)
    weights[np.isnan(values)] = 0.0
    if member.exclude is not None:
        weights[~(member.exclude <= 0)] = 0.0
    values = np.where(weights > 0, values, 0.0)
    left = np.zeros(values.shape, bool)
    left[:, :, : values.shape[2] // 2] = True
    if rule == "subtract_contralateral":
        weights = np.minimum(weights, mirror(weights))
        injected_side = left if member.injected == "left" else ~left
        values = np.where(injected_side, values - mirror(values), 0.0)
        values = np.where(weights > 0, values, 0.0)
    elif (rule == "flip_to_left" and member.injected == "right") or (
        rule in ("flip_to_right", "fold_ipsilateral") and member.injected == "left"
    ):
        values, weights = mirror(values), mirror(weights)
    return values, weights


def statistics(members: Sequence[Member], group: int, rule: str) -> dict[str, Array]:
    """Each statistic of one group, as in the textbook, all members at once."""
    pairs = [processed(member, rule) for member in members if member.group == group]
    return statistics_of(pairs, members[0].array.shape)


def statistics_of(pairs: Sequence[tuple[Array, Array]], shape: tuple[int, ...]) -> dict[str, Array]:
    """Each statistic of some values and their weights, which are 0 where a value is not counted."""
    if not pairs:
        missing = np.full(shape, np.nan)
        return {
            "mean": np.zeros(shape),
            "sum": np.zeros(shape),
            "sd": missing,
            "sem": missing,
            "min": missing,
            "max": missing,
            "n": np.zeros(shape),
        }
    values = np.stack([pair[0] for pair in pairs])
    weights = np.stack([pair[1] for pair in pairs])
    n = (weights > 0).sum(axis=0)
    with np.errstate(all="ignore"):
        total_weight = weights.sum(axis=0)
        mean = (weights * values).sum(axis=0) / total_weight
        # Over the pairs of members: as the variance around the mean, but nothing cancels.
        couples = list(itertools.combinations(range(len(values)), 2))
        squares = sum((weights[i] * weights[j] * (values[i] - values[j]) ** 2 for i, j in couples), np.zeros(shape))
        freedom = 2 * sum((weights[i] * weights[j] for i, j in couples), np.zeros(shape))
        sd = np.where(n >= 2, np.sqrt(squares / freedom), np.nan)
        sem = sd / np.sqrt(total_weight**2 / (weights**2).sum(axis=0))
        low = np.where(weights > 0, values, np.inf).min(axis=0)
        high = np.where(weights > 0, values, -np.inf).max(axis=0)
    return {
        "mean": np.where(n > 0, mean, np.nan),
        "sum": np.where(n > 0, (weights * values).sum(axis=0), np.nan),
        "sd": sd,
        "sem": sem,
        "min": np.where(n > 0, low, np.nan),
        "max": np.where(n > 0, high, np.nan),
        "n": n,
    }
