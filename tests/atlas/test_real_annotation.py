"""Allen's own annotation against Allen's own volumes: what the store says of real files is what is known of them."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bsv_store import Selection, Store, open_store
from bsv_store.acquisition.annotation import AnnotationReport
from bsv_store.formats.label_files import Label, read_labels
from tests.atlas.conftest import fill_with_allens
from tests.datasets.world import add_volume
from tests.stores import Templates

EXPERIMENT = 158375425
# Allen books a pixel as 1.225e-9 mm3: unionize volumes are so much larger than those of the voxels.
PSU_FACTOR = 1.1025


# One worker makes the store once. The database does not matter here.
pytestmark = pytest.mark.xdist_group("real-annotation")


@pytest.fixture(scope="module")
def real(
    templates: Templates,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    data: Path,
    allen_reports: list[AnnotationReport],
) -> Iterator[Store]:
    """The real ontology, the web site's list, the annotation at 25 um and one experiment's volumes at 100 um."""
    filled, _ = templates.template(fill_with_allens, "sqlite", request, data, allen_reports)
    assert (allen_reports[0].structures, allen_reports[0].annotated_voxels) == (671, 32_387_385)
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(filled, folder / "store")
    # Without the annotation, which would be read again.
    name = f"experiment_{EXPERIMENT}"
    shutil.copytree(data / "allensdk_cache" / name, folder / "cache" / name)
    with open_store(folder / "store") as store:
        store.ingest_experiments(data / "allenAtlasProjection_info.csv")
        adopted = store.adopt(folder / "cache", experiment_ids=[EXPERIMENT])
        assert adopted.volumes == 4
        yield store


def coarse(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of each 100 um voxel that a mask at 25 um fills."""
    share: NDArray[np.float64] = mask.reshape(132, 4, 80, 4, 114, 4).mean(axis=(1, 3, 5))
    return share


def test_real_volumes_weighted_by_the_real_annotation_give_the_unionized_volume(real: Store) -> None:
    density, injection = (
        real.volume(EXPERIMENT, kind=kind).astype(np.float64) for kind in ("projection_density", "injection_density")
    )
    brain = real.atlas.mask("root", spacing_um=25)
    assert brain.sum() == 32_387_385
    volume = ((density - injection) * coarse(brain)).sum() * 0.1**3 * PSU_FACTOR
    assert volume == pytest.approx(1.4551, abs=5e-5)
    (unionized,) = real.experiments(Selection(ids=[EXPERIMENT]))["projection_volume"]
    assert unionized == pytest.approx(1.4534, abs=5e-5)
    assert volume == pytest.approx(unionized, rel=2e-3)
    # Without the factor it is another quantity: never mix the two.
    assert volume / PSU_FACTOR < 0.92 * unionized


def test_the_real_annotation_is_nearly_but_not_exactly_symmetric(real: Store) -> None:
    ids = real.atlas.annotation(spacing_um=25)
    assert (ids == ids[..., ::-1]).mean() == pytest.approx(0.984, abs=0.0005)
    left, right = (real.atlas.mask("CP", spacing_um=25, hemisphere=side) for side in ("left", "right"))
    assert left.sum() == pytest.approx(right.sum(), rel=0.01)
    assert (left[..., ::-1] & right).sum() / right.sum() > 0.98
    np.testing.assert_array_equal(real.atlas.annotation(spacing_um=25, ap=slice(200, 203)), ids[200:203])


def test_the_signal_by_structure_names_its_annotation(real: Store) -> None:
    frame = real.atlas.signal(Selection(ids=[EXPERIMENT]), ["CP", "root"])
    assert frame.attrs["annotation"] == (
        "derived from Allen's annotation of 2017 at 25 um, at 100 um, array SHA-256 5d3acaa11e6b466c"
    )
    assert frame.attrs["annotation_sha256"].startswith("5d3acaa11e6b466c")


# Replaces the annotation at 100 um, so it is the last one.
def test_signal_of_a_real_experiment_from_voxels_lies_where_the_masked_array_says(real: Store, tmp_path: Path) -> None:
    # Allen's annotation at 100 um is not at hand: the one at 25 um, taken at the centers, is as good for this.
    from bsv_store_synthetic.wire_volumes import nrrd

    sampled = real.atlas.annotation(spacing_um=25)[2::4, 2::4, 2::4]
    path = tmp_path / "annotation_100.nrrd"
    path.write_bytes(nrrd(sampled, 100, dtype="u4"))
    real.ingest_annotation(path, replace=True)
    frame = real.atlas.signal(Selection(ids=[EXPERIMENT]), ["CP", "Isocortex", "root"], hemisphere=["left", "both"])
    density = real.volume(EXPERIMENT)
    for row in frame.itertuples():
        mask = real.atlas.mask(row.structure, hemisphere=row.hemisphere)
        assert row.voxels == mask.sum()
        assert row.sum == pytest.approx(density[mask].sum(dtype=np.float64), rel=1e-12)
    (total,) = frame.query("structure == 'root' and hemisphere == 'both'")["sum"]
    # 3.7 % of the signal lies outside the annotation.
    assert 1 - total / density.sum(dtype=np.float64) == pytest.approx(0.037, abs=0.005)


