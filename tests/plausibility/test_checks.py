"""Each check refuses what only it can tell, and all of them pass what is right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store.errors import MissingDataError
from bsv_store.plausibility.facts import PIXELS_PER_VOXEL_VOLUME
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store_synthetic import wire
from tests.plausibility.caches import ATLAS, Array, fill_catalog, lateral, mirrored, true_volume, write_cache

if TYPE_CHECKING:
    from bsv_store import Store

FIRST = lateral("right")
LEFT = lateral("left")
Change = Callable[[Array], Array]


def zero(_: Array) -> Array:
    return np.zeros((132, 80, 114), np.float32)


def of_the_left(kind: VolumeKind) -> Change:
    return lambda _: true_volume(LEFT, kind)


def under_the_name_of_another(kind: VolumeKind) -> Change:
    return lambda _: true_volume(FIRST, kind)


def half(array: Array) -> Array:
    return array / np.float32(2)


def nineteen_twentieths(array: Array) -> Array:
    return array * np.float32(0.95)


def reversed_ap(array: Array) -> Array:
    return np.ascontiguousarray(array[::-1])


def refused_reason(store: Store, folder: Path, kind: VolumeKind, array: Array, *, spacing_um: int = 100) -> str:
    """Adopt a volume that must be refused, and return the reason."""
    report = store.adopt(write_cache(folder, FIRST, {kind: array}, spacing_um=spacing_um))
    (refused,) = report.refused
    assert f"is not plausible as the {kind} at {spacing_um} um of experiment {FIRST}" in refused.reason
    with pytest.raises(MissingDataError):
        store.volumes.describe(FIRST, kind=kind, spacing_um=spacing_um)
    return refused.reason


BY_THE_LIST: list[tuple[VolumeKind, Change, str]] = [
    (
        "projection_density",
        mirrored,
        "of its signal is in the right hemisphere, the injected one \\(according to the inj",
    ),
    ("projection_energy", mirrored, "of its signal is in the right"),
    ("injection_density", mirrored, r"um from the injection coordinate \(AP \d+, DV \d+, ML \d+ um\)"),
    ("injection_fraction", mirrored, "0.0% of its signal is in the right"),
    ("injection_energy", mirrored, "0.0% of its signal is in the right"),
    ("injection_density", reversed_ap, "um from the injection coordinate"),
    ("injection_density", half, "its injection volume is .* mm3, but .* mm3 in the experiment list"),
    ("projection_density", under_the_name_of_another("data_mask"), "its mean over the grid is 0.9"),
    ("injection_density", under_the_name_of_another("data_mask"), "its mean over the grid is 0.9"),
    ("injection_density", under_the_name_of_another("injection_fraction"), "its injection volume is"),
    ("data_mask", under_the_name_of_another("projection_density"), "for a data mask it must be between 0.3 and 1"),
    (
        "projection_energy",
        under_the_name_of_another("projection_density"),
        "its highest value is 1; for a projection energy it must be",
    ),
    (
        "data_mask",
        lambda array: array * np.float32(0.9),
        "0.0% of its voxels above 0 are 1; for a data mask it must be",
    ),
    ("projection_density", of_the_left("projection_density"), "of its signal is in the right"),
    ("injection_density", of_the_left("injection_density"), "um from the injection coordinate"),
    *((row.name, zero, "it has no voxels above 0") for row in VOLUME_KINDS.values()),
]


@pytest.mark.parametrize(("kind", "change", "words"), BY_THE_LIST)
def test_what_the_list_of_experiments_contradicts_is_refused_and_the_right_file_adopted(
    store: Store, tmp_path: Path, kind: VolumeKind, change: Change, words: str
) -> None:
    fill_catalog(store, tmp_path)
    right = true_volume(FIRST, kind)
    reason = refused_reason(store, tmp_path / "wrong", kind, change(right))
    assert re.search(words, reason), reason
    if change in (mirrored, half, zero, reversed_ap):
        assert ("left and right seem to be exchanged" in reason) == (change is mirrored)
    assert store.adopt(write_cache(tmp_path / "right", FIRST, {kind: right})).volumes == 1
    np.testing.assert_array_equal(store.volume(FIRST, kind=kind), right)


def test_the_unionize_table_tells_amount_and_side(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path, tables=(FIRST,))
    right = true_volume(FIRST)
    reason = refused_reason(store, tmp_path / "half", "projection_density", half(right))
    assert re.search(r"its total projection volume is [\d.]+ mm3, but [\d.]+ mm3 in the unionize table", reason), reason
    symmetric = (right + mirrored(right)) / np.float32(2)
    reason = refused_reason(store, tmp_path / "symmetric", "projection_density", symmetric)
    assert re.search(
        r"50.0% of its signal is in the right hemisphere, the injected one \(in the unionize table [\d.]+%", reason
    )
    assert store.adopt(write_cache(tmp_path / "right", FIRST, {"projection_density": right})).volumes == 1


@pytest.mark.parametrize("kind", ["projection_density", "projection_energy"])
def test_the_annotation_tells_where_the_signal_is(store: Store, tmp_path: Path, kind: VolumeKind) -> None:
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    right = true_volume(FIRST, kind)
    reason = refused_reason(store, tmp_path / "wrong", kind, np.ascontiguousarray(right[:, ::-1]))
    figures = r"[\d.]+% of its signal is in \w+, \w+ \(annotation at 100 um from .*\), but [\d.]+% in the unionize"
    assert re.search(figures, reason), reason
    assert store.adopt(write_cache(tmp_path / "right", FIRST, {kind: right})).volumes == 1


# The tissue of this experiment is torn on the right, in the pons and the medulla: 91 % of the pons have valid data.
TORN = ATLAS.experiment_ids[10]


def tear_pons(store: Store, folder: Path) -> Array:
    """The data mask without every twelfth voxel of the right pons that has data; its table is ingested.

    The synthetic tears are too small to tell two masks apart.
    """
    mask = true_volume(TORN, "data_mask").copy()
    pons = np.flatnonzero(store.atlas.mask("P", hemisphere="right") & (mask == 1))
    mask.reshape(-1)[pons[::12]] = 0
    rows = wire.unionize_rows(ATLAS, TORN)
    pons_id = store.atlas.structures("P")[0].id
    of_pons = {row["hemisphere_id"]: row for row in rows if row["structure_id"] == pons_id and not row["is_injection"]}
    lost = 0.001 * PIXELS_PER_VOXEL_VOLUME * pons[::12].size / of_pons[2]["volume"]
    for name in ("sum_pixels", "volume"):
        of_pons[3][name] -= lost * of_pons[2][name]
        of_pons[2][name] -= lost * of_pons[2][name]
    file = folder / "torn.json"
    file.write_text(json.dumps(rows))
    store.ingest_unionizes(file)
    return mask


@pytest.mark.parametrize("wrong", ["mirrored", "another"])
def test_the_table_tells_which_structures_a_data_mask_covers(store: Store, tmp_path: Path, wrong: str) -> None:
    fill_catalog(store, tmp_path, annotation=True)
    right = tear_pons(store, tmp_path)
    array = mirrored(right) if wrong == "mirrored" else true_volume(FIRST, "data_mask")
    (refused,) = store.adopt(write_cache(tmp_path / "wrong", TORN, {"data_mask": array})).refused
    figures = r"100.0% of P, right \(annotation at 100 um from .*\), has valid data, but 8\d.\d% in the unionize table"
    assert re.search(figures, refused.reason), refused.reason
    assert ("left and right seem to be exchanged" in refused.reason) == (wrong == "mirrored")
    assert store.adopt(write_cache(tmp_path / "right", TORN, {"data_mask": right})).volumes == 1
    assert store.volumes.check().problems == ()


@pytest.mark.parametrize(
    ("kind", "factor"), [("projection_density", 0.8), ("injection_density", 0.8), ("injection_density", 1.25)]
)
def test_the_annotation_tells_how_much_signal_is_in_the_brain(
    store: Store, tmp_path: Path, kind: VolumeKind, factor: float
) -> None:
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    right = true_volume(FIRST, kind)
    wrong = np.minimum(right * np.float32(factor), np.float32(1))
    reason = refused_reason(store, tmp_path / "wrong", kind, wrong)
    assert re.search(r"volume (in the brain )?is [\d.]+ mm3.*, but [\d.]+ mm3 in the", reason), reason
    assert store.adopt(write_cache(tmp_path / "right", FIRST, {kind: right})).volumes == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("data_mask", mirrored),
        ("projection_density", nineteen_twentieths),
        ("injection_density", nineteen_twentieths),
    ],
)
def test_doubtful_volumes_are_adopted(store: Store, tmp_path: Path, kind: VolumeKind, change: Change) -> None:
    """Users could not override a refusal. In the mirrored mask, 9 % of a structure are on the wrong side."""
    fill_catalog(store, tmp_path, tables=(TORN,), annotation=True)
    array = change(true_volume(TORN, kind))
    report = store.adopt(write_cache(tmp_path / "doubtful", TORN, {kind: array}))
    assert (report.volumes, report.refused) == (1, ())


def test_signal_at_the_border_of_a_structure_may_be_in_its_neighbor(store: Store, tmp_path: Path) -> None:
    """Shifted by two voxels, more than half of the signal of one division is in another."""
    experiment_id = ATLAS.experiment_ids[9]
    fill_catalog(store, tmp_path, tables=(experiment_id,), annotation=True)
    shifted = np.roll(true_volume(experiment_id), 2, axis=1)
    report = store.adopt(write_cache(tmp_path / "shifted", experiment_id, {"projection_density": shifted}))
    assert (report.volumes, report.refused) == (1, ())


def test_the_volume_of_another_experiment_on_the_same_side_is_refused(store: Store, tmp_path: Path) -> None:
    """Every other experiment of the atlas that is injected on the same side.

    One in the same structure with nearly the same amount of signal cannot be told apart by its projections.
    """
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    others = [i for i in ATLAS.experiment_ids if i != FIRST and ATLAS.experiment(i).injected_hemisphere == "right"]
    amounts = {
        i: ATLAS.experiment(i).projection_volume + ATLAS.experiment(i).injection_volume for i in (FIRST, *others)
    }
    primaries = {i: ATLAS.experiment(i).primary_structure_id for i in (FIRST, *others)}
    alike = {
        i for i in others if primaries[i] == primaries[FIRST] and amounts[i] == pytest.approx(amounts[FIRST], rel=0.1)
    }
    assert len(others) - len(alike) >= 4
    for kind in ("projection_density", "injection_density"):
        for i in others:
            if kind == "projection_density" and i in alike:
                continue
            reason = refused_reason(store, tmp_path / f"{kind}-{i}", VOLUME_KINDS[kind].name, true_volume(i, kind))
            assert f"of experiment {FIRST}" in reason


OTHER_KINDS: list[tuple[VolumeKind, VolumeKind, str]] = [
    ("projection_density", "injection_density", "of the injection density is above the projection density"),
    ("injection_fraction", "injection_density", "of the injection density is above the injection fraction"),
]


@pytest.mark.parametrize(("kind", "stored", "words"), OTHER_KINDS)
def test_kinds_of_one_experiment_must_agree(
    store: Store, tmp_path: Path, kind: VolumeKind, stored: VolumeKind, words: str
) -> None:
    fill_catalog(store, tmp_path)
    right = true_volume(FIRST, kind)
    assert store.adopt(write_cache(tmp_path / "stored", FIRST, {stored: true_volume(FIRST, stored)})).volumes == 1
    # The amounts of the two kinds are not in the list of experiments.
    reason = refused_reason(store, tmp_path / "wrong", kind, half(right))
    assert re.search(rf"[\d.]+% {words} \(compared with the {stored} at 100 um in the store\)", reason), reason
    assert store.adopt(write_cache(tmp_path / "right", FIRST, {kind: right})).volumes == 1


def test_a_data_mask_without_data_where_there_is_signal_is_refused(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    store.adopt(write_cache(tmp_path / "stored", FIRST, {"projection_density": true_volume(FIRST)}))
    mask = true_volume(FIRST, "data_mask").copy()
    mask[:, :, 57:] = 0
    reason = refused_reason(store, tmp_path / "wrong", "data_mask", mask)
    assert re.search(r"[\d.]+% of the projection density is where the data mask is 0", reason), reason


def test_inside_the_injection_site_the_densities_must_be_equal(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    kinds: tuple[VolumeKind, ...] = ("injection_density", "injection_fraction")
    store.adopt(write_cache(tmp_path / "stored", FIRST, {kind: true_volume(FIRST, kind) for kind in kinds}))
    wrong = true_volume(FIRST).copy()
    wrong[wrong > 0] = np.float32(1)
    reason = refused_reason(store, tmp_path / "wrong", "projection_density", wrong * np.float32(0.9))
    assert "where the injection fraction is 1, injection density and projection density differ by" in reason


def test_spacings_of_one_kind_must_agree(store: Store, tmp_path: Path) -> None:
    fill_catalog(store, tmp_path)
    right = true_volume(FIRST)
    store.adopt(write_cache(tmp_path / "stored", FIRST, {"projection_density": right}))
    reason = refused_reason(store, tmp_path / "wrong", "projection_density", half(right), spacing_um=50)
    assert re.search(r"those of the projection_density at 100 um in the store are [\d.]+ and [\d.]+", reason), reason
    cache = write_cache(tmp_path / "right", FIRST, {"projection_density": right}, spacing_um=50)
    assert store.adopt(cache).volumes == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("knows", ["list", "tables", "annotation"])
def test_all_volumes_of_the_atlas_pass(store: Store, tmp_path: Path, knows: str) -> None:
    ids = ATLAS.experiment_ids[:6]
    tables = () if knows == "list" else ids
    fill_catalog(store, tmp_path, tables=tables, annotation=knows == "annotation")
    for number, i in enumerate(ids):
        # Each kind is the first to come once.
        kinds = [row.name for row in VOLUME_KINDS.values()]
        kinds = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
        for name, chosen in (("first", kinds[:1]), ("others", kinds[1:])):
            volumes: dict[str, Array] = {kind: true_volume(i, kind) for kind in chosen}
            report = store.adopt(write_cache(tmp_path / f"{i}-{name}", i, volumes))
            assert (report.volumes, report.refused) == (len(chosen), ())
    found = store.volumes.check()
    assert found.checked == len(ids) * len(VOLUME_KINDS)
    assert found.problems == ()


def test_voxels_without_data_are_no_contradiction(store: Store, tmp_path: Path) -> None:
    """In older files -1 means no data: the signal there is not known."""
    fill_catalog(store, tmp_path, tables=(FIRST,), annotation=True)
    right = true_volume(FIRST).copy()
    right[:60] = -1
    assert store.adopt(write_cache(tmp_path / "older", FIRST, {"projection_density": right})).refused == ()


# Every row of PLAUSIBILITY_CHECKS is broken by a test above.
COVERED = (
    "values",
    "amount",
    "hemisphere",
    "position",
    "structures",
    "energies",
    "coverage",
    "other_kinds",
    "other_spacings",
)
