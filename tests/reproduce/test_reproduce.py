"""Published counts beside those of the catalog, with the reasons for differences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bsv_store import Selection, Store, create_store, open_store
from bsv_store.errors import InputError, MissingDataError
from bsv_store.reproduce.compare import NOT_EXPLAINED
from bsv_store.reproduce.tables import TABLES
from bsv_store.vocabulary import PUBLISHED_TABLES
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import Runner

LIST_2019_02 = "allensdk_cache/experiments.json"
LIST_2020_07 = "experiments_2020-07_2992rows.json"
STRUCTURES = "allensdk_cache/structures.json"
MOVED = 113036264


def fill(store: Store, data: Path, experiments: str = LIST_2020_07) -> Store:
    store.ingest_structures(data / STRUCTURES)
    store.ingest_experiments(data / experiments)
    return store


@pytest.fixture(scope="module")
def newest(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduce") / "store"
    with create_store(folder) as made:
        fill(made, data)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


def test_divisions_of_the_voxel_model_differ_by_known_experiments(store: Store, data: Path) -> None:
    found = fill(store, data).reproduce("knox_2019_table_1")
    assert sum(count.published for count in found.counts) == 428
    differences = {count.label: count.difference for count in found.differing}
    assert differences == {"Isocortex": 1, "HPF": 5, "STR": 1, "TH": 1, "MB": -1}
    reasons = {count.label: count.reason for count in found.differing}
    for label, experiment_id in [("Isocortex", 112670853), ("HPF", 100142354), ("Isocortex", MOVED), ("STR", MOVED)]:
        assert str(experiment_id) in reasons[label]
    assert "+7: later experiments" in reasons["HPF"]
    assert "not known which" in reasons["TH"]
    assert "not explained" not in str(found)


@pytest.mark.parametrize("name", PUBLISHED_TABLES)
def test_changes_in_a_reason_add_up_to_the_difference(newest: Path, name: str) -> None:
    with open_store(newest) as store:
        for count in store.reproduce(name).counts:  # type: ignore[arg-type]
            parts = [part for part in count.reason.split("; ") if part[0] in "+-"] if count.reason else []
            assert sum(int(part.split(":")[0]) for part in parts) == count.difference


def test_the_notebook_of_allensdk_has_the_same_counts(newest: Path) -> None:
    with open_store(newest) as store:
        found = store.reproduce("allensdk_notebook")
    assert [count.ours for count in found.counts] == [2992, 1209, 33, 105]
    assert found.differing == ()


def test_an_older_list_has_its_reason(store: Store, data: Path) -> None:
    found = fill(store, data, LIST_2019_02).reproduce("allensdk_notebook")
    assert [(count.difference, count.label) for count in found.differing] == [
        (3, "all experiments"),
        (2, "Cre, Isocortex"),
    ]
    assert all("2019-02" in count.reason for count in found.differing)


def test_the_injections_of_the_first_connectome_are_those_with_ids_of_its_time(newest: Path) -> None:
    with open_store(newest) as store:
        (count,) = store.reproduce("oh_2014").counts
    assert (count.published, count.ours) == (469, 498)
    assert count.reason.startswith("+31: later experiments")
    assert count.reason.count("no longer in Allen's list") == 2


def test_a_note_about_one_experiment_does_not_explain_a_list_that_is_not_complete(store: Store, data: Path) -> None:
    rows = json.loads((data / LIST_2020_07).read_text("utf-8"))
    store.ingest_structures(data / STRUCTURES)
    (store.path / "part.json").write_text(json.dumps(rows[:300]), "utf-8")
    store.ingest_experiments(store.path / "part.json", allow_shrinking=True)
    reasons = {count.label: count.reason for count in store.reproduce("knox_2019_table_1").differing}
    for label in ("HPF", "TH", "MB"):
        assert reasons[label].endswith(NOT_EXPLAINED)
        assert "310207648" not in reasons[label]
        assert "not known which" not in reasons[label]


def test_the_exclusion_list_of_the_lab_does_not_matter(newest: Path) -> None:
    with open_store(newest) as store:
        before = store.reproduce("knox_2019_table_1")
        store.catalog.exclude([MOVED], "not ours")
        try:
            assert store.reproduce("knox_2019_table_1") == before
            assert MOVED not in store.select(Selection(line="wild-type"))
        finally:
            store.catalog.lift_exclusion([MOVED])


def test_the_authors_excluded_63_experiments() -> None:
    assert len(TABLES["knox_2019_table_1"].excluded) == 63


def test_another_ontology_and_an_empty_store_are_refused(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store, SyntheticServer(SyntheticAtlas(experiments=12)) as server:
        with pytest.raises(MissingDataError, match="no experiments"):
            store.reproduce("oh_2014")
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        with pytest.raises(MissingDataError, match="STR"):
            store.reproduce("knox_2019_table_1")
        with pytest.raises(InputError, match="name must be one of"):
            store.reproduce("knox_2020")  # type: ignore[arg-type]


def test_the_command_prints_the_table_and_its_citation(run: Runner, newest: Path) -> None:
    done = run("reproduce", "knox-2019-table-1", "--format", "csv", store=newest)
    assert done.code == 0
    assert "CTXsp,8,8,0," in done.out
    assert "doi:10.1162/netn_a_00066" in done.err
    listed = run("reproduce")
    assert all(row.name.replace("_", "-") in listed.out for row in PUBLISHED_TABLES.values())


def test_the_frame_has_a_row_for_each_count(newest: Path) -> None:
    with open_store(newest) as store:
        frame = store.reproduce("knox_2019_table_1").to_frame()
    assert list(frame.columns) == ["label", "published", "ours", "difference", "reason"]
    assert (frame["ours"] - frame["published"]).tolist() == frame["difference"].tolist()
