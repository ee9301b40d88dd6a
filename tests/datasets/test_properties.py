"""What must hold of every answer, through the whole path from the question to the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import Selection, by_field
from bsv_store.datasets.result import content_hash
from tests.datasets.world import BY_ID, IDS, add_volume, ask, voxels

if TYPE_CHECKING:
    from bsv_store import Store

EVERYBODY = Selection(ids=IDS)
SUBTRACTED: dict[str, Any] = {"hemisphere_rule": "subtract_contralateral", "normalize": "injection_volume"}


def test_the_order_of_the_ids_does_not_matter(filled: Store) -> None:
    version = ask(filled, EVERYBODY, **SUBTRACTED)
    again = ask(filled, Selection(ids=(*reversed(IDS), 1)), **SUBTRACTED)
    assert (again.number, again.was_computed) == (version.number, False)


@pytest.mark.parametrize("parts", [{}, SUBTRACTED], ids=["plain", "subtracted"])
def test_groups_recombine_to_the_whole(filled: Store, parts: dict[str, Any]) -> None:
    statistics = ("mean", "sd", "min", "max", "n")
    whole = ask(filled, EVERYBODY, dtype="float64", statistics=statistics, **parts)
    cut = ask(filled, EVERYBODY, by_field("line"), dtype="float64", statistics=statistics, **parts)
    sizes = np.array([group.n for group in cut.groups], np.float64).reshape(-1, 1, 1, 1)
    assert sizes.sum() == len(IDS)
    mean = (sizes * cut.mean).sum(0) / len(IDS)
    np.testing.assert_allclose(whole.mean[0], mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(whole.statistic("min")[0], cut.statistic("min").min(0))
    np.testing.assert_array_equal(whole.statistic("max")[0], cut.statistic("max").max(0))
    np.testing.assert_array_equal(whole.statistic("n")[0], cut.statistic("n").sum(0))
    squares = ((sizes - 1) * cut.statistic("sd") ** 2 + sizes * (cut.mean - mean) ** 2).sum(0)
    sd = whole.statistic("sd")[0]
    assert (sd >= 0).all()
    np.testing.assert_allclose(sd, np.sqrt(squares / (len(IDS) - 1)), rtol=1e-9, atol=1e-9)


def test_subtraction_at_once_equals_that_of_each_volume(filled: Store) -> None:
    version = ask(filled, EVERYBODY, dtype="float64", **SUBTRACTED)
    stack = filled.datasets.stack(version.ref, processed=True)
    each = sum(stack.volume(number) for number in range(len(stack))) / len(stack)
    np.testing.assert_allclose(version.mean[0], each, rtol=1e-12, atol=1e-12 * float(np.abs(each).max()))


def test_normalization_divides_each_by_its_own_volume(filled: Store) -> None:
    alone = ask(filled, Selection(ids=[3]), dtype="float64", normalize="injection_volume")
    np.testing.assert_array_equal(alone.mean[0], voxels(3).astype(np.float64) / BY_ID[3].volume)


def test_flipped_twice_is_as_it_was(filled: Store) -> None:
    """The mirror image of what was flipped to the left is what is flipped to the right."""
    right, left = (
        ask(filled, EVERYBODY, hemisphere_rule=rule, statistics=("mean", "sd", "n"), dtype="float64")
        for rule in ("flip_to_right", "flip_to_left")
    )
    for name in ("mean", "sd", "n"):
        np.testing.assert_allclose(
            left.statistic(name)[..., ::-1], right.statistic(name), rtol=1e-12, atol=1e-13, err_msg=name
        )


def test_masks_of_ones_and_zeros_are_no_masks(filled: Store) -> None:
    shape = voxels(1).shape
    for identifier in IDS:
        add_volume(filled, identifier, kind="data_mask", array=np.ones(shape, np.float32))
        add_volume(filled, identifier, kind="injection_fraction", array=np.zeros(shape, np.float32))
    parts: dict[str, Any] = {"dtype": "float64", **SUBTRACTED}
    plain = ask(filled, EVERYBODY, **parts)
    masked = ask(filled, EVERYBODY, weight_by_data_mask=True, exclude_injection=True, **parts)
    assert masked.fingerprint != plain.fingerprint
    np.testing.assert_allclose(masked.mean, plain.mean, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("chunk_bytes", [1, 100_000, 10**9])
def test_the_chunks_of_the_file_do_not_change_a_bit(
    filled: Store, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    parts: dict[str, Any] = {"statistics": ("mean", "sd", "n"), **SUBTRACTED}
    usual = ask(filled, EVERYBODY, by_field("line"), **parts)
    monkeypatch.setattr(content_hash, "_CHUNK_BYTES", chunk_bytes)
    other = ask(filled, EVERYBODY, by_field("line"), name="other", **parts)
    with usual.open() as one, other.open() as two:
        assert one["mean"].chunks != two["mean"].chunks
    assert other.was_computed
    assert other.content_sha256 == usual.content_sha256
