"""The labels of color scales."""

from __future__ import annotations

import numpy as np
import pytest

from bsv_store.figures.scale import number_text, scale_of
from bsv_store.vocabulary import ColorScale

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


@pytest.mark.parametrize("scale", ["linear", "power"])
@pytest.mark.parametrize("high", [1, 2, 3, 5, 9, 12, 105, 2992])
def test_counts_are_labeled_with_whole_numbers(high: int, scale: ColorScale) -> None:
    # The quantile of whole numbers lies between two of them.
    found = scale_of([np.arange(high + 1)], theme="light", scale=scale, quantile=0.95, is_count=True)
    assert found.high <= high
    assert all(tick.is_integer() for tick in found.ticks())
    assert number_text(found.ticks()[-1]) == f"{int(found.high):,}"


def test_counts_on_a_logarithmic_scale_are_labeled_with_whole_numbers() -> None:
    scale = scale_of([np.arange(13)], theme="light", scale="log", quantile=1.0, is_count=True)
    assert scale.ticks()[1:-1] == [1]


def test_a_logarithmic_scale_is_labeled_with_powers_of_ten() -> None:
    scale = scale_of([np.array([0.0, 0.87])], theme="light", scale="log", vmax=0.87)
    assert scale.ticks()[1:-1] == [0.01, 0.1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.163, "0.16"), (-2.5, "−2.5"), (99.7, "100"), (123_456.0, "123,456"), (0.00087, "8.7×10⁻⁴"),
     (-2e-12, "−2×10⁻¹²"), (3.4e7, "3.4×10⁷")],
)  # fmt: skip
def test_values_are_printed_as_in_a_paper(value: float, text: str) -> None:
    assert number_text(value) == text
