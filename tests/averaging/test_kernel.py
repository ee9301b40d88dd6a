from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import halves, process_volume
from bsv_store.averaging.kernel import accumulator as accumulator_module
from bsv_store.averaging.kernel import cells as cells_module
from bsv_store.averaging.kernel import compiled
from bsv_store.averaging.kernel.accumulator import GroupAccumulator, MemberVolume
from bsv_store.averaging.kernel.cells import Cell, RequiredSums
from bsv_store.averaging.kernel.result import GroupResult, joined
from bsv_store.averaging.kernel.slab_reader import Flat
from bsv_store.averaging.kernel.statistics import Sums, statistics_of
from bsv_store.errors import FrameError, InputError, RecipeError
from bsv_store.vocabulary import HEMISPHERE_RULES, Statistic
from bsv_store.vocabulary import STATISTICS as STATISTIC_ROWS
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import SparseArray
from tests.averaging import reference
from tests.averaging.loops import require_compiled_loops
from tests.averaging.reference import Member, TinyGrid
from tests.examples import examples

GRID = TinyGrid((4, 3, 6))
STATISTICS = tuple(STATISTIC_ROWS)
ONES = np.ones(GRID.shape, np.float32)


def sparse(array: NDArray[np.float32], grid: Any = GRID) -> SparseArray:
    flat = array.reshape(-1)
    index = np.flatnonzero(flat).astype(np.uint32)
    return SparseArray(grid, index, flat[index])


def aggregated(
    members: Sequence[Member], *, n_groups: int = 1, as_sparse: bool = True, dtype: str = "float64", **options: Any
) -> GroupResult:
    weighted = bool(members) and members[0].weights is not None
    accumulator = GroupAccumulator(GRID, n_groups, weighted=weighted, **options)
    for member in members:
        accumulator.add(
            member.group,
            sparse(member.array) if as_sparse else member.array,
            divisor=member.divisor,
            injected=member.injected,
            weights=member.weights,
            exclude=member.exclude,
        )
    return accumulator.finish(dtype)


def assert_same(found: GroupResult, expected: GroupResult) -> None:
    """To the last bit."""
    for name, array in expected.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array, err_msg=name)


