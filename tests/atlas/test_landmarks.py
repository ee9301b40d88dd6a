"""Whose annotation it is: recognized by content, compared by landmarks and injections, and coarser ones derived."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store
from bsv_store.acquisition.annotation import AnnotationReport
from bsv_store.atlas.landmarks import identify
from bsv_store.errors import FrameError, InputError
from bsv_store.server.allen.wire import envelope
from bsv_store.volumes.annotation import Annotation
from bsv_store.volumes.grid import Grid
from bsv_store_synthetic import SyntheticAtlas, wire
from tests.formats.bodies import nrrd, raw

# One worker reads Allen's file once.
pytestmark = pytest.mark.xdist_group("real-annotation")

ATLAS = SyntheticAtlas()


def written(folder: Path, ids: NDArray[np.uint32], spacing_um: int = 100, name: str = "annotation.nrrd") -> Path:
    path = folder / name
    directions = " ".join(f"({','.join(str(spacing_um * (a == b)) for b in range(3))})" for a in range(3))
    header = {"type": "unsigned int", "sizes": " ".join(map(str, ids.shape)), "space directions": directions}
    path.write_bytes(nrrd(gzip.compress(raw(ids, "<u4"), 1), **header))
    return path


# -- Allen's --------------------------------------------------------------------------------------------------------

# The database does not matter to the content of files.
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def ontology(store: Store, data: Path) -> Store:
    """The real ontology."""
    store.ingest_structures(data / "allensdk_cache/structures.json")
    return store


@pytest.fixture(scope="session")
def allen_25um(data: Path) -> NDArray[np.uint32]:
    """Allen's annotation at 25 um, read by another library."""
    import nrrd as pynrrd

    ids, _ = pynrrd.read(str(data / "allensdk_cache/annotation/ccf_2017/annotation_25.nrrd"))
    return np.ascontiguousarray(ids)


