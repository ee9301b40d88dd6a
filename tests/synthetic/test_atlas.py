"""The synthetic atlas: the same everywhere, and true to the identities of the real tables and grids."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from bsv_store.errors import InputError
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.checks import checked_volume
from bsv_store.volumes.grid import EXTENT_UM, Grid, mirror
from bsv_store_synthetic import SyntheticAtlas, anatomy, noise, volumes
from bsv_store_synthetic import ontology as tree
from bsv_store_synthetic.unionize import UnionizeRow

ATLAS = SyntheticAtlas()
IDS = ATLAS.experiment_ids
SAMPLE = (IDS[0], IDS[7], IDS[17], IDS[18])
VOXEL_MM3 = 1e-3
SCALE = 1.1025

_CHECKOUT = Path(__file__).resolve().parents[2]
_HASHES = """
import hashlib, json, sys
from bsv_store_synthetic import SyntheticAtlas
atlas = SyntheticAtlas(seed=int(sys.argv[1]), experiments=int(sys.argv[2]))
first = atlas.experiment_ids[int(sys.argv[3])]
arrays = [atlas.annotation, *(atlas.volume(first, kind) for kind in json.loads(sys.argv[4]))]
hashes = [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
print(json.dumps([*hashes, repr(atlas.experiment(first)), repr(atlas.unionize(first))]))
"""


@cache
def rows(experiment_id: int) -> dict[tuple[int, int, bool], UnionizeRow]:
    found = {(r.structure_id, r.hemisphere_id, r.is_injection): r for r in ATLAS.unionize(experiment_id)}
    assert len(found) == len(ATLAS.unionize(experiment_id))
    return found


def fingerprints(seed: int, experiments: int, number: int) -> list[str]:
    arguments = [str(seed), str(experiments), str(number), json.dumps(list(VOLUME_KINDS))]
    command = [sys.executable, "-c", _HASHES, *arguments]
    done = subprocess.run(command, cwd=_CHECKOUT / "synthetic", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: list[str] = json.loads(done.stdout)
    return answer


def test_another_process_and_another_size_make_the_same_experiment() -> None:
    there = fingerprints(0, 3, 2)
    arrays = [ATLAS.annotation, *(ATLAS.volume(IDS[2], kind) for kind in get_args(VolumeKind))]
    here = [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
    assert there == [*here, repr(ATLAS.experiment(IDS[2])), repr(ATLAS.unionize(IDS[2]))]


def test_numbers_are_the_ones_of_every_machine() -> None:
    """Known values: a change here would change every synthetic store and dataset hash that anybody wrote down."""
    assert noise.key_of("experiment", 0, 1) == 17517768122866556210
    digest = hashlib.sha256(ATLAS.annotation.astype("<u4").tobytes())
    digest.update(ATLAS.volume(IDS[0]).astype("<f4").tobytes())
    assert digest.hexdigest() == "04db4cf0558553554c9f09451bc93a68f352cfc52f851f62efb03b2e639a326c"


def test_another_seed_makes_other_experiments_on_the_same_anatomy() -> None:
    other = SyntheticAtlas(seed=1, experiments=1)
    assert not np.array_equal(other.volume(IDS[0]), ATLAS.volume(IDS[0]))
    assert other.experiment(IDS[0]).injection_volume != ATLAS.experiment(IDS[0]).injection_volume
    assert other.annotation is ATLAS.annotation


def test_no_experiments_are_refused() -> None:
    with pytest.raises(InputError, match="positive integer"):
        SyntheticAtlas(experiments=0)


@pytest.mark.parametrize("unknown", [0, IDS[0] - 1, IDS[-1] + 1])
def test_unknown_experiment_is_a_key_error(unknown: int) -> None:
    assert unknown not in ATLAS
    for ask in (ATLAS.experiment, ATLAS.unionize, ATLAS.volume):
        with pytest.raises(KeyError):
            ask(unknown)


def test_tree_is_one_tree_in_graph_order() -> None:
    structures = ATLAS.structures
    assert structures[0].id == 997
    assert structures[0].parent_structure_id is None
    assert [s.graph_order for s in structures] == list(range(len(structures)))
    seen: set[int] = set()
    for structure in structures:
        assert structure.parent_structure_id is None or structure.parent_structure_id in seen
        assert structure.id not in seen
        seen.add(structure.id)
    assert len({s.acronym for s in structures}) == len(structures)
    # Allen's ids end below 700 million; larger ones than uint32 could not stand in an annotation.
    assert all(700_000_000 < s.id < 2**32 for s in structures[1:])


def test_tree_holds_the_traps_of_the_real_one() -> None:
    acronyms = {s.acronym for s in ATLAS.structures}
    assert {"VISp", "VISpm", "VIS", "VISC", "P", "PAG", "CM", "cm", "VISp2/3"} <= acronyms
    assert any("," in acronym for acronym in acronyms)
    visual = tree.invented().descendants(ATLAS.structure("VIS").id)
    assert ATLAS.structure("VISp5").id in visual
    assert ATLAS.structure("VISC").id not in visual
    assert ATLAS.structure("VISpm").id not in tree.invented().descendants(ATLAS.structure("VISp").id)
    assert ATLAS.structure("retina").id not in tree.invented().descendants(ATLAS.structure("grey").id)
    colors = [s.color_hex_triplet for s in ATLAS.structures]
    assert all(len(color) == 6 and int(color, 16) >= 0 and color == color.upper() for color in colors)
    assert any(color.startswith("00") for color in colors)


def test_annotation_names_every_leaf_with_tissue_and_nothing_else() -> None:
    annotation = ATLAS.annotation
    assert annotation.shape == Grid(100).shape
    assert annotation.dtype == np.uint32
    parents = {s.parent_structure_id for s in ATLAS.structures}
    leaves = {s.id for s in ATLAS.structures if s.id not in parents and s.acronym != "retina"}
    assert set(np.unique(annotation).tolist()) == leaves | {0}
    assert not annotation.flags.writeable


def test_annotation_is_nearly_but_not_exactly_symmetric() -> None:
    equal = (ATLAS.annotation == mirror(ATLAS.annotation)).mean()
    assert 0.97 < equal < 1


def test_catalog_covers_the_cases() -> None:
    experiments = [ATLAS.experiment(i) for i in IDS]
    primaries = [e.primary_structure_acronym for e in experiments]
    assert primaries.count("VISp") >= 6
    assert primaries.count("VISl") >= 4
    assert {e.injected_hemisphere for e in experiments} == {"left", "right"}
    assert {e.sex for e in experiments} == {"M", "F"}
    assert any(e.strain is None for e in experiments)
    assert any(e.strain for e in experiments)
    assert len({e.product_id for e in experiments}) >= 4
    assert sum(e.is_wild_type for e in experiments) >= 8
    types = {tuple(line.type_name for line in e.lines) for e in experiments}
    assert {(), ("driver",), ("reporter",), ("wild type",), ("driver", "wild type")} <= types
    bilateral = [e for e in experiments if min(e.injection_volumes) >= 0.01 * e.injection_volume]
    assert 1 <= len(bilateral) <= 4
    assert all(min(e.injection_volumes) <= 0.21 * e.injection_volume for e in bilateral)
    # One coordinate lies left of the midline although most of the virus went right.
    assert any(e.injection_ml < 5_700 and e.injected_hemisphere == "right" for e in experiments)
    assert min(IDS) > 9_000_000_000


def test_visual_injections_spread_from_front_to_back() -> None:
    places = [e.injection_ap for e in map(ATLAS.experiment, IDS) if e.primary_structure_acronym == "VISp"]
    edges = np.linspace(min(places), max(places), 6)
    assert (np.histogram(places, edges)[0] > 0).all()
    assert max(places) - min(places) > 2_000


@pytest.mark.parametrize("experiment_id", IDS)
def test_injection_coordinate_is_the_densest_voxel_in_the_primary_structure(experiment_id: int) -> None:
    experiment = ATLAS.experiment(experiment_id)
    point = (experiment.injection_ap, experiment.injection_dv, experiment.injection_ml)
    assert all(value % 10 == 0 and 0 < value < extent for value, extent in zip(point, EXTENT_UM, strict=True))
    voxel = Grid(100).voxel(*point)
    assert int(ATLAS.annotation[voxel]) in tree.invented().descendants(experiment.primary_structure_id)
    assert ATLAS.volume(experiment_id, "injection_density")[voxel] == 1
    root = rows(experiment_id)[997, 3, True]
    assert (root.max_voxel_x, root.max_voxel_y, root.max_voxel_z) == point
    assert experiment.primary_structure_id in experiment.injection_structure_ids
    assert list(experiment.injection_structure_ids) == sorted(set(experiment.injection_structure_ids))


@pytest.mark.parametrize("experiment_id", SAMPLE)
@pytest.mark.parametrize("kind", get_args(VolumeKind))
def test_volumes_pass_the_checks_of_real_ones(experiment_id: int, kind: VolumeKind) -> None:
    array = ATLAS.volume(experiment_id, kind)
    checked = checked_volume(array, kind, what=kind)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(checked.array, array)


def test_density_is_sparse_and_heavy_tailed() -> None:
    shares = []
    for experiment_id in IDS:
        density = ATLAS.volume(experiment_id)
        signal = density[density > 0]
        shares.append(signal.size / density.size)
        assert len(np.unique(signal)) > 0.99 * signal.size
        low, middle, high = np.quantile(signal, [0.25, 0.5, 0.99])
        assert low < 1e-3 < high
        assert middle < 0.02 * high
    assert 0.06 < np.mean(shares) < 0.08


# In the last, the torn spot reaches into the injection site.
@pytest.mark.parametrize("experiment_id", [*SAMPLE, IDS[0] + 95_536])
def test_grids_agree_with_each_other(experiment_id: int) -> None:
    large = SyntheticAtlas(experiments=100_000)
    projection, injection, fraction, mask, energy, injected = (
        large.volume(experiment_id, kind)
        for kind in (
            "projection_density",
            "injection_density",
            "injection_fraction",
            "data_mask",
            "projection_energy",
            "injection_energy",
        )
    )
    full = fraction == 1
    assert full.any()
    assert np.array_equal(injection[full], projection[full])
    assert (injection <= projection).all()
    assert ((injection > 0) == (fraction > 0)).all()
    assert not injection[ATLAS.annotation == 0].any()
    assert not projection[mask == 0].any()
    assert (mask[fraction > 0] == 1).all()
    assert 0.9 < (mask == 1).mean() < 1
    assert ((mask > 0) & (mask < 1)).any()
    assert ((energy > 0) == (projection > 0)).all()
    assert np.array_equal(injected[full], energy[full])
    # A brain mask loses signal, as with the real grids.
    assert projection[ATLAS.annotation == 0].any()


def test_projections_cross_the_midline_weakly() -> None:
    for experiment_id in (IDS[0], IDS[2]):
        outside = ATLAS.volume(experiment_id) - ATLAS.volume(experiment_id, "injection_density")
        left, right = float(outside[..., :57].sum()), float(outside[..., 57:].sum())
        near, far = (left, right) if ATLAS.experiment(experiment_id).injected_hemisphere == "left" else (right, left)
        assert 0 < far < 0.6 * near


@pytest.mark.parametrize("experiment_id", IDS)
def test_unionize_identities_hold(experiment_id: int) -> None:
    table = rows(experiment_id)
    whole = table[997, 3, True].projection_volume
    for row in table.values():
        assert row.section_data_set_id == experiment_id
        assert row.volume == pytest.approx(row.sum_pixels * 1.225e-9, rel=1e-14)
        assert row.projection_volume == pytest.approx(row.sum_projection_pixels * 1.225e-9, rel=1e-14)
        assert row.projection_density == pytest.approx(row.projection_volume / row.volume, rel=1e-12)
        assert row.projection_energy == pytest.approx(row.projection_density * row.projection_intensity, rel=1e-12)
        assert row.normalized_projection_volume == pytest.approx(row.projection_volume / whole, rel=1e-14)
        assert 0 <= row.projection_density <= 1
        assert row.sum_projection_pixel_intensity <= row.sum_pixel_intensity
        place = (row.max_voxel_x, row.max_voxel_y, row.max_voxel_z)
        assert (place == (0, 0, 0)) == (row.max_voxel_density == 0) == (row.projection_volume == 0)
        assert all(value % 10 == 0 for value in place)
        assert row.sum_pixels > 0
    experiment = ATLAS.experiment(experiment_id)
    assert experiment.injection_volume == whole
    assert experiment.projection_volume == table[997, 3, False].projection_volume
    assert sum(experiment.injection_volumes) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("experiment_id", IDS)
def test_left_and_right_add_up_to_both(experiment_id: int) -> None:
    table = rows(experiment_id)
    for (structure_id, hemisphere, part), row in table.items():
        sides = [table[key] for side in (1, 2) if (key := (structure_id, side, part)) in table]
        assert sides, "a side without its sum, or a sum without sides"
        assert (structure_id, 3, part) in table
        if hemisphere == 3:
            for name in ("volume", "projection_volume", "sum_pixel_intensity"):
                assert getattr(row, name) == pytest.approx(sum(getattr(s, name) for s in sides), rel=1e-14)
            assert row.max_voxel_density == max(side.max_voxel_density for side in sides)


@pytest.mark.parametrize("experiment_id", SAMPLE)
def test_unionize_is_what_the_grids_and_annotation_give(experiment_id: int) -> None:
    """Every row computed again, voxel by voxel, from the public arrays alone."""
    projection = ATLAS.volume(experiment_id, "projection_density").astype(np.float64)
    injection = ATLAS.volume(experiment_id, "injection_density").astype(np.float64)
    fraction = ATLAS.volume(experiment_id, "injection_fraction").astype(np.float64)
    mask = ATLAS.volume(experiment_id, "data_mask").astype(np.float64)
    targets = [s for s in ATLAS.structures if s.id == 997 or tree.PSU_SET in s.structure_set_ids]
    halves = {1: slice(0, 57), 2: slice(57, 114), 3: slice(0, 114)}
    expected: dict[tuple[int, int, bool], tuple[float, float, float]] = {}
    for structure, (hemisphere, half) in itertools.product(targets, halves.items()):
        inside = np.isin(ATLAS.annotation[..., half], list(tree.invented().descendants(structure.id)))
        for part, density, tissue in ((True, injection, fraction), (False, projection - injection, mask - fraction)):
            if tissue[..., half][inside].any():
                found = density[..., half][inside]
                expected[structure.id, hemisphere, part] = tissue[..., half][inside].sum(), found.sum(), found.max()
    table = rows(experiment_id)
    assert set(table) == set(expected)
    for key, (covered, signal, peak) in expected.items():
        row = table[key]
        assert row.volume == pytest.approx(covered * VOXEL_MM3 * SCALE, rel=1e-9)
        assert row.projection_volume == pytest.approx(signal * VOXEL_MM3 * SCALE, rel=1e-9, abs=1e-15)
        assert row.max_voxel_density == pytest.approx(peak, rel=1e-12)


@pytest.mark.parametrize("experiment_id", SAMPLE)
def test_densest_voxel_of_a_row_lies_in_its_structure_and_hemisphere(experiment_id: int) -> None:
    for (structure_id, hemisphere, _), row in rows(experiment_id).items():
        if row.max_voxel_density > 0:
            voxel = Grid(100).voxel(row.max_voxel_x, row.max_voxel_y, row.max_voxel_z)
            assert int(ATLAS.annotation[voxel]) in tree.invented().descendants(structure_id)
            assert hemisphere == 3 or (voxel[2] >= 57) == (hemisphere == 2)


@pytest.mark.parametrize("experiment_id", SAMPLE)
def test_injection_density_adds_up_to_the_injection_volume(experiment_id: int) -> None:
    total = ATLAS.volume(experiment_id, "injection_density").sum(dtype=np.float64) * VOXEL_MM3 * SCALE
    assert total == pytest.approx(ATLAS.experiment(experiment_id).injection_volume, rel=1e-12)


def test_injection_rows_exist_only_where_the_injection_reaches() -> None:
    touched = defaultdict(set)
    for row in ATLAS.unionize(IDS[0]):
        touched[row.is_injection].add(row.structure_id)
    assert ATLAS.structure("VISp").id in touched[True]
    assert ATLAS.structure("SCs").id not in touched[True]
    assert touched[True] < touched[False]
    assert ATLAS.structure("retina").id not in touched[False]
    assert len(touched[False]) == len([s for s in ATLAS.structures if tree.PSU_SET in s.structure_set_ids]) + 1


def test_row_ids_are_unique_across_experiments() -> None:
    numbers = [row.id for experiment_id in IDS for row in ATLAS.unionize(experiment_id)]
    assert len(set(numbers)) == len(numbers)


def test_kept_arrays_cannot_be_written_to() -> None:
    signal = volumes.signal_of(anatomy.INVENTED, 0, 0)
    for array in (signal.index, signal.projection, signal.fraction, signal.intensity, anatomy.INVENTED.codes):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