def test_the_real_annotation_is_labelled(real: Store, tmp_path: Path) -> None:
    written = real.atlas.export_labels(tmp_path / "ccf.npy", structure_set=167587189)
    image, ids = np.load(written.image), real.atlas.annotation()
    assert (len(written.labels), image.max()) == (316, 316)
    place = written.structure_ids.index(672)
    assert written.labels[place] == Label(place + 1, "CP (Caudoputamen)", (0x98, 0xD6, 0xF9))
    np.testing.assert_array_equal(image == place + 1, ids == 672)
    assert read_labels(written.label_description) == read_labels(written.color_table) == written.labels


def test_voxels_of_real_structures_are_counted(real: Store) -> None:
    counts = real.atlas.voxel_counts(spacing_um=25).set_index("structure")
    assert len(counts) == 1327
    root = counts.loc["root"]
    assert (root.voxels, root.direct_voxels) == (32_387_385, 227_252)
    assert counts.direct_voxels.sum() == root.voxels
    assert counts.loc["CP"].volume == pytest.approx(26.0193, abs=5e-5)
    assert counts.loc["retina"].voxels == 0
    assert counts.loc["VISp"].direct_voxels == 0
    assert counts.loc["VISp"].voxels == real.atlas.mask("VISp", spacing_um=25).sum()


def test_the_centroid_of_a_real_injection_lies_near_its_coordinate(real: Store) -> None:
    (row,) = real.volumes.injection_centroids([EXPERIMENT]).itertuples()
    density = real.volume(EXPERIMENT, kind="injection_density").astype(np.float64)
    expected = [
        (np.array(np.nonzero(density))[axis] + 0.5) @ density[density > 0] * 100 / density.sum() for axis in range(3)
    ]
    assert [row.centroid_ap, row.centroid_dv, row.centroid_ml] == pytest.approx(expected)
    assert row.distance_um < 500
    # In the ventral posteromedial nucleus of the thalamus.
    ids = real.atlas.annotation()
    at = tuple(int(value // 100) for value in (row.centroid_ap, row.centroid_dv, row.centroid_ml))
    assert real.atlas.descends_from(int(ids[at]), "TH")


def test_a_target_that_half_of_the_animals_do_not_reach_is_found_by_voxel(real: Store) -> None:
    """Copies of a real volume, moved and scaled by a little, as replicates; half of them do not project to SSp."""
    density = real.volume(EXPERIMENT)
    target = real.atlas.mask("SSp", hemisphere="right")
    random = np.random.default_rng(3)
    ids = [each for each in real.select() if each != EXPERIMENT][:8]
    animals = []
    for number, identifier in enumerate(ids):
        moved = np.roll(density, random.integers(-1, 2, 3), (0, 1, 2)) * np.float32(random.uniform(0.8, 1))
        if number >= 4:
            moved = np.where(target, np.float32(0), moved)
        animals.append(moved)
        add_volume(real, identifier, array=moved)
    version = real.compare_voxels(ids[:4], ids[4:], name="without-ssp", permutations=20, cluster="tfce", seed=1)
    a, b = np.stack(animals[:4]).astype(np.float64), np.stack(animals[4:]).astype(np.float64)
    np.testing.assert_allclose(version.statistic("difference"), a.mean(0) - b.mean(0), atol=1e-6)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = stats.ttest_ind(a, b, equal_var=False).statistic
    t = version.statistic("t")
    tested = np.isfinite(t) & np.isfinite(expected) & (np.abs(expected) < 1e3)
    assert tested.sum() > 50_000
    np.testing.assert_allclose(t[tested], expected[tested], rtol=1e-3, atol=1e-4)
    silenced, other = (tested & (a.mean(0) > 0.02) & inside for inside in (target, ~target))
    assert min(silenced.sum(), other.sum()) > 1_000
    assert (t[silenced] > 0).mean() > 0.95
    # Single animals of four are few: the whole target stands out, not each of its voxels.
    for name in ("p_permutation", "p_tfce"):
        p = version.statistic(name)
        assert (p[tested] > 0).all()
        assert (p[tested] <= 1).all()
        assert np.median(p[silenced]) < np.median(p[other]), name
