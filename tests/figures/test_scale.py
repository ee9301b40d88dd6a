"""The labels of color scales."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store.figures.scale import scale_of

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


@pytest.mark.parametrize(
    ("high", "expected"), [(0.163, [0.05, 0.1, 0.15]), (1.0, [0.25, 0.5, 0.75]), (0.7, [0.2, 0.4, 0.6])]
)
def test_labels_of_a_linear_scale_are_evenly_spaced(high: float, expected: list[float]) -> None:
    scale = scale_of([np.array([0.0, high])], theme="light", scale="linear", vmax=high, quantile=None)
    low, *inner, top = scale.ticks()
    assert (low, top) == (0, high)
    # One that would touch the label of the end is left out.
    assert inner == expected[: len(inner)]
    assert len(inner) >= len(expected) - 1


def test_labels_of_a_scale_of_both_signs_have_zero_in_the_middle() -> None:
    scale = scale_of([np.array([-2.0, 2.0])], theme="light", scale="linear", vmax=2.0, quantile=None, is_signed=True)
    assert scale.ticks() == [-2, -1, 0, 1, 2]
