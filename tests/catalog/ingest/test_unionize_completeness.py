"""Unionize tables that are not complete, older than those of the store, or contradict the experiment list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from bsv_store import Selection, Store
from bsv_store.catalog.tables.frames import list_injection_volumes
from bsv_store.errors import IncompleteTableError, InputError
from tests.stores import store_with

if TYPE_CHECKING:
    from pandas import DataFrame

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")

EXPERIMENT = 100141219
NEVER_MEASURED = ("ENTmv", "SCig-a", "SCig-b", "SCig-c", "im", "smd", "grf", "mtV")
MEASURED_OUTSIDE_THE_SET = ("root", "VS", "VL", "V3", "AQ", "V4", "V4r", "c")
_FLOATS = ("sum_pixels", "sum_projection_pixels", "sum_pixel_intensity", "sum_projection_pixel_intensity", "volume",
           "projection_volume")  # fmt: skip


def fill_atlas(store: Store, data: Path) -> None:
    """Ingest the real ontology, and the list of 2019."""
    store.ingest_structures(data / "allensdk_cache" / "structures.json")
    store.ingest_experiments(data / "allensdk_cache" / "experiments.json")


atlas = store_with(fill_atlas, "data")


@pytest.fixture
def original(data: Path) -> Path:
    return data / "allensdk_cache" / f"experiment_{EXPERIMENT}" / "structure_unionizes.csv"


@pytest.fixture
def saved(original: Path, tmp_path: Path) -> Callable[[Callable[[DataFrame], Any], str], Path]:
    """Save the table of the experiment after a change."""

    def save(change: Callable[[DataFrame], Any], name: str = "changed.csv") -> Path:
        frame = pd.read_csv(original, index_col=0)
        changed = change(frame)
        (frame if changed is None else changed).to_csv(tmp_path / name)
        return tmp_path / name

    return save


def scaled(factor: float) -> Callable[[DataFrame], None]:
    """The numbers of another processing: all volumes multiplied."""

    def change(frame: DataFrame) -> None:
        frame[list(_FLOATS)] *= factor

    return change


def ids_of(atlas: Store, acronym: str) -> list[int]:
    query = """
        SELECT a.descendant_id AS id FROM structure_ancestor AS a JOIN structure AS s ON s.id = a.ancestor_id
        WHERE s.acronym = :acronym ORDER BY a.distance"""
    return [int(identifier) for identifier in atlas.sql(query, {"acronym": acronym})["id"]]


def is_empty(atlas: Store) -> bool:
    return atlas.status().catalog.unionize_rows == 0


# -- complete tables ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
def test_no_real_table_is_refused(atlas: Store, data: Path) -> None:
    paths = sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))
    for path in paths:
        report = atlas.ingest_unionizes(path)
        assert (report.added, report.different_volumes, report.remarks()) == (1, (), ())
    assert len(paths) == 40
    # The divisors of averages are those that selections compare.
    with atlas.database.reading() as connection:
        listed = list_injection_volumes(connection, atlas.select(Selection(projecting_to="root")))
    measured = atlas.catalog.unionizes(
        Selection(projecting_to="root"), structures="root", is_injection=True, hemisphere="both", missing="leave_out"
    )
    assert len(measured) == 40
    for row in measured.itertuples():
        assert row.projection_volume == pytest.approx(listed[row.experiment_id], rel=1e-14)


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
@pytest.mark.parametrize("acronyms", [["Isocortex"], ["root", "TH"]])
def test_tables_of_some_structures_are_refused_and_a_complete_one_follows(
    atlas: Store, saved: Any, original: Path, acronyms: list[str]
) -> None:
    kept = {acronyms[0]: ids_of(atlas, acronyms[0])}
    if acronyms[0] == "root":
        kept = {"root": [997], "TH": ids_of(atlas, "TH")}
    wanted = [identifier for ids in kept.values() for identifier in ids]
    partial = saved(lambda frame: frame[frame["structure_id"].isin(wanted)])
    with pytest.raises(IncompleteTableError, match=rf"experiment {EXPERIMENT} .*of 840 measured structures: .*grey"):
        atlas.ingest_unionizes(partial)
    with pytest.raises(IncompleteTableError, match=r"are missing for \d+ of 840"):
        atlas.ingest_unionizes(partial, replace=True)
    assert is_empty(atlas)

    assert atlas.ingest_unionizes(original).added == 1
    assert atlas.select(Selection(projecting_to="TH")) == (EXPERIMENT,)


def test_a_single_missing_structure_is_named(atlas: Store, saved: Any) -> None:
    for acronym in ("root", "grey", "TH", "VISp", "VISp1", "CP", "AQ", "c"):
        missing = ids_of(atlas, acronym)[0]
        partial = saved(lambda frame, missing=missing: frame[frame["structure_id"] != missing])
        with pytest.raises(IncompleteTableError, match=f"missing for 1 of 840 measured structures: {acronym}\n"):
            atlas.ingest_unionizes(partial)


def test_missing_rows_inside_the_injection_are_named(atlas: Store, saved: Any) -> None:
    isocortex = ids_of(atlas, "Isocortex")[0]
    without_parent = saved(lambda frame: frame[(frame["structure_id"] != isocortex) | ~frame["is_injection"]])
    with pytest.raises(IncompleteTableError, match="inside the injection site are missing for 1 structure: Isocortex"):
        atlas.ingest_unionizes(without_parent)
    without_root = saved(lambda frame: frame[(frame["structure_id"] != 997) | ~frame["is_injection"]])
    with pytest.raises(IncompleteTableError, match="inside the injection site are missing for 1 structure: root"):
        atlas.ingest_unionizes(without_root)


def test_a_summary_without_an_injection_structure_is_refused(atlas: Store, original: Path, tmp_path: Path) -> None:
    # It would say that no part of the injection lies there.
    frame = pd.read_csv(original, index_col=0)
    inside = frame[frame["is_injection"]].rename(columns={"experiment_id": "section_data_set_id"})
    inside["experimentID"] = EXPERIMENT
    summary = tmp_path / "injectionSummary_all.json"
    inside[inside["structure_id"] == 997].to_json(summary, orient="records")
    with pytest.raises(IncompleteTableError, match="inside the injection site are missing for 1 structure: VISp\n"):
        atlas.ingest_unionizes(summary)
    assert is_empty(atlas)

    inside.to_json(summary, orient="records", double_precision=15)
    assert atlas.ingest_unionizes(summary).added == 1
    selection = Selection(injected_in="VISp", min_injection_overlap=0.5)
    assert atlas.select(selection) == (EXPERIMENT,)


def test_a_structure_wholly_inside_the_injection_is_not_missing(atlas: Store, saved: Any) -> None:
    # VISp1 is touched by the injection; move its rows outside into those inside.
    (layer,) = ids_of(atlas, "VISp1")

    def move(frame: DataFrame) -> DataFrame:
        assert (frame["is_injection"] & (frame["structure_id"] == layer)).any()
        return frame[(frame["structure_id"] != layer) | frame["is_injection"]]

    assert atlas.ingest_unionizes(saved(move)).added == 1


def test_a_structure_without_pixels_is_not_missing(atlas: Store, saved: Any) -> None:
    # Its siblings fill its parent, so the rows themselves show that there is no pixel of it.
    (lost,) = ids_of(atlas, "AOBgl")
    parents = ["AOB"]

    def lose(frame: DataFrame) -> DataFrame:
        rows = frame[frame["structure_id"] == lost].set_index(["hemisphere_id", "is_injection"])
        for parent in parents:
            own = frame["structure_id"] == ids_of(atlas, parent)[0]
            for index in frame.index[own]:
                key = (frame.loc[index, "hemisphere_id"], frame.loc[index, "is_injection"])
                frame.loc[index, "sum_pixels"] -= rows.loc[key, "sum_pixels"]
        return frame[frame["structure_id"] != lost]

    assert atlas.ingest_unionizes(saved(lose)).added == 1


# -- older tables, and the experiment list ------------------------------------------------------------------------


def test_a_table_that_contradicts_the_list_names_both_figures(atlas: Store, saved: Any) -> None:
    older = saved(scaled(0.9))
    with pytest.raises(InputError, match=r"is 0\.18385099 mm3 in these rows, but 0\.20427888 mm3 in the experiment"):
        atlas.ingest_unionizes(older)
    assert is_empty(atlas)

    report = atlas.ingest_unionizes(older, replace=True)

    assert report.different_volumes == (EXPERIMENT,)
    assert f"(used to normalize averages): {EXPERIMENT}" in report.remarks()[0]
    remark = atlas.sql("SELECT remark FROM unionize_coverage WHERE part = 'injection'")["remark"].item()
    assert remark == "the injection volume is 0.18385099 mm3 in these rows, but 0.20427888 mm3 in the experiment list"
    assert atlas.status().catalog.different_injection_volumes == (EXPERIMENT,)


def test_a_list_of_another_registration_does_not_refuse_a_table(store: Store, data: Path, original: Path) -> None:
    store.ingest_structures(data / "allensdk_cache" / "structures.json")
    store.ingest_experiments(data / "web_export_2016.csv")
    report = store.ingest_unionizes(original)
    assert report.added == 1


def test_what_is_stored_stays_unless_it_is_known_to_be_older(atlas: Store, original: Path, saved: Any) -> None:
    atlas.ingest_unionizes(original)
    before = atlas.sql("SELECT * FROM unionize ORDER BY structure_id, hemisphere_id, is_injection")

    def change(frame: DataFrame) -> None:
        frame.loc[~frame["is_injection"], "projection_intensity"] *= 0.9

    for name in ("changed.csv", "changed_2015-01.csv"):
        other = saved(change, name)
        with pytest.raises(
            InputError, match=r"the projection rows .* differ .* structure_unionizes.csv; it is not known"
        ):
            atlas.ingest_unionizes(other)
    after = atlas.sql("SELECT * FROM unionize ORDER BY structure_id, hemisphere_id, is_injection")
    pd.testing.assert_frame_equal(before, after)
    assert atlas.catalog.unionize_history() == []

    assert atlas.ingest_unionizes(other, replace=True).changed == 1

    (replaced,) = atlas.catalog.unionize_history([EXPERIMENT])
    assert (replaced.part, replaced.source, replaced.row_count) == ("projection", "structure_unionizes.csv", 2520)
    assert replaced.replaced_by == atlas.catalog.snapshots()[-1].id


def test_the_table_that_agrees_with_the_list_is_named(atlas: Store, original: Path, saved: Any) -> None:
    other = saved(scaled(0.9))
    atlas.ingest_unionizes(original)
    with pytest.raises(InputError, match="of the stored rows agrees with the experiment list, that of the file does"):
        atlas.ingest_unionizes(other)
    atlas.ingest_unionizes(other, replace=True)
    with pytest.raises(InputError, match="which are newer; the injection volume of the file agrees with the exp"):
        atlas.ingest_unionizes(original)


def test_dates_decide_which_table_stays(atlas: Store, saved: Any) -> None:
    def change(factor: float) -> Callable[[DataFrame], None]:
        def apply(frame: DataFrame) -> None:
            frame["projection_intensity"] *= factor

        return apply

    first = saved(lambda frame: None, "of_2017-05.csv")
    newer, older = saved(change(0.9), "newer.csv"), saved(change(0.8), "older.csv")
    atlas.ingest_unionizes(first)
    with pytest.raises(InputError, match="of 2017-05-01; they are not newer"):
        atlas.ingest_unionizes(older, upstream_date=date(2017, 5, 1))
    assert atlas.ingest_unionizes(newer, upstream_date=date(2018, 1, 1)).changed == 1
    history = atlas.catalog.unionize_history()
    assert [(each.part, each.upstream_date) for each in history] == [
        ("injection", date(2017, 5, 1)),
        ("projection", date(2017, 5, 1)),
    ]
    assert history[0].injection_volume == pytest.approx(0.20427888, rel=1e-7)
    assert atlas.catalog.snapshots()[-1].upstream_date == date(2018, 1, 1)


# -- structures that are not measured -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")
def test_structures_that_allen_never_measures_are_refused_everywhere(atlas: Store, original: Path) -> None:
    atlas.ingest_unionizes(original)
    for acronym in NEVER_MEASURED:
        with pytest.raises(InputError, match="does not measure"):
            atlas.catalog.matrix([EXPERIMENT], rows="experiments", targets=acronym)
        with pytest.raises(InputError, match="does not measure"):
            atlas.search.targets(acronym)
        with pytest.raises(InputError, match="does not measure"):
            atlas.select(Selection(projecting_to=acronym))
        with pytest.raises(InputError, match="does not measure"):
            atlas.search.sources("VISp", domain=acronym)
    for acronym in MEASURED_OUTSIDE_THE_SET:
        assert atlas.catalog.matrix([EXPERIMENT], rows="experiments", targets=acronym).notna().all(axis=None)
        assert atlas.select(Selection(projecting_to=acronym, target_measure="volume")) == (EXPERIMENT,)
    members = atlas.catalog.matrix([EXPERIMENT], rows="experiments", structure_set=184527634, hemisphere="both")
    assert members.shape == (1, 832)
    assert not set(NEVER_MEASURED) & set(members.columns)


def test_the_measured_structures_are_those_with_rows_in_real_tables(atlas: Store, data: Path) -> None:
    found = set(atlas.sql("SELECT structure_id FROM measured_structures")["structure_id"])
    assert len(found) == 840
    for path in sorted((data / "allensdk_cache").glob("experiment_*/structure_unionizes.csv"))[::5]:
        assert set(pd.read_csv(path, usecols=["structure_id"])["structure_id"]) == found


def test_an_ontology_without_sets_has_the_same_exceptions(store: Store, data: Path) -> None:
    store.ingest_structures(data / "structure_tree_safe_2017.csv")
    found = set(store.sql("SELECT structure FROM measured_structures")["structure"])
    assert len(found) == 1327 - len(NEVER_MEASURED)
    assert not set(NEVER_MEASURED) & found
