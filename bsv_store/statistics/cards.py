"""The notebook card of the tests of two groups, by feature and by voxel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.html import card
from bsv_store.text import number_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def card_of_test(
    noun: str,
    *,
    n: tuple[int, int],
    t: NDArray[Any],
    p_max_t: NDArray[Any],
    permutations: int,
    exact: bool,
) -> str:
    """The card of a test for each of many features or voxels.

    Parameters
    ----------
    noun : str
        'feature' or 'voxel'.
    n : (int, int)
        Numbers of animals.
    t, p_max_t : ndarray of float, same shape
        t is not finite where nothing was tested.
    permutations : int
    exact : bool
        Whether all relabelings were enumerated.
    """
    tested = np.isfinite(t)
    corrected = p_max_t[tested]
    facts = [
        ("Animals", f"{n[0]} and {n[1]}"),
        ("Tested", f"{int(tested.sum()):,} of {number_of(tested.size, noun)}"),
        ("Permutations", f"{permutations:,}, {'all' if exact else 'random'}"),
        ("Smallest corrected p", f"{corrected.min():.3g}" if corrected.size else None),
        ("Corrected p <= 0.05", f"{int((corrected <= 0.05).sum()):,}"),
    ]
    return card("Test of two groups", kind=f"by {noun}", facts=facts)
