"""Relabelings of animals: all that exist, or a random sample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Relabelings:
    """Orders of the animals, each of which assigns their data to the labels.

    Attributes
    ----------
    order : ndarray of shape (relabelings, animals), intp
        The label of animal ``j`` becomes that of animal ``order[i, j]``.
    exact : bool
        Whether these are all distinct relabelings, the observed labels among them.
    """

    order: NDArray[np.intp]
    exact: bool

    def __len__(self) -> int:
        return len(self.order)


def relabelings(
    in_a: NDArray[np.bool_], *, exchange_all: bool, limit: int, seed: np.random.SeedSequence
) -> Relabelings:
    """All distinct relabelings if there are at most ``limit``, otherwise a random sample of this size.

    Parameters
    ----------
    in_a : ndarray of shape (animals,), bool
    exchange_all : bool
        Whether every order of the animals is distinct, as with covariates; otherwise, only the groups are compared.
    limit : int
    seed : SeedSequence
    """
    animals, in_first = len(in_a), int(in_a.sum())
    if exchange_all:
        if animals < 20 and factorial(animals) <= limit:
            return Relabelings(np.array(list(permutations(range(animals))), np.intp), exact=True)
    elif comb(animals, in_first) <= limit:
        return Relabelings(_all_groups(in_a), exact=True)
    # The stream of `random` is the same in every release of NumPy, which is not promised for `permuted`.
    keys = np.random.Generator(np.random.PCG64(seed)).random((limit, animals))
    return Relabelings(np.argsort(keys, axis=1, kind="stable"), exact=False)


def _all_groups(in_a: NDArray[np.bool_]) -> NDArray[np.intp]:
    """One order for each set of animals that can be the first group."""
    animals, in_first = len(in_a), int(in_a.sum())
    labels_a, labels_b = np.flatnonzero(in_a), np.flatnonzero(~in_a)
    first = np.array(list(combinations(range(animals), in_first)), np.intp)
    count = len(first)
    is_first = np.zeros((count, animals), np.bool_)
    np.put_along_axis(is_first, first, True, axis=1)
    order = np.empty((count, animals), np.intp)
    order[is_first] = np.tile(labels_a, count)
    order[~is_first] = np.tile(labels_b, count)
    return order
