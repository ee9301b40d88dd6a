"""The hemisphere rules on one volume, as mathematics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import half_names, halves, process_volume
from bsv_store.errors import RecipeError
from bsv_store.vocabulary import HEMISPHERE_RULES, Hemisphere, HemisphereRule
from tests.examples import examples

SHAPE = (4, 3, 6)
few = examples(80)
sides: st.SearchStrategy[Hemisphere] = st.sampled_from(["left", "right"])
rules: st.SearchStrategy[HemisphereRule] = st.sampled_from([row.name for row in HEMISPHERE_RULES.values()])
OTHER: dict[Hemisphere, Hemisphere] = {"left": "right", "right": "left"}


@st.composite
def volumes(draw: st.DrawFn, gaps: bool = True) -> NDArray[np.float32]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.random(SHAPE, dtype=np.float32)
    array[rng.random(SHAPE) < 0.5] = 0
    if gaps:
        array[rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    return array


def mirrored(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array[..., ::-1])


@few
@given(volumes(), sides)
def test_flipped_twice_is_as_it_was(array: NDArray[np.float32], side: Hemisphere) -> None:
    there: HemisphereRule = "flip_to_right" if side == "left" else "flip_to_left"
    back: HemisphereRule = "flip_to_left" if side == "left" else "flip_to_right"
    flipped = process_volume(array, hemisphere_rule=there, injected=side)
    np.testing.assert_array_equal(flipped, array[..., ::-1])
    np.testing.assert_array_equal(process_volume(flipped, hemisphere_rule=back, injected=OTHER[side]), array)


@few
@given(volumes(), sides)
def test_a_volume_on_the_side_asked_for_is_not_flipped(array: NDArray[np.float32], side: Hemisphere) -> None:
    rule: HemisphereRule = "flip_to_right" if side == "right" else "flip_to_left"
    np.testing.assert_array_equal(process_volume(array, hemisphere_rule=rule, injected=side), array)


@few
@given(volumes(), rules, sides, st.sampled_from([0.37, 1.0, 2.5]))
def test_a_mirrored_brain_gives_the_mirrored_result(
    array: NDArray[np.float32], rule: HemisphereRule, side: Hemisphere, divisor: float
) -> None:
    """No rule prefers a side, but for those that say so by their name."""
    opposite: dict[HemisphereRule, HemisphereRule] = {
        "flip_to_right": "flip_to_left",
        "flip_to_left": "flip_to_right",
        "fold_ipsilateral": "flip_to_left",
    }
    straight = process_volume(array, divisor=divisor, hemisphere_rule=rule, injected=side)
    rule = opposite.get(rule, rule)
    other = process_volume(mirrored(array), divisor=divisor, hemisphere_rule=rule, injected=OTHER[side])
    np.testing.assert_array_equal(mirrored(other), straight)


@few
@given(volumes(), volumes(), rules, sides, st.sampled_from([0.5, 2.0]))
def test_every_rule_is_linear(
    one: NDArray[np.float32], other: NDArray[np.float32], rule: HemisphereRule, side: Hemisphere, factor: float
) -> None:
    """So sums of volumes can be subtracted and flipped at once."""

    def process(array: NDArray[Any]) -> NDArray[np.float64]:
        return process_volume(array, hemisphere_rule=rule, injected=side)

    together = process(one.astype(np.float64) + factor * other.astype(np.float64))
    np.testing.assert_allclose(together, process(one) + factor * process(other), rtol=1e-12, atol=1e-12)


@few
@given(volumes(), rules, sides, st.sampled_from([0.25, 8.0]))
def test_normalization_scales(
    array: NDArray[np.float32], rule: HemisphereRule, side: Hemisphere, divisor: float
) -> None:
    plain = process_volume(array, hemisphere_rule=rule, injected=side)
    # Exact: the divisors are powers of two.
    scaled = process_volume(array, divisor=divisor, hemisphere_rule=rule, injected=side)
    np.testing.assert_array_equal(scaled, plain / divisor)


@few
@given(volumes(gaps=False), sides)
def test_subtraction_keeps_one_side_and_is_undone_by_adding_the_mirror(
    array: NDArray[np.float32], side: Hemisphere
) -> None:
    result = process_volume(array, hemisphere_rule="subtract_contralateral", injected=side)
    kept, zero = (result[..., :3], result[..., 3:]) if side == "left" else (result[..., 3:], result[..., :3])
    assert (zero == 0).all()
    exact = array.astype(np.float64)
    mine, other = (
        (exact[..., :3], mirrored(exact)[..., :3]) if side == "left" else (exact[..., 3:], mirrored(exact)[..., 3:])
    )
    np.testing.assert_allclose(kept + other, mine, rtol=1e-12, atol=1e-15)


@few
@given(volumes(gaps=False))
def test_a_symmetric_brain_has_nothing_left_after_subtraction(array: NDArray[np.float32]) -> None:
    symmetric = np.maximum(array, array[..., ::-1])
    assert (process_volume(symmetric, hemisphere_rule="subtract_contralateral", injected="left") == 0).all()


@few
@given(volumes(), sides)
def test_halves_put_together_are_the_folded_whole(array: NDArray[np.float32], side: Hemisphere) -> None:
    folded = process_volume(array, hemisphere_rule="fold_ipsilateral", injected=side)
    ipsilateral, contralateral = halves(folded)
    np.testing.assert_array_equal(np.concatenate([contralateral[..., ::-1], ipsilateral], axis=-1), folded)


@pytest.mark.parametrize("rule", [rule for rule in HEMISPHERE_RULES if rule != "none"])
def test_a_side_that_is_not_known_is_an_error(rule: HemisphereRule) -> None:
    with pytest.raises(RecipeError, match="experiment 12"):
        process_volume(np.zeros(SHAPE), hemisphere_rule=rule, what="experiment 12")


def test_without_a_rule_a_volume_is_as_it_was() -> None:
    array = np.arange(6.0).reshape(1, 1, 6)
    np.testing.assert_array_equal(process_volume(array), array)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ("none", ("left", "right")),
        ("flip_to_right", ("left", "right")),
        ("fold_ipsilateral", ("contralateral", "ipsilateral")),
    ],
)
def test_halves_are_named_by_what_a_fold_makes_of_them(rule: HemisphereRule, names: tuple[str, str]) -> None:
    assert half_names(rule) == names


@pytest.mark.parametrize("divisor", [0.0, -1.0, np.nan, np.inf])
def test_a_divisor_that_is_not_positive_is_refused(divisor: float) -> None:
    with pytest.raises(RecipeError, match="experiment 12 must be a positive number"):
        process_volume(np.ones(SHAPE), divisor=divisor, what="experiment 12")


def test_the_smallest_divisor_is_accepted_and_no_smaller_one() -> None:
    np.testing.assert_array_equal(process_volume(np.ones(SHAPE), divisor=1e-100), np.full(SHAPE, 1e100))
    with pytest.raises(RecipeError, match="at least 1e-100"):
        process_volume(np.ones(SHAPE), divisor=np.nextafter(1e-100, 0))