@pytest.fixture(scope="session")
def centers(allen_25um: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """An annotation at 100 um that is not Allen's file: the voxels at the centers of its cells."""
    return np.ascontiguousarray(allen_25um[2::4, 2::4, 2::4])


@on_sqlite
def test_allens_file_is_recognized_and_gives_the_coarser_ones(
    allen_store: Store, allen_reports: list[AnnotationReport], allen_25um: NDArray[np.uint32], tmp_path: Path
) -> None:
    report = allen_reports[0]
    assert (report.outcome, report.origin, report.derived_um) == ("added", "allen", (50, 100))
    assert "Derived from finer ones: 50 um, 100 um." in report.summary()
    assert report.remarks == (
        "54.6 % of 2,918 injection coordinates lie in their primary structure (Allen's annotation: 55 to 57 %).",
    )
    for step, spacing_um in ((2, 50), (4, 100)):
        np.testing.assert_array_equal(
            allen_store.atlas.annotation(spacing_um=spacing_um), allen_25um[::step, ::step, ::step]
        )
    rows = allen_store.sql(
        "SELECT spacing_um, origin, derived_from_um, derived_from_sha256, array_sha256 FROM annotation"
    )
    by_spacing = rows.set_index("spacing_um").sort_index()
    assert by_spacing["origin"].tolist() == ["allen"] * 3
    assert by_spacing["derived_from_um"].fillna(0).astype(int).tolist() == [0, 25, 25]
    assert by_spacing.loc[100, "derived_from_sha256"] == by_spacing.loc[25, "array_sha256"]
    # Content that is not Allen's does not replace what was derived from Allen's, unless it is asked for.
    other = written(tmp_path, allen_25um[2::4, 2::4, 2::4])
    with pytest.raises(InputError, match="the stored annotation was kept") as caught:
        allen_store.ingest_annotation(other)
    assert f"ingest annotation --replace {other}" in str(caught.value.hint)
    np.testing.assert_array_equal(allen_store.atlas.annotation(spacing_um=100), allen_25um[::4, ::4, ::4])
    # A file with that content is no longer derived. That it is Allen's own cannot be told.
    same = allen_store.ingest_annotation(written(tmp_path, allen_25um[::4, ::4, ::4]))
    assert (same.outcome, same.origin) == ("added", "like_allen")
    assert "48 of 48 landmark structures match in position and volume." in same.remarks[0]
    assert "derived" not in same.name


@on_sqlite
@pytest.mark.parametrize(
    ("axes", "words"),
    [((0,), "the AP axis"), ((1,), "the DV axis"), ((0, 1), "the AP and DV axes"), ((0, 2), "the AP axis")],
)
def test_a_reversed_annotation_is_refused(
    ontology: Store, centers: NDArray[np.uint32], tmp_path: Path, axes: tuple[int, ...], words: str
) -> None:
    path = written(tmp_path, np.flip(centers, axes))
    with pytest.raises(FrameError, match=f"with {words} reversed: 48 of 48") as caught:
        ontology.ingest_annotation(path)
    assert str(path) in str(caught.value)
    assert ontology.sql("SELECT count(*) AS n FROM annotation")["n"].tolist() == [0]


@on_sqlite
def test_a_reversed_ml_axis_is_refused_where_it_can_be_told(
    ontology: Store, allen_25um: NDArray[np.uint32], tmp_path: Path
) -> None:
    for spacing_um, step in ((50, 2), (100, 4)):
        path = written(tmp_path, allen_25um[::step, ::step, ::step][..., ::-1], spacing_um)
        with pytest.raises(FrameError, match=r"the ML axis reversed: its structures lie 0\.4"):
            ontology.ingest_annotation(path)


def test_allens_file_with_a_reversed_ml_axis_is_recognized(allen_25um: NDArray[np.uint32]) -> None:
    mirrored = allen_25um[..., ::-1]
    annotation = Annotation.from_planes(Grid(25), lambda first, last: mirrored[first:last])
    with pytest.raises(FrameError, match="x is Allen's annotation with the ML axis reversed: its content"):
        identify(annotation, what="x")


def test_an_annotation_like_allens_is_marked_and_says_that_sides_cannot_be_told(
    ontology: Store, centers: NDArray[np.uint32], tmp_path: Path
) -> None:
    for ids in (centers, centers[..., ::-1]):
        report = ontology.ingest_annotation(written(tmp_path, ids), replace=True)
        assert report.origin == "like_allen"
        assert "swapped left and right cannot be detected" in report.remarks[0]
        assert "content differs" in report.name
    # Exchanged or not, the two differ in less than 2 % of the voxels.
    assert (centers != centers[..., ::-1]).mean() < 0.02


@on_sqlite
def test_a_moved_annotation_is_not_allens(ontology: Store, centers: NDArray[np.uint32], tmp_path: Path) -> None:
    report = ontology.ingest_annotation(written(tmp_path, np.roll(centers, 3, axis=0)))
    assert report.origin == "other"
    assert "3 of 48 landmark structures" in report.remarks[0]


def test_annotations_of_other_years_are_left_out_of_a_cache(
    ontology: Store, centers: NDArray[np.uint32], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    for year in (2015, 2016, 2017, 2022):
        folder = cache / f"annotation/ccf_{year}"
        folder.mkdir(parents=True)
        changed = centers.copy()
        changed[60 : 60 + abs(2017 - year)] = 0
        written(folder, changed, name="annotation_100.nrrd")
    (cache / "manifest.json").write_text("{}")
    report = ontology.adopt(cache)
    assert report.annotations == 1
    assert "match in position and volume" in report.remarks[0]
    left_out = {each.path.parent.name: each.reason for each in report.ignored if each.path.suffix == ".nrrd"}
    assert left_out == {
        f"ccf_{year}": f"the annotation of {year}; that of the CCFv3 is of 2017" for year in (2015, 2016, 2022)
    }
    np.testing.assert_array_equal(ontology.atlas.annotation(), centers)
    with pytest.raises(FrameError, match="2016 annotation, but the CCFv3 annotation must be that of 2017"):
        ontology.ingest_annotation(cache / "annotation/ccf_2016/annotation_100.nrrd", replace=True)


# -- the synthetic atlas --------------------------------------------------------------------------------------------


@pytest.fixture
def synthetic(store: Store, tmp_path: Path) -> Store:
    """The synthetic ontology and experiments."""
    rows = {
        "structures": wire.structure_rows(structure_sets=True),
        "experiments": [wire.connectivity_rows(ATLAS.experiment(each))[0] for each in ATLAS.experiment_ids],
    }
    for name in rows:
        (tmp_path / f"{name}.json").write_bytes(envelope(rows[name]))
    store.ingest_structures(tmp_path / "structures.json")
    store.ingest_experiments(tmp_path / "experiments.json", allow_shrinking=True)
    return store


def test_another_atlas_is_recorded_as_such_and_named_by_its_tables(synthetic: Store, tmp_path: Path) -> None:
    report = synthetic.ingest_annotation(written(tmp_path, ATLAS.annotation, name="lab.nrrd"))
    assert report.origin == "other"
    assert report.remarks[0] == "It is not Allen's annotation: it has other structures."
    assert "injection coordinates lie in their primary structure" in report.remarks[1]
    assert report.name.startswith("lab.nrrd (not Allen's) at 100 um, array SHA-256 ")


@pytest.mark.parametrize(("axes", "words"), [((0,), "the AP axis"), ((1,), "the DV axis"), ((0, 1), "AP and DV axes")])
def test_injections_tell_a_reversed_annotation_of_any_atlas(
    synthetic: Store, tmp_path: Path, axes: tuple[int, ...], words: str
) -> None:
    with pytest.raises(FrameError, match=rf"{words} reversed: \d+\.\d % of \d+ injection coordinates"):
        synthetic.ingest_annotation(written(tmp_path, np.flip(ATLAS.annotation, axes)))


def test_coarser_annotations_follow_the_finer_one(synthetic: Store, tmp_path: Path) -> None:
    fine = ATLAS.annotation.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    report = synthetic.ingest_annotation(written(tmp_path, fine, 50))
    assert report.derived_um == (100,)
    np.testing.assert_array_equal(synthetic.atlas.annotation(), ATLAS.annotation)
    frame = synthetic.sql("SELECT path FROM annotation WHERE spacing_um = 100")
    changed = fine.copy()
    changed[:60] = 0
    assert synthetic.ingest_annotation(written(tmp_path, changed, 50), replace=True).derived_um == (100,)
    np.testing.assert_array_equal(synthetic.atlas.annotation(), changed[::2, ::2, ::2])
    assert not (synthetic.path / frame["path"][0]).exists()


def test_a_replaced_derived_annotation_is_not_derived_again(synthetic: Store, tmp_path: Path) -> None:
    fine = written(tmp_path, ATLAS.annotation.repeat(2, 0).repeat(2, 1).repeat(2, 2), 50, name="fine.nrrd")
    assert synthetic.ingest_annotation(fine).derived_um == (100,)
    changed = ATLAS.annotation.copy()
    changed[:60] = 0
    assert synthetic.ingest_annotation(written(tmp_path, changed), replace=True).outcome == "replaced"
    np.testing.assert_array_equal(synthetic.atlas.annotation(), changed)
    again = synthetic.ingest_annotation(fine)
    assert (again.outcome, again.derived_um) == ("present", ())
    np.testing.assert_array_equal(synthetic.atlas.annotation(), changed)
    assert len(list(synthetic.path.glob("volumes/annotation/100um/*.h5"))) == 1


def test_a_store_of_an_earlier_release_has_unchecked_annotations_until_they_are_synchronized(
    synthetic: Store, tmp_path: Path
) -> None:
    from bsv_store.catalog.database import schema

    path = written(tmp_path, ATLAS.annotation.repeat(2, 0).repeat(2, 1).repeat(2, 2), 50)
    synthetic.ingest_annotation(path)
    schema.downgrade(synthetic.database, "0006")
    # It would not know that this one was derived.
    assert synthetic.sql("SELECT spacing_um FROM annotation")["spacing_um"].tolist() == [50]
    schema.upgrade(synthetic.database)
    assert synthetic.sql("SELECT origin FROM annotation")["origin"].tolist() == ["unchecked"]
    # Compared without a download.
    report = synthetic.sync_annotation(spacing_um=50, download_url="http://127.0.0.1:9")
    assert (report.outcome, report.origin, report.derived_um) == ("checked", "other", (100,))
    assert "has other structures" in report.summary()
    assert synthetic.sync_annotation(spacing_um=50, download_url="http://127.0.0.1:9").outcome == "present"
    np.testing.assert_array_equal(synthetic.atlas.annotation(), ATLAS.annotation)


def test_an_older_store_says_how_to_derive(synthetic: Store, tmp_path: Path) -> None:
    from sqlalchemy import text

    from bsv_store.errors import MissingDataError

    path = written(tmp_path, ATLAS.annotation.repeat(2, 0).repeat(2, 1).repeat(2, 2), 50)
    synthetic.ingest_annotation(path)
    with synthetic.database.writing() as connection:
        connection.execute(text("DELETE FROM annotation WHERE spacing_um = 100"))
    with pytest.raises(MissingDataError) as caught:
        synthetic.atlas.annotation()
    assert "bsv-store sync annotation --spacing 50" in str(caught.value.hint)
    # Already present, so nothing is downloaded.
    report = synthetic.sync_annotation(spacing_um=50, download_url="http://127.0.0.1:9")
    assert (report.outcome, report.derived_um) == ("present", (100,))
