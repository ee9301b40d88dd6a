"""Imported versions: what is computed again at once, later, or never, and what may answer a question."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store import Selection, by_coordinate, open_store
from bsv_store.catalog.database import schema
from bsv_store.errors import NotReproducibleError, StoreError, UnknownDatasetError
from bsv_store.owner import current_user
from bsv_store.vocabulary import DATASET_STANDINGS, DatasetStanding
from tests.datasets.bundles import changed, doubled, forged
from tests.datasets.world import IDS, VISUAL, add_volume, ask, fill, forget_listed_volumes, remove_volume

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store

# Without the volume of experiment 1, nothing can be computed again.
WITHOUT = 1


def answer(store: Store) -> DatasetVersion:
    return ask(store, Selection(ids=IDS), by_coordinate("AP", edges=[3000, 8200, 9400]), normalize="injection_volume")


@pytest.fixture(scope="session")
def _bundle(_filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        return answer(store).export(folder / "a.bsv.zip")


@pytest.fixture
def good(_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(_bundle, tmp_path / "a.bsv.zip"))


@pytest.fixture
def bad(good: Path) -> Path:
    """Twice the mean, with hashes that fit."""
    return changed(good, forged(doubled))


@pytest.fixture
def lacking(filled: Store) -> Store:
    """The store without one of the volumes."""
    remove_volume(filled, WITHOUT)
    return filled


def standing(store: Store, ref: str = "test@1") -> DatasetStanding:
    found = store.dataset(ref).origin.standing
    table = store.datasets.versions()
    assert found == table.standing[table.name + "@" + table.number.astype(str) == ref].item()
    return found


def test_with_the_inputs_an_import_is_computed_again_at_once(filled: Store, good: Path) -> None:
    taken = filled.datasets.import_bundle(good)
    assert (taken.origin.standing, taken.origin.imported_by) == ("imported, checked", current_user())
    assert [check.outcome for check in taken.checks] == ["identical"]
    again = answer(filled)
    assert (again.ref, again.was_computed) == ("test@1", False)


def test_with_the_inputs_another_result_is_refused(filled: Store, bad: Path) -> None:
    for trust in (False, True):
        with pytest.raises(
            NotReproducibleError, match=r"not reproducible: .* differs in [1-9][0-9,]* voxels, by up to"
        ):
            filled.datasets.import_bundle(bad, trust=trust)
    assert filled.datasets.list() == ()
    assert list((filled.path / "datasets").iterdir()) == []
    assert list((filled.path / "tmp").iterdir()) == []


def test_without_the_inputs_an_import_is_not_checked_and_says_so(lacking: Store, good: Path) -> None:
    taken = lacking.datasets.import_bundle(good)
    assert standing(lacking) == "imported, not checked"
    assert "imported, not checked" in repr(taken)
    assert "imported, not checked" in str(taken.cite())
    assert lacking.datasets.list()[0].unchecked == (1,)
    assert lacking.status().catalog.unchecked_versions == 1
    assert [check.outcome for check in taken.checks] == ["inputs missing"]
    assert "is not in the store: 1" in str(taken.checks[0].note)


def test_an_unchecked_import_that_is_wrong_never_answers(lacking: Store, bad: Path) -> None:
    wrong = lacking.datasets.import_bundle(bad)
    add_volume(lacking, WITHOUT)
    right = answer(lacking)
    assert (right.ref, right.was_computed) == ("test@2", True)
    assert right.fingerprint == wrong.fingerprint
    np.testing.assert_array_equal(2 * right.mean, wrong.mean)
    assert standing(lacking, "test@1") == "imported, not reproducible"
    assert standing(lacking, "test@2") == "computed"
    (twin,) = right.twins
    assert (twin.ref, twin.standing) == ("test@1", "imported, not reproducible")
    assert twin.largest_difference == pytest.approx(float(right.mean.max()))
    assert twin.voxels == np.count_nonzero(right.mean)
    assert [twin.ref for twin in lacking.dataset("test@1").twins] == ["test@2"]
    again = answer(lacking)
    assert (again.ref, again.was_computed) == ("test@2", False)


def test_an_unchecked_import_that_is_right_is_checked_by_the_question(lacking: Store, good: Path) -> None:
    lacking.datasets.import_bundle(good)
    add_volume(lacking, WITHOUT)
    found = answer(lacking)
    assert (found.ref, found.was_computed, found.origin.standing) == ("test@1", True, "imported, checked")
    assert [check.outcome for check in found.checks] == ["inputs missing", "identical"]
    again = answer(lacking)
    assert (again.ref, again.was_computed) == ("test@1", False)


@pytest.mark.parametrize(("which", "expected"), [("good", "imported, checked"), ("bad", "imported, not reproducible")])
def test_a_rebuild_checks_it_later(lacking: Store, which: str, expected: str, request: pytest.FixtureRequest) -> None:
    lacking.datasets.import_bundle(request.getfixturevalue(which))
    add_volume(lacking, WITHOUT)
    assert lacking.datasets.rebuild("test").is_identical is (which == "good")
    assert standing(lacking) == expected
    assert answer(lacking).number == (1 if which == "good" else 2)


def test_a_trusted_import_names_the_user_and_still_does_not_answer(lacking: Store, bad: Path) -> None:
    taken = lacking.datasets.import_bundle(bad, trust=True)
    assert taken.origin.standing == "imported, trusted"
    assert taken.origin.trusted_by == current_user()
    assert f"trusted by {current_user()} on {taken.origin.trusted_at:%Y-%m-%d}" in str(taken.origin)
    add_volume(lacking, WITHOUT)
    assert answer(lacking).number == 2
    assert standing(lacking) == "imported, not reproducible"


def test_an_import_can_be_trusted_later(lacking: Store, good: Path) -> None:
    assert lacking.datasets.import_bundle(good).origin.trusted_at is None
    first = lacking.datasets.import_bundle(good, trust=True)
    assert (first.ref, first.origin.standing) == ("test@1", "imported, trusted")
    assert lacking.datasets.import_bundle(good, trust=True).origin == first.origin


def test_a_version_that_was_computed_here_cannot_be_marked_as_trusted(filled: Store, good: Path) -> None:
    answer(filled)
    assert filled.datasets.import_bundle(good, trust=True).origin.trusted_at is None
    assert standing(filled) == "computed"


def test_a_bundle_that_contradicts_a_version_is_refused_without_the_inputs(filled: Store, bad: Path) -> None:
    answer(filled)
    remove_volume(filled, WITHOUT)
    with pytest.raises(NotReproducibleError, match=r"test@1 \(computed\) has the same recipe and inputs"):
        filled.datasets.import_bundle(bad)
    assert filled.datasets.import_bundle(bad, name="mine").origin.standing == "imported, not checked"
    assert len(list((filled.path / "datasets" / "test").iterdir())) == 1


def test_damaged_inputs_leave_an_import_unchecked(filled: Store, good: Path) -> None:
    path = filled.files.path(filled.sql("SELECT path FROM volume WHERE experiment_id = 1").path[0])
    path.write_bytes(path.read_bytes()[:-1])
    taken = filled.datasets.import_bundle(good)
    assert taken.origin.standing == "imported, not checked"
    assert [check.outcome for check in taken.checks] == ["inputs damaged"]


def test_an_import_without_its_volumes_is_not_stale_but_not_known(lacking: Store, good: Path) -> None:
    lacking.datasets.import_bundle(good)
    (report,) = lacking.datasets.stale()
    assert (report.state, report.is_stale, report.standing) == ("inputs missing", False, "imported, not checked")
    assert "is not in the store" in report.reasons[0]
    assert not report.members.entered
    add_volume(lacking, WITHOUT)
    (report,) = lacking.datasets.stale()
    assert (report.state, report.is_stale) == ("current", False)
    add_volume(lacking, WITHOUT, seed=1)
    (report,) = lacking.datasets.stale()
    assert (report.state, report.is_stale) == ("stale", True)


@pytest.mark.parametrize("kept", [IDS[1:], ()], ids=["one missing", "all missing"])
def test_an_import_that_asks_for_volumes_of_the_store_is_not_known_without_them(
    filled: Store, tmp_path: Path, kept: tuple[int, ...]
) -> None:
    bundle = ask(filled, Selection(with_volume="projection_density"), name="here").export(tmp_path / "a.bsv.zip")
    for identifier in set(IDS) - set(kept):
        remove_volume(filled, identifier)
    filled.datasets.import_bundle(bundle, name="there")
    (report,) = filled.datasets.stale("there@1")
    assert (report.state, report.is_stale) == ("inputs missing", False)
    assert "is not in the store" in report.reasons[0]
    assert [each.experiment_id for each in report.members.left] == ([IDS[0]] if kept else [])
    (report,) = filled.datasets.stale("here@1")
    assert report.is_stale


def test_an_import_without_its_divisors_is_not_known(store: Store, good: Path) -> None:
    fill(store, volumes=IDS[1:], unionizes=set(IDS) - {2})
    forget_listed_volumes(store)
    store.datasets.import_bundle(good)
    add_volume(store, WITHOUT)
    (report,) = store.datasets.stale()
    assert (report.state, report.is_stale, report.standing) == ("inputs missing", False, "imported, not checked")
    assert [each.experiment_id for each in report.members.left] == [2]
    (reason,) = report.reasons
    assert reason.startswith("not known: the injection volume is not known")


def test_an_import_that_others_would_enter_is_stale_also_without_its_volumes(filled: Store, tmp_path: Path) -> None:
    remove_volume(filled, IDS[-1])
    bundle = ask(filled, Selection(ids=IDS), name="here", missing="leave_out").export(tmp_path / "a.bsv.zip")
    add_volume(filled, IDS[-1])
    remove_volume(filled, WITHOUT)
    filled.datasets.import_bundle(bundle, name="there")
    (report,) = filled.datasets.stale("there@1")
    assert (report.state, report.is_stale, report.standing) == ("stale", True, "imported, not checked")
    assert [each.experiment_id for each in report.members.left] == [WITHOUT]
    assert [each.experiment_id for each in report.members.entered] == [IDS[-1]]


def test_a_version_computed_here_without_its_volumes_is_stale(filled: Store) -> None:
    answer(filled)
    remove_volume(filled, WITHOUT)
    (report,) = filled.datasets.stale()
    assert (report.state, report.is_stale) == ("stale", True)


def test_every_standing_occurs(filled: Store, good: Path, bad: Path) -> None:
    found = {filled.datasets.import_bundle(good, name="checked").origin.standing}
    found.add(answer(filled).origin.standing)
    remove_volume(filled, WITHOUT)
    found.add(filled.datasets.import_bundle(good, name="unchecked").origin.standing)
    found.add(filled.datasets.import_bundle(good, name="trusted", trust=True).origin.standing)
    filled.datasets.import_bundle(bad, name="wrong")
    add_volume(filled, WITHOUT)
    filled.datasets.rebuild("wrong")
    found.add(standing(filled, "wrong@1"))
    # A version with the other one is in no catalog, see tests/remote/test_averages.py.
    assert found | {"local"} == set(DATASET_STANDINGS)
    assert found == {row.name for row in DATASET_STANDINGS.values() if row.in_catalog}


def test_migration_down_and_up(lacking: Store, good: Path, bad: Path) -> None:
    lacking.datasets.import_bundle(bad)
    add_volume(lacking, WITHOUT)
    answer(lacking)
    lacking.datasets.tag("test@1", "wrong")
    ask(lacking, VISUAL, name="other")
    schema.downgrade(lacking.database, "0006")
    with lacking.database.reading() as connection:
        rows = connection.execute(text("SELECT name, number FROM dataset_versions ORDER BY name")).all()
    # Of the two with one fingerprint, the computed one is kept.
    assert [tuple(row) for row in rows] == [("other", 1), ("test", 2)]
    schema.upgrade(lacking.database)
    assert standing(lacking, "test@2") == standing(lacking, "other@1") == "computed"
    assert answer(lacking).ref == "test@2"


# -- deleted and unreadable versions --------------------------------------------------------------------------------


def test_a_deleted_version_says_that_it_was_deleted(filled: Store, tmp_path: Path) -> None:
    version = answer(filled)
    copy = pickle.loads(pickle.dumps(version))
    np.testing.assert_array_equal(copy.mean, version.mean)
    version = filled.dataset("test")
    filled.datasets.delete("test@1")
    for read in (
        lambda: version.mean,
        lambda: version.statistic("mean", group=0),
        lambda: version.export(tmp_path / "a.nc"),
        version.to_frame,
    ):
        with pytest.raises(UnknownDatasetError, match="test@1 was deleted"):
            read()


def test_versions_with_a_recipe_of_another_release_can_be_tagged_and_deleted(filled: Store) -> None:
    answer(filled)
    with filled.database.writing() as connection:
        connection.execute(text("""UPDATE dataset_version SET recipe = '{"old": 1}'"""))
    with pytest.raises(StoreError, match="cannot read the recipe"):
        filled.dataset("test")
    assert filled.datasets.tag("test@1", "old").tags == ("old",)
    filled.datasets.untag("test", "old")
    gone = filled.datasets.delete("test@1")
    assert gone.ref == "test@1"
    assert filled.datasets.list() == ()
    assert not (filled.path / gone.relative_path).exists()