@st.composite
def volumes(draw: st.DrawFn, no_data: bool = True) -> NDArray[np.float32]:
    """Mostly zeros, as the real ones; sometimes with voxels without data, sometimes all zero or full."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.random(GRID.shape, dtype=np.float32)
    # Some values in common with other volumes, so that differences of exactly 0 occur too.
    array = np.where(rng.random(GRID.shape) < 0.3, np.float32(0.25), array)
    array[rng.random(GRID.shape) >= draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))] = 0
    if no_data:
        array[rng.random(GRID.shape) < draw(st.sampled_from([0.0, 0.0, 0.2]))] = np.nan
    return array


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.float32]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = rng.choice([0.0, 1.0, 0.5, 0.01, 1e-20, 1e-45], GRID.shape)
    array = np.where(rng.random(GRID.shape) < 0.3, rng.random(GRID.shape), kinds).astype(np.float32)
    array[rng.random(GRID.shape) < 0.05] = np.nan
    return array


@st.composite
def members(
    draw: st.DrawFn, min_size: int = 1, max_size: int = 6, groups: int = 2, masked: bool = False, no_data: bool = True
) -> list[Member]:
    weighted, excluding = (draw(st.booleans()), draw(st.booleans())) if masked else (False, False)
    result = []
    for _ in range(draw(st.integers(min_size, max_size))):
        result.append(
            Member(
                draw(volumes(no_data)),
                draw(st.integers(0, groups - 1)),
                draw(st.sampled_from([1.0, 0.001, 0.37, 2.5])),
                draw(st.sampled_from(["left", "right"])),
                draw(masks()) if weighted else None,
                draw(masks()) if excluding else None,
            )
        )
    return result


# Each example is a few averages of random volumes, so few of them already meet every combination.
few = examples(80)
rules = st.sampled_from(tuple(HEMISPHERE_RULES))


def assert_close(found: NDArray[Any], expected: NDArray[Any], scale: float, what: str) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=what)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale, err_msg=what)


def largest(items: Sequence[Member]) -> float:
    """The scale of a result: differences are rounded to the size of what was subtracted."""
    return max((float(np.nan_to_num(item.array).max()) / item.divisor for item in items), default=0.0)


# -- against the reference ----------------------------------------------------------------------------------------


@few
@given(members(groups=3), rules)
def test_mean_alone_is_that_of_the_reference(items: list[Member], rule: str) -> None:
    result = aggregated(items, n_groups=3, hemisphere_rule=rule)
    for group in range(3):
        expected = reference.statistics(items, group, rule)
        assert_close(result.mean[group], expected["mean"], largest(items), "mean")
        np.testing.assert_array_equal(result.n[group], expected["n"])


@few
@given(members(groups=2, masked=True), rules, st.sampled_from([("mean",), ("sd", "max"), STATISTICS]))
def test_compiled_loops_give_the_bits_of_numpy(items: list[Member], rule: str, statistics: Sequence[str]) -> None:
    require_compiled_loops()
    expected = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=statistics)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "loops", None)
        assert_same(aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=statistics), expected)


@pytest.mark.parametrize("statistics", [("mean", "sd"), ("max",), STATISTICS])
def test_compiled_loops_give_the_bits_of_numpy_with_values_of_every_size(statistics: Sequence[str]) -> None:
    require_compiled_loops()
    random = np.random.default_rng(11)
    items = []
    for _ in range(9):
        sizes = 10.0 ** random.integers(-30, 30, GRID.shape)
        items.append(Member((random.normal(size=GRID.shape) * sizes).astype(np.float32), divisor=random.random()))
    found = aggregated(items, statistics=statistics)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "loops", None)
        assert_same(aggregated(items, statistics=statistics), found)
    with pytest.MonkeyPatch.context() as patch:
        # Fails if NumPy is used after all.
        patch.setattr(Cell, "_add_moments", None)
        aggregated(items, statistics=statistics)


@few
@given(members(groups=2, masked=True), rules)
def test_all_statistics_with_masks_are_those_of_the_reference(items: list[Member], rule: str) -> None:
    result = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=STATISTICS)
    for group in range(2):
        expected = reference.statistics(items, group, rule)
        for name, array in result.arrays().items():
            assert_close(array[group], expected[name], largest(items), name)


@few
@given(members(masked=True, groups=2), rules)
def test_mean_alone_with_masks_is_that_of_the_reference(items: list[Member], rule: str) -> None:
    result = aggregated(items, n_groups=2, hemisphere_rule=rule)
    for group in range(2):
        expected = reference.statistics(items, group, rule)
        assert_close(result.mean[group], expected["mean"], largest(items), "mean")
        np.testing.assert_array_equal(result.n[group], expected["n"])


@few
@given(members(), rules)
def test_subtraction_at_the_end_equals_that_of_each_volume(items: list[Member], rule: str) -> None:
    at_the_end = aggregated(items, n_groups=2, hemisphere_rule=rule)
    each = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=["mean", "max"])
    assert_close(at_the_end.mean, each.mean, largest(items), rule)


@few
@given(volumes(), st.sampled_from([1.0, 0.37]), rules, st.sampled_from(["left", "right"]))
def test_average_of_one_volume_is_the_processed_volume(
    array: NDArray[np.float32], divisor: float, rule: Any, side: Any
) -> None:
    alone = aggregated([Member(array, 0, divisor, side)], hemisphere_rule=rule)
    volume = process_volume(array, divisor=divisor, hemisphere_rule=rule, injected=side)
    np.testing.assert_array_equal(alone.mean[0], volume)


# -- properties ---------------------------------------------------------------------------------------------------


@few
@given(members(min_size=2, masked=True), rules, st.sampled_from([("mean",), STATISTICS]), st.data())
def test_many_at_once_are_the_same_bits_as_one_by_one(
    items: list[Member], rule: str, statistics: tuple[str, ...], data: st.DataObject
) -> None:
    alone = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=statistics)
    accumulator = GroupAccumulator(
        GRID, 2, hemisphere_rule=rule, statistics=statistics, weighted=items[0].weights is not None
    )
    addends = [
        MemberVolume(
            item.group,
            sparse(item.array) if data.draw(st.booleans()) else item.array,
            item.divisor,
            item.injected,
            item.weights,
            item.exclude,
        )
        for item in items
    ]
    cut = data.draw(st.integers(0, len(items)))
    accumulator.add_all(addends[:cut])
    accumulator.add_all(addends[cut:])
    assert_same(accumulator.finish("float64"), alone)


@few
@given(members(masked=True), rules, st.randoms(use_true_random=False))
def test_order_of_members_does_not_matter(items: list[Member], rule: str, random: Any) -> None:
    shuffled = random.sample(items, len(items))
    before = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=["mean", "min", "max", "n"])
    after = aggregated(shuffled, n_groups=2, hemisphere_rule=rule, statistics=["mean", "min", "max", "n"])
    for name, array in before.arrays().items():
        assert_close(after.arrays()[name], array, largest(items), name)


@few
@given(members(min_size=2, groups=1), st.integers(1, 5), rules)
def test_halves_of_a_group_recombine_to_the_whole(items: list[Member], cut: int, rule: str) -> None:
    cut = min(cut, len(items) - 1)
    whole, first, second = (
        aggregated(part, hemisphere_rule=rule, statistics=STATISTICS) for part in (items, items[:cut], items[cut:])
    )
    n_first, n_second = first.n.astype(float), second.n.astype(float)
    total = np.nan_to_num(first.mean) * n_first + np.nan_to_num(second.mean) * n_second
    with np.errstate(invalid="ignore"):
        assert_close(whole.mean, total / (n_first + n_second), largest(items), "mean")
    np.testing.assert_array_equal(whole.n, first.n + second.n)
    np.testing.assert_array_equal(whole.values["min"], np.fmin(first.values["min"], second.values["min"]))


@few
@given(members(groups=1), rules, st.sampled_from([0.5, 4.0]))
def test_normalization_scales_every_statistic(items: list[Member], rule: str, factor: float) -> None:
    scaled = [Member(item.array, 0, item.divisor / factor, item.injected) for item in items]
    before = aggregated(items, hemisphere_rule=rule, statistics=STATISTICS)
    after = aggregated(scaled, hemisphere_rule=rule, statistics=STATISTICS)
    for name, array in before.arrays().items():
        # Exact: the factors are powers of two.
        np.testing.assert_array_equal(after.arrays()[name], array if name == "n" else array * factor, err_msg=name)


@few
@given(members(groups=1, masked=True))
def test_flipping_twice_changes_nothing(items: list[Member]) -> None:
    def mirrored(array: Any) -> Any:
        return None if array is None else np.ascontiguousarray(array[..., ::-1])

    other = {"left": "right", "right": "left"}
    flipped = [
        Member(mirrored(i.array), 0, i.divisor, other[i.injected], mirrored(i.weights), mirrored(i.exclude))
        for i in items
    ]
    once = aggregated(flipped, hemisphere_rule="flip_to_left", statistics=STATISTICS)
    straight = aggregated(items, hemisphere_rule="flip_to_right", statistics=STATISTICS)
    for name, array in straight.arrays().items():
        assert_close(once.arrays()[name][..., ::-1], array, largest(items), name)


@few
@given(members(), rules, st.sampled_from([("mean",), STATISTICS]))
def test_a_mask_of_ones_has_no_effect(items: list[Member], rule: str, statistics: Sequence[str]) -> None:
    zeros = np.zeros(GRID.shape, np.float32)
    masked = [Member(i.array, i.group, i.divisor, i.injected, ONES, zeros) for i in items]
    without = aggregated(items, n_groups=2, hemisphere_rule=rule, statistics=statistics)
    found = aggregated(masked, n_groups=2, hemisphere_rule=rule, statistics=statistics)
    for name, array in without.arrays().items():
        assert_close(found.arrays()[name], array, largest(items), name)


@few
@given(members(min_size=2, groups=1, masked=True), rules)
def test_spread_is_never_negative(items: list[Member], rule: str) -> None:
    result = aggregated(items, hemisphere_rule=rule, statistics=STATISTICS)
    for array in (result.values["sd"], result.values["sem"]):
        assert (array[result.n >= 2] >= 0).all()
        assert np.isnan(array[result.n < 2]).all()


@few
@given(members(masked=True), rules, st.sampled_from([("mean",), STATISTICS]))
def test_dense_input_gives_the_bits_of_sparse_input(items: list[Member], rule: str, statistics: Sequence[str]) -> None:
    options: dict[str, Any] = {"n_groups": 2, "hemisphere_rule": rule, "statistics": statistics}
    assert_same(aggregated(items, as_sparse=False, **options), aggregated(items, **options))


@few
@given(members(masked=True), rules, st.sampled_from([("mean",), STATISTICS]), st.integers(1, 3), st.booleans())
def test_slabs_join_to_the_bits_of_the_whole(
    items: list[Member], rule: str, statistics: Sequence[str], cut: int, as_sparse: bool
) -> None:
    options: dict[str, Any] = {"n_groups": 2, "hemisphere_rule": rule, "statistics": statistics, "as_sparse": as_sparse}
    slabs = [aggregated(items, ap_range=ap_range, **options) for ap_range in ((cut, 4), (0, cut))]
    whole = joined(slabs)
    assert whole.ap_range == (0, 4)
    assert_same(whole, aggregated(items, **options))


@few
@given(members(masked=True), rules)
def test_masks_may_be_sparse(items: list[Member], rule: str) -> None:
    def run(convert: Any) -> GroupResult:
        accumulator = GroupAccumulator(
            GRID, 2, hemisphere_rule=rule, statistics=STATISTICS, weighted=items[0].weights is not None
        )
        for i in items:
            weights = None if i.weights is None else convert(i.weights)
            exclude = None if i.exclude is None else convert(i.exclude)
            accumulator.add(i.group, i.array, divisor=i.divisor, injected=i.injected, weights=weights, exclude=exclude)
        return accumulator.finish()

    assert_same(run(sparse), run(lambda mask: mask))


@pytest.mark.parametrize("rule", ["none", "subtract_contralateral"])
def test_sparse_masks_of_a_slab_are_those_of_dense_ones(rule: str) -> None:
    rng = np.random.default_rng(5)
    array, exclude = (rng.random(GRID.shape, np.float32) * (rng.random(GRID.shape) < 0.5) for _ in range(2))
    weights = rng.random(GRID.shape, np.float32)
    weights[2, 1, 1] = np.nan

    def run(form: Any) -> GroupResult:
        accumulator = GroupAccumulator(
            GRID, 1, hemisphere_rule=rule, weighted=True, statistics=STATISTICS, ap_range=(1, 3)
        )
        for divisor in (1.0, 0.3):
            accumulator.add(
                0,
                form(array.astype(np.float32)),
                divisor=divisor,
                injected="left",
                weights=form(weights),
                exclude=form(exclude.astype(np.float32)),
            )
        return accumulator.finish("float64")

    found = run(sparse)
    assert_same(found, run(lambda mask: mask))
    assert np.isfinite(found.mean).any()
    assert np.isnan(found.mean).any()


def test_an_average_is_read_out_once() -> None:
    accumulator = GroupAccumulator(GRID, 1)
    accumulator.add(0, ONES)
    assert (accumulator.finish().mean == 1).all()
    with pytest.raises(InputError, match="was called already"):
        accumulator.finish()
    with pytest.raises(InputError, match="was called already"):
        accumulator.add(0, ONES)


def test_members_are_added_in_their_order_whatever_their_form() -> None:
    """Float addition is not associative: a small value is lost beside a large one, and not after two that cancel."""
    large = np.full(GRID.shape, 2.0**60, np.float32)
    accumulator = GroupAccumulator(GRID, 1, statistics=["sum"])
    accumulator.add_all([MemberVolume(0, each) for each in (sparse(large), sparse(-large), ONES)])
    assert (accumulator.finish().arrays()["sum"] == 1).all()


def test_without_a_choice_the_mean_is_computed_without_a_rule_and_weights() -> None:
    accumulator = GroupAccumulator(GRID, 1)
    accumulator.add(0, ONES * 3)
    result = accumulator.finish()
    assert (result.statistics, result.hemisphere_rule, result.mean.dtype) == (("mean",), "none", np.dtype(np.float32))
    assert (result.mean == 3).all()
    member = MemberVolume(0, sparse(ONES))
    assert (member.divisor, member.injected, member.weights, member.exclude) == (1.0, None, None, None)


@pytest.mark.parametrize("width", [2, 4, 5, 7])
def test_a_rule_with_sides_needs_as_many_voxels_left_as_right(width: int) -> None:
    grid = TinyGrid((2, 2, width))
    if width % 2 == 0:
        GroupAccumulator(grid, 1, hemisphere_rule="flip_to_right")
    else:
        with pytest.raises(InputError, match=f"{width} voxels along ML has no midline"):
            GroupAccumulator(grid, 1, hemisphere_rule="flip_to_right")
    GroupAccumulator(grid, 1)


def test_what_could_not_be_added_leaves_its_group_empty() -> None:
    accumulator = GroupAccumulator(GRID, 1)
    with pytest.raises(InputError, match="in group 1"):
        accumulator.add_all([MemberVolume(0, sparse(ONES)), MemberVolume(1, sparse(ONES))])
    result = accumulator.finish()
    assert result.counts == (0,)
    assert (result.mean == 0).all()


def test_sums_are_given_back_when_they_have_been_read() -> None:
    grid = Grid(100)
    tracemalloc.start()
    try:
        accumulator = GroupAccumulator(grid, 2)
        for group in range(2):
            accumulator.add(group, np.ones(grid.shape, np.float32))
        result = accumulator.finish("float64")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.mean.nbytes <= kept < result.mean.nbytes + grid.size


def test_sums_of_no_member_have_no_mean() -> None:
    zeros = np.zeros((2, 3, 4))
    for by in (0.0, zeros):
        sums = Sums(zeros, by, by, False, None, None, None, None, None, None, None)
        found = statistics_of(sums, ["mean", "sum"])
        for array in found.values():
            np.testing.assert_array_equal(array, np.full(zeros.shape, np.nan))


@pytest.mark.parametrize("statistics", [("mean", "n"), STATISTICS])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("as_sparse", [False, True])
def test_blocks_of_any_size_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, statistics: Sequence[str], weighted: bool, as_sparse: bool
) -> None:
    """Real volumes have many blocks, and these ones have a single one."""
    rng = np.random.default_rng(3)
    items = [Member(rng.random(GRID.shape, np.float32), weights=ONES * 0.5 if weighted else None) for _ in range(3)]
    whole = aggregated(items, statistics=statistics, as_sparse=as_sparse)
    monkeypatch.setattr(compiled, "loops", None)
    monkeypatch.setattr(cells_module, "_BLOCK", 5)
    monkeypatch.setattr(accumulator_module, "_BLOCK_VOXELS", 1)
    assert_same(aggregated(items, statistics=statistics, as_sparse=as_sparse), whole)


def test_a_cell_counts_its_members() -> None:
    cell = Cell(2, RequiredSums(weighted=True))
    for _ in range(3):
        cell.add_weighted(Flat(np.array([0]), np.ones(1)), np.ones(2))
    plain = Cell(2, RequiredSums())
    for _ in range(2):
        plain.add(Flat(np.array([0]), np.ones(1)), None)
    plain.add_dense(np.ones(2), 1.0)
    assert (cell.members, plain.members) == (3, 3)


# -- cases --------------------------------------------------------------------------------------------------------


def test_division_gives_the_bits_of_value_over_volume() -> None:
    array = np.random.default_rng(1).random(GRID.shape, dtype=np.float32)
    result = aggregated([Member(array, divisor=0.0266)])
    np.testing.assert_array_equal(result.mean[0], array.astype(np.float64) / 0.0266)


def test_spread_of_nearly_equal_values_keeps_its_digits() -> None:
    """One pass with sums of squares would find noise here: the values differ in the seventh digit."""
    base = np.full(GRID.shape, 0.75, np.float32)
    step = np.float32(2**-20)
    items = [Member(base + np.float32(k) * step) for k in range(8)]
    result = aggregated(items, statistics=["sd"])
    np.testing.assert_allclose(result.values["sd"], np.std(np.arange(8), ddof=1) * 2**-20, rtol=1e-9)


@few
@given(
    st.floats(2**-20, 1, width=32),
    st.sampled_from([1.0, 0.37, 0.0266]),
    st.integers(2, 7),
    rules.filter(lambda rule: rule != "subtract_contralateral"),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_equal_values_have_no_spread(
    value: float, divisor: float, count: int, rule: str, weighted: bool, random: Any
) -> None:
    """Exactly 0, although the mean of equal values may be rounded."""
    items = [
        Member(
            np.full(GRID.shape, value, np.float32),
            divisor=divisor,
            injected=random.choice(["left", "right"]),
            weights=np.full(GRID.shape, random.choice([1.0, 0.3, 1e-3, 1e-20, 1e-45]), np.float32)
            if weighted
            else None,
        )
        for _ in range(count)
    ]
    result = aggregated(items, statistics=["sd", "sem"], hemisphere_rule=rule)
    assert (result.values["sd"] == 0).all()
    assert (result.values["sem"] == 0).all()


@pytest.mark.parametrize("rule", ["none", "flip_to_right"])
@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-17, 1e-20, 1e-45])
def test_spread_with_a_vanishing_weight_is_that_of_exact_arithmetic(small: float, rule: str) -> None:
    """The weights 1 and w of values a and b give the variance (a - b)² / 2, whatever w is."""
    values = [np.full(GRID.shape, value, np.float32) for value in (0.25, 0.75)]
    for weights in ([1.0, small], [small, 1.0]):
        items = [
            Member(array, injected=side, weights=np.full(GRID.shape, weight, np.float32))
            for array, weight, side in zip(values, weights, ["left", "right"], strict=True)
        ]
        result = aggregated(items, statistics=["sd", "sem"], hemisphere_rule=rule)
        np.testing.assert_allclose(result.values["sd"], 0.5 / 2**0.5, rtol=1e-12)
        # The effective number of members is 1.
        effective = (1 + np.float32(small).astype(float)) ** 2 / (1 + np.float32(small).astype(float) ** 2)
        np.testing.assert_allclose(result.values["sem"], 0.5 / (2 * effective) ** 0.5, rtol=1e-12)


def test_weighted_spread_of_many_members_is_that_of_fractions() -> None:
    rng = np.random.default_rng(11)
    values = rng.random(40).astype(np.float32)
    weights = (10.0 ** rng.integers(-30, 1, 40) * rng.random(40)).astype(np.float32)
    items = [
        Member(np.full(GRID.shape, value, np.float32), weights=np.full(GRID.shape, weight, np.float32))
        for value, weight in zip(values, weights, strict=True)
    ]
    result = aggregated(items, statistics=["sd"])
    v, w = ([Fraction(float(each)) for each in column] for column in (values, weights))
    mean = sum(a * b for a, b in zip(v, w, strict=True)) / sum(w)
    squares = sum(b * (a - mean) ** 2 for a, b in zip(v, w, strict=True))
    variance = squares / (sum(w) - sum(b * b for b in w) / sum(w))
    np.testing.assert_allclose(result.values["sd"], float(variance) ** 0.5, rtol=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "sum", "max"])
def test_values_beyond_float32_are_an_error_and_fit_into_float64(statistic: Statistic) -> None:
    def accumulated() -> GroupAccumulator:
        accumulator = GroupAccumulator(GRID, 2, statistics=[statistic])
        accumulator.add(1, np.full(GRID.shape, 3e38, np.float32), divisor=0.5)
        return accumulator

    with pytest.raises(RecipeError, match=r"of group 1 reaches 6e\+38, which is too large for float32") as caught:
        accumulated().finish("float32")
    assert "--dtype float64" in str(caught.value.hint)
    found = accumulated().finish("float64").values[statistic][1]
    np.testing.assert_array_equal(found, float(np.float32(3e38)) / 0.5)


def test_the_largest_float32_is_no_overflow() -> None:
    largest = np.finfo(np.float32).max
    result = aggregated([Member(np.full(GRID.shape, largest, np.float32))], dtype="float32", statistics=["mean", "max"])
    assert (result.mean == largest).all()


def test_voxels_that_no_volume_lists_are_zeros_not_missing() -> None:
    array = np.zeros(GRID.shape, np.float32)
    array[1, 1, 1] = 0.5
    result = aggregated([Member(array), Member(np.zeros_like(array))], statistics=STATISTICS)
    assert {name: float(values[0, 1, 1, 1]) for name, values in result.arrays().items()} == {
        "mean": 0.25,
        "sum": 0.5,
        "sd": pytest.approx(0.5 / 2**0.5),
        "sem": pytest.approx(0.25),
        "min": 0.0,
        "max": 0.5,
        "n": 2,
    }
    assert {name: float(values[0, 0, 0, 0]) for name, values in result.arrays().items()} == {
        "mean": 0, "sum": 0, "sd": 0, "sem": 0, "min": 0, "max": 0, "n": 2,
    }  # fmt: skip


def test_voxels_without_data_are_not_counted() -> None:
    known, gap = np.full(GRID.shape, 0.5, np.float32), np.full(GRID.shape, 0.25, np.float32)
    gap[0, 0, 1] = np.nan
    result = aggregated([Member(known), Member(gap)])
    assert result.mean[0, 0, 0, 1] == 0.5
    assert result.n[0, 0, 0, 1] == 1
    assert result.mean[0, 0, 0, 0] == 0.375
    assert result.n[0, 0, 0, 0] == 2
    alone = aggregated([Member(gap)])
    assert np.isnan(alone.mean[0, 0, 0, 1])
    assert alone.n[0, 0, 0, 1] == 0


@pytest.mark.parametrize("as_sparse", [True, False])
@pytest.mark.parametrize("statistics", [("mean", "n"), STATISTICS])
def test_a_voxel_without_data_is_left_to_the_others(as_sparse: bool, statistics: Sequence[str]) -> None:
    gap = ONES * 3
    gap[1, 2, 3] = np.nan
    result = aggregated([Member(ONES), Member(gap), Member(ONES * 2)], as_sparse=as_sparse, statistics=statistics)
    assert (result.mean[0, 1, 2, 3], result.n[0, 1, 2, 3]) == (1.5, 2)
    assert (result.mean[0, 0, 0, 0], result.n[0, 0, 0, 0]) == (2, 3)
    assert np.isfinite(result.mean).all()


def test_subtraction_counts_a_voxel_only_where_its_mirror_is_known() -> None:
    array = np.full(GRID.shape, 0.5, np.float32)
    array[0, 0, 1] = np.nan
    result = aggregated([Member(array), Member(ONES)], hemisphere_rule="subtract_contralateral")
    np.testing.assert_array_equal(result.n[0, 0, 0], [2, 1, 2, 2, 1, 2])


def test_subtraction_leaves_the_other_side_at_zero() -> None:
    array = np.zeros(GRID.shape, np.float32)
    array[2, 1] = [0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    right = aggregated([Member(array, injected="right")], hemisphere_rule="subtract_contralateral").mean[0, 2, 1]
    left = aggregated([Member(array, injected="left")], hemisphere_rule="subtract_contralateral").mean[0, 2, 1]
    np.testing.assert_allclose(right, [0, 0, 0, 0.2, 0.5, 0.8], atol=1e-7)
    np.testing.assert_allclose(left, [-0.8, -0.5, -0.2, 0, 0, 0], atol=1e-7)


def test_folded_halves_put_homologous_voxels_at_one_index() -> None:
    array = np.zeros(GRID.shape, np.float32)
    array[2, 1] = [0.6, 0.4, 0.2, 0.1, 0.3, 0.5]
    folded = aggregated([Member(array, injected="left")], hemisphere_rule="fold_ipsilateral", dtype="float32")
    ipsilateral, contralateral = halves(folded.mean[0])
    np.testing.assert_array_equal(ipsilateral[2, 1], np.array([0.2, 0.4, 0.6], np.float32))
    np.testing.assert_array_equal(contralateral[2, 1], np.array([0.1, 0.3, 0.5], np.float32))


def test_group_without_members_is_zero() -> None:
    result = aggregated([Member(ONES)], n_groups=2, statistics=STATISTICS)
    assert result.counts == (1, 0)
    assert (result.mean[1] == 0).all()
    assert (result.n[1] == 0).all()
    assert np.isnan(result.values["sd"][1]).all()


def test_counts_take_no_memory_where_no_voxel_is_missing() -> None:
    result = aggregated([Member(ONES)])
    assert set(result.n.strides) == {0}
    assert result.n.dtype == np.uint32
    assert result.n.shape == (1, *GRID.shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_result_has_the_dtype_asked_for(dtype: str) -> None:
    result = aggregated([Member(ONES)], dtype=dtype, statistics=STATISTICS)
    assert {array.dtype for name, array in result.arrays().items() if name != "n"} == {np.dtype(dtype)}


def test_counts_are_integers_whether_voxels_are_missing_or_not() -> None:
    gap = np.where(np.arange(ONES.size).reshape(ONES.shape) == 3, np.nan, ONES)
    for array in (ONES, gap):
        assert aggregated([Member(array)]).n.dtype == np.dtype(np.uint32)


@pytest.mark.parametrize("rule", ["none", "subtract_contralateral"])
def test_a_result_knows_its_rule_and_its_planes(rule: str) -> None:
    result = aggregated([Member(ONES, injected="left")], hemisphere_rule=rule, ap_range=(1, 3))
    assert (result.hemisphere_rule, result.ap_range, result.mean.shape) == (rule, (1, 3), (1, 2, 3, 6))


def test_statistics_come_in_one_order_with_the_mean() -> None:
    result = aggregated([Member(ONES)], statistics=["n", "max"])
    assert result.statistics == ("mean", "max", "n")
    assert "sd" not in result.values


def test_real_grid_works_with_its_own_sparse_volumes() -> None:
    grid = Grid(100)
    array = np.zeros(grid.shape, np.float32)
    array[60, 40, 80] = 0.5
    accumulator = GroupAccumulator(grid, 1, hemisphere_rule="flip-to-left")
    accumulator.add(0, SparseArray.from_dense(array), injected="right")
    assert accumulator.finish().mean[0, 60, 40, 113 - 80] == 0.5


@pytest.mark.parametrize("rule", ["subtract_contralateral", "flip_to_left"])
def test_large_volumes_agree_with_the_reference(rule: str) -> None:
    """Enough voxels that all work in blocks meets several of them."""
    rng = np.random.default_rng(5)
    grid = TinyGrid((31, 80, 114))
    items = []
    for side in ("left", "right", "right"):
        array = rng.random(grid.shape, dtype=np.float32)
        array[rng.random(grid.shape) < 0.6] = 0
        items.append(Member(array, 0, 0.37, side))
    accumulator = GroupAccumulator(grid, 1, hemisphere_rule=rule, statistics=STATISTICS)
    for item in items:
        accumulator.add(0, sparse(item.array, grid), divisor=item.divisor, injected=item.injected)
    result, expected = accumulator.finish("float64"), reference.statistics(items, 0, rule)
    for name, array in result.arrays().items():
        assert_close(array[0], expected[name], largest(items), name)


def test_one_volume_has_no_spread_whatever_its_weights() -> None:
    weights = np.random.default_rng(6).random(GRID.shape)
    accumulator = GroupAccumulator(GRID, 1, statistics=["sd", "sem"], weighted=True)
    accumulator.add(0, ONES, weights=weights)
    result = accumulator.finish()
    assert np.isnan(result.values["sd"]).all()
    assert np.isnan(result.values["sem"]).all()


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"statistics": ["median"]}, "mean, sum, sd"),
        ({"hemisphere_rule": "mirror"}, "subtract_contralateral"),
        ({"n_groups": 0}, "group"),
    ],
)
def test_unknown_recipe_parts_are_refused_with_the_valid_ones(options: dict[str, Any], names: str) -> None:
    with pytest.raises(RecipeError, match=names):
        GroupAccumulator(GRID, **{"n_groups": 1, **options})


@pytest.mark.parametrize("rule", [rule for rule in HEMISPHERE_RULES if rule != "none"])
def test_rule_that_needs_the_side_refuses_volumes_without_one(rule: str) -> None:
    accumulator = GroupAccumulator(GRID, 1, hemisphere_rule=rule)
    with pytest.raises(RecipeError, match="experiment 12"):
        accumulator.add(0, ONES, what="experiment 12")


@pytest.mark.parametrize("divisor", [0.0, -1.0, float("nan"), float("inf"), 1e-101])
def test_impossible_divisor_is_refused(divisor: float) -> None:
    with pytest.raises(RecipeError, match="experiment 12"):
        GroupAccumulator(GRID, 1).add(0, ONES, divisor=divisor, what="experiment 12")


def test_other_grid_is_refused() -> None:
    accumulator = GroupAccumulator(GRID, 1)
    with pytest.raises(FrameError, match="experiment 12"):
        accumulator.add(0, ONES[:, :, :4], what="experiment 12")
    with pytest.raises(FrameError, match="exclusion mask of experiment 12"):
        accumulator.add(0, ONES, exclude=ONES[:2], what="experiment 12")
    other = TinyGrid((4, 3, 8))
    with pytest.raises(FrameError, match="experiment 12"):
        accumulator.add(0, sparse(np.ones(other.shape, np.float32), other), what="experiment 12")


def test_index_outside_the_grid_is_refused() -> None:
    bad = SparseArray(GRID, np.array([1, 72], np.uint32), np.ones(2, np.float32))  # type: ignore[arg-type]
    accumulator = GroupAccumulator(GRID, 1)
    with pytest.raises(InputError, match="outside its grid"):
        accumulator.add(0, bad)
    assert (accumulator.finish().mean == 0).all()


def test_weights_are_all_or_none() -> None:
    with pytest.raises(RecipeError, match="weights"):
        GroupAccumulator(GRID, 1).add(0, ONES, weights=ONES)
    with pytest.raises(RecipeError, match="weights"):
        GroupAccumulator(GRID, 1, weighted=True).add(0, ONES)


@pytest.mark.parametrize("value", [-0.5, np.inf])
def test_impossible_weight_is_refused(value: float) -> None:
    weights = ONES.copy()
    weights[1, 1, 1] = value
    with pytest.raises(InputError, match="weights of experiment 12"):
        GroupAccumulator(GRID, 1, weighted=True).add(0, ONES, weights=weights, what="experiment 12")


def test_group_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="group 1"):
        GroupAccumulator(GRID, 1).add(1, ONES)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(RecipeError, match="float16"):
        GroupAccumulator(GRID, 1).finish("float16")


@pytest.mark.parametrize("ap_range", [(0, 5), (-1, 2), (2, 2)])
def test_planes_outside_the_grid_are_refused(ap_range: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="AP planes"):
        GroupAccumulator(GRID, 1, ap_range=ap_range)


def test_joined_slabs_have_the_facts_of_the_slabs() -> None:
    slabs = [
        aggregated([Member(ONES, 1, injected="left")], n_groups=2, hemisphere_rule="fold_ipsilateral", ap_range=planes)
        for planes in ((2, 4), (0, 1), (1, 2))
    ]
    whole = joined(slabs)
    assert (whole.counts, whole.statistics, whole.hemisphere_rule) == ((0, 1), ("mean",), "fold_ipsilateral")
    assert (whole.ap_range, whole.mean.shape, whole.n.shape) == ((0, 4), (2, *GRID.shape), (2, *GRID.shape))
    # A count for each group takes no memory for each voxel.
    assert whole.n.base is not None
    assert whole.n[:, 0, 0, 0].tolist() == [0, 1]
    pair = [aggregated([Member(ONES)], ap_range=planes) for planes in ((0, 2), (2, 4))]
    assert joined(pair).n.shape == (1, *GRID.shape)
    part = joined(slabs[:1])
    assert (part.ap_range, part.n.shape) == ((2, 4), (2, 2, *GRID.shape[1:]))
    with pytest.raises(InputError, match="slabs must not be empty"):
        joined([])


def test_slabs_that_leave_a_gap_are_not_joined() -> None:
    slabs = [aggregated([Member(ONES)], ap_range=ap_range) for ap_range in ((0, 1), (2, 4))]
    with pytest.raises(InputError, match="adjoin"):
        joined(slabs)


def test_results_are_compared_as_objects() -> None:
    """Not by their arrays, whose comparison has no single truth."""
    one, other = (aggregated([Member(ONES)]) for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_slabs_of_different_members_are_not_joined() -> None:
    slabs = [
        aggregated([Member(ONES)], ap_range=(0, 2)),
        aggregated([Member(ONES), Member(ONES)], ap_range=(2, 4)),
    ]
    with pytest.raises(RecipeError, match="different"):
        joined(slabs)
