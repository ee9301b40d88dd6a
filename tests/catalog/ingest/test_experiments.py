from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from sqlalchemy import text

from bsv_store import Selection
from bsv_store.catalog.database import schema
from bsv_store.catalog.ingest import ingest_experiments, ingest_structures
from bsv_store.catalog.ingest.current import current_state
from bsv_store.catalog.ingest.experiments import write_state
from bsv_store.catalog.ingest.revisions import payload_of, read_history, record_of
from bsv_store.catalog.records import ExperimentList, ExperimentRecord, LineRecord, Ontology
from bsv_store.errors import IncompleteListError, InputError
from bsv_store.vocabulary import ExperimentSourceKind
from bsv_store_cli.commands.catalog import _changes, _exact
from tests import examples
from tests.catalog.ingest.dump import current_experiments, dump, forget_experiments, rows

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.catalog.database.engine import Database

TABLES = (
    "experiment",
    "experiment_line",
    "experiment_injection_structure",
    "transgenic_line",
    "source_snapshot",
    "experiment_revision",
    "snapshot_member",
)


def a_list(
    *records: ExperimentRecord, kind: ExperimentSourceKind = "api", day: date | None = date(2020, 7, 1)
) -> ExperimentList:
    return ExperimentList(kind, records, len(records), day)


def experiment(experiment_id: int = 1, **values: Any) -> ExperimentRecord:
    record = ExperimentRecord(experiment_id, 10, "A10", injection_ap=100, injection_dv=200, injection_ml=300)
    return replace(record, **values)


def stored(database: Database, experiment_id: int = 1) -> dict[str, Any]:
    (row,) = rows(database, f"SELECT * FROM experiment WHERE id = {experiment_id}")
    return row


# -- bundles ------------------------------------------------------------------------------------------------------


def test_experiments_of_bundles_are_current_until_there_is_a_complete_list(small_atlas: Database) -> None:
    one, two = experiment(1, strain="from a bundle"), experiment(2)
    ingest_experiments(small_atlas, a_list(one, kind="bundle", day=None), source="a")
    ingest_experiments(small_atlas, a_list(two, kind="bundle", day=None), source="b")
    assert [stored(small_atlas, key)["withdrawn"] for key in (1, 2)] == [False, False]
    ingest_experiments(small_atlas, a_list(experiment(1)), source="c", allow_shrinking=True)
    found = stored(small_atlas, 1)
    # Its values are not filled in either.
    assert (found["source_kind"], found["strain"], bool(found["withdrawn"])) == ("api", None, False)
    assert (stored(small_atlas, 2)["source_kind"], bool(stored(small_atlas, 2)["withdrawn"])) == ("bundle", True)


def test_a_bundle_is_not_a_list_to_compare_with(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), kind="bundle", day=None), source="a")
    with pytest.raises(IncompleteListError, match="the store has no other list"):
        ingest_experiments(small_atlas, a_list(experiment(1), experiment(2)), source="c", may_be_part=True)


# -- the real lists -----------------------------------------------------------------------------------------------


def test_list_of_2020_07_alone(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    report = ingest_experiments(real_atlas, real_lists["2020-07"], source="2020-07")

    assert (report.rows, report.added, report.changed, report.withdrawn) == (2992, 2992, 0, 0)
    # Figures that Allen published for this list.
    counts = rows(
        real_atlas,
        "SELECT count(CASE WHEN e.transgenic_line IS NULL AND v.descendant_id IS NOT NULL THEN 1 END) AS visp,"
        " count(CASE WHEN e.transgenic_line IS NOT NULL AND i.descendant_id IS NOT NULL THEN 1 END) AS cre,"
        " count(CASE WHEN e.transgenic_line = 'Rbp4-Cre_KL100' AND i.descendant_id IS NOT NULL THEN 1 END) AS rbp4"
        " FROM experiment e"
        " LEFT JOIN structure_ancestor v ON v.descendant_id = e.primary_structure_id AND v.ancestor_id = 385"
        " LEFT JOIN structure_ancestor i ON i.descendant_id = e.primary_structure_id AND i.ancestor_id = 315",
    )
    assert counts == [{"visp": 33, "cre": 1209, "rbp4": 105}]


def test_both_lines_of_a_repeated_id_are_kept(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    report = ingest_experiments(real_atlas, real_lists["2020-11"], source="2020-11")

    assert (report.rows, report.added, report.merged) == (2997, 2992, 5)
    assert report.remarks() == ("Merged 5 rows: repeats of an experiment with another line.",)
    found = rows(
        real_atlas,
        "SELECT e.id, e.transgenic_line, t.name FROM experiment e JOIN experiment_line x ON x.experiment_id = e.id"
        " JOIN transgenic_line t ON t.id = x.transgenic_line_id"
        " WHERE e.id IN (SELECT experiment_id FROM experiment_line GROUP BY 1 HAVING count(*) = 2)",
    )
    assert len(found) == 10
    assert Counter(row["name"] for row in found) == {"wt": 5, "Slc17a8-IRES2-Cre": 4, "Ai75(RCL-nT)": 1}
    # The line of the type wild type does not make a mouse wild type, and is not named.
    assert Counter(row["transgenic_line"] for row in found) == {"Slc17a8-IRES2-Cre": 8, "Ai75(RCL-nT)": 2}


ORDERS = [
    ("2019-02", "2020-07", "2020-11", "csv", "csv 2016"),
    ("csv 2016", "csv", "2020-11", "2020-07", "2019-02"),
    ("2020-11", "csv 2016", "2019-02", "csv", "2020-07"),
    ("csv", "2020-07", "csv 2016", "2019-02", "2020-11"),
]


def part_of(lists: dict[str, ExperimentList], step: int) -> dict[str, ExperimentList]:
    """Every ``step``-th experiment of real lists, and all that are missing from some of the lists."""
    count = Counter(record.id for each in lists.values() for record in each.experiments)
    of_api = Counter(record.id for each in lists.values() if each.kind == "api" for record in each.experiments)
    kept = set(sorted(count)[::step]) | {each for each in count if count[each] == 1 or of_api[each] in (1, 2)}
    return {
        name: replace(each, experiments=tuple(record for record in each.experiments if record.id in kept))
        for name, each in lists.items()
    }


@pytest.mark.parametrize(
    ("orders", "step"),
    [pytest.param(ORDERS[:2], 10, id="part"), pytest.param(ORDERS, 1, id="all", marks=pytest.mark.long)],
)
def test_current_state_does_not_depend_on_the_order_of_the_real_lists(
    real_atlas: Database, real_lists: dict[str, ExperimentList], orders: list[tuple[str, ...]], step: int
) -> None:
    lists = part_of(real_lists, step)
    expected = None
    for order in orders:
        for name in order:
            ingest_experiments(real_atlas, lists[name], source=name)
        found = current_experiments(real_atlas)
        expected = found if expected is None else expected
        assert found == expected, order
        forget_experiments(real_atlas)


def test_all_real_lists_together(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    for name in ORDERS[2]:
        ingest_experiments(real_atlas, real_lists[name], source=name)

    found = rows(real_atlas, "SELECT source_kind, withdrawn, count(*) AS n FROM experiment GROUP BY 1, 2 ORDER BY 1, 2")
    assert [tuple(row.values()) for row in found] == [("api", False, 2992), ("api", True, 3), ("csv_2016", True, 7)]
    # The API's lists have neither; the 2016 export's values are of another registration.
    csv = {record.id: record for record in real_lists["csv"].experiments}
    api = {record.id: record for record in real_lists["2020-11"].experiments}
    for row in rows(real_atlas, "SELECT * FROM experiment WHERE source_kind = 'api' AND NOT withdrawn"):
        in_csv, in_api = csv.get(row["id"]), api[row["id"]]
        assert row["projection_volume"] == (None if in_csv is None else in_csv.projection_volume)
        assert row["strain"] == (in_csv.strain if in_api.strain is None and in_csv is not None else in_api.strain)
        assert row["injection_ap"] == in_api.injection_ap
        assert row["injection_volume"] == in_api.injection_volume
        assert row["primary_structure_id"] == in_api.primary_structure_id


def test_older_list_changes_nothing_and_is_kept(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    ingest_experiments(real_atlas, real_lists["2020-11"], source="2020-11")
    before = current_experiments(real_atlas)

    report = ingest_experiments(real_atlas, real_lists["2020-07"], source="2020-07")

    assert report.snapshot_id is not None
    assert (report.added, report.changed, report.withdrawn, report.unchanged) == (0, 0, 0, 2992)
    assert current_experiments(real_atlas) == before
    assert report.records == 6
    assert report.remarks() == (
        "The newer api list of 2020-11-01 stays current; this one is stored as history.",
        "Added 6 records to the history.",
    )


def test_again_changes_nothing(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    for name in ("2020-07", "csv"):
        ingest_experiments(real_atlas, real_lists[name], source=name)
    before = dump(real_atlas, *TABLES)

    for name in ("2020-07", "csv"):
        report = ingest_experiments(real_atlas, real_lists[name], source=name)
        assert (report.snapshot_id, report.added, report.changed, report.withdrawn) == (None, 0, 0, 0)
        assert report.unchanged == len(real_lists[name].experiments)

    assert dump(real_atlas, *TABLES) == before


def test_revisions_are_kept_once(real_atlas: Database, real_lists: dict[str, ExperimentList]) -> None:
    for name in ("2020-07", "2020-11"):
        ingest_experiments(real_atlas, real_lists[name], source=name)

    # Six differ between the two lists: five lines, one sex.
    assert len(dump(real_atlas, "experiment_revision")["experiment_revision"]) == 2992 + 6
    assert len(dump(real_atlas, "snapshot_member")["snapshot_member"]) == 2 * 2992


def test_difference_of_the_real_lists(real_store: Store, real_lists: dict[str, ExperimentList]) -> None:
    names = ("2019-02", "2020-07", "2020-11")
    reports = [ingest_experiments(real_store.database, real_lists[name], source=name) for name in names]
    assert [(report.added, report.changed, report.withdrawn) for report in reports] == [
        (2995, 0, 0),
        (0, 0, 3),
        (0, 6, 0),
    ]
    ids = [report.snapshot_id for report in reports]
    first = real_store.catalog.diff(ids[0] or 0, ids[1] or 0)
    second = real_store.catalog.diff(ids[1] or 0, ids[2] or 0)

    assert (len(first.entered), len(first.left), len(first.changed)) == (0, 3, 98)
    assert {change.field.split(": ")[1] for one in first.changed for change in one.fields} == {"stock_number"}
    assert (second.entered, second.left, len(second.changed)) == ((), (), 6)
    by_field = Counter(change.field for one in second.changed for change in one.fields)
    assert by_field == {"lines": 5, "sex": 1}
    (sex,) = [one for one in second.changed if one.fields[0].field == "sex"]
    assert (sex.experiment_id, sex.fields[0].old, sex.fields[0].new) == (181858761, "M", "F")


# -- rules, on small lists ----------------------------------------------------------------------------------------


def test_vanished_experiment_is_withdrawn_and_can_come_back(small_atlas: Database) -> None:
    days = [date(2020, month, 1) for month in (1, 2, 3)]
    both = (experiment(1), experiment(2))
    ingest_experiments(small_atlas, a_list(*both, day=days[0]), source="a")
    report = ingest_experiments(small_atlas, a_list(both[0], day=days[1]), source="b")
    assert (report.added, report.changed, report.withdrawn, report.unchanged) == (0, 0, 1, 1)
    assert stored(small_atlas, 2)["withdrawn"] is True

    report = ingest_experiments(small_atlas, a_list(*both, day=days[2]), source="c")

    assert (report.added, report.changed, report.withdrawn, report.unchanged) == (0, 1, 0, 1)
    assert stored(small_atlas, 2)["withdrawn"] is False


def test_same_content_at_a_later_date_is_a_new_snapshot(small_atlas: Database) -> None:
    first, second = a_list(experiment(sex="M"), day=date(2020, 1, 1)), a_list(experiment(sex="F"), day=date(2020, 2, 1))
    for one in (first, second, replace(first, upstream_date=date(2020, 3, 1))):
        assert ingest_experiments(small_atlas, one, source="x").snapshot_id is not None
    assert stored(small_atlas)["sex"] == "M"


def test_an_older_list_is_distinguished_from_the_current_one(small_atlas: Database) -> None:
    for day, newer in (
        (date(2020, 7, 1), None),
        (date(2020, 3, 1), date(2020, 7, 1)),
        (None, date(2020, 7, 1)),
        # Again, and so without anything new; then the newest.
        (date(2020, 3, 1), date(2020, 7, 1)),
        (date(2020, 7, 1), None),
        (date(2021, 1, 1), None),
    ):
        assert ingest_experiments(small_atlas, a_list(experiment(), day=day), source="x").newer_list == newer
    # Lists of another kind do not compete.
    other = ingest_experiments(small_atlas, a_list(experiment(), kind="csv", day=None), source="x")
    assert (other.newer_list, other.remarks()) == (None, ("Added 1 record to the history.",))


def test_list_without_a_date_is_older_than_one_with(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(sex="M"), day=date(1999, 1, 1)), source="dated")
    ingest_experiments(small_atlas, a_list(experiment(sex="F"), day=None), source="undated")
    assert stored(small_atlas)["sex"] == "M"


@pytest.mark.parametrize("day", [None, date(2020, 7, 1)])
def test_of_lists_with_the_same_date_the_last_ingested_is_the_newest(small_atlas: Database, day: date | None) -> None:
    ingest_experiments(small_atlas, a_list(experiment(sex="M"), day=day), source="first")
    ingest_experiments(small_atlas, a_list(experiment(sex="F"), day=day), source="second")
    assert stored(small_atlas)["sex"] == "F"


@pytest.mark.parametrize("day", [None, date(2020, 7, 1)])
def test_list_that_comes_back_after_another_of_the_same_date_counts_again(
    small_atlas: Database, day: date | None
) -> None:
    first = a_list(experiment(strain="A"), day=day)
    second = a_list(experiment(strain="B"), day=day)
    for each in (first, second, first):
        ingest_experiments(small_atlas, each, source="test")
    assert stored(small_atlas)["strain"] == "A"
    assert ingest_experiments(small_atlas, first, source="test").snapshot_id is None


def test_kinds_do_not_withdraw_each_other(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), experiment(2), day=None, kind="csv"), source="csv")
    ingest_experiments(small_atlas, a_list(experiment(1)), source="api")
    assert stored(small_atlas, 2)["withdrawn"] is False
    assert stored(small_atlas, 2)["source_kind"] == "csv"


def test_csv_fills_gaps_and_the_2016_export_does_not(small_atlas: Database) -> None:
    line = LineRecord("Rbp4-Cre")
    lists = [
        a_list(experiment(lines=(line,))),
        a_list(
            experiment(
                strain="C57BL/6J", projection_volume=2.5, injection_ap=1, injection_structure_ids=(10, 20), sex="M"
            ),
            kind="csv",
        ),
        a_list(experiment(strain="old", specimen_name="old", sex="F"), kind="csv_2016"),
    ]
    for one in lists:
        ingest_experiments(small_atlas, one, source=one.kind)

    row = stored(small_atlas)
    assert (row["strain"], row["projection_volume"], row["sex"], row["specimen_name"]) == ("C57BL/6J", 2.5, "M", None)
    assert (row["injection_ap"], row["transgenic_line"], row["source_kind"]) == (100, "Rbp4-Cre", "api")
    assert len(rows(small_atlas, "SELECT * FROM experiment_injection_structure")) == 2


def test_experiment_of_the_2016_export_alone_is_withdrawn_from_the_start(small_atlas: Database) -> None:
    report = ingest_experiments(small_atlas, a_list(experiment(sex="F"), kind="csv_2016", day=None), source="2016")
    assert (report.added, report.changed, report.withdrawn) == (0, 0, 0)
    assert (report.historic, report.records) == (1, 1)
    row = stored(small_atlas)
    assert (row["withdrawn"], row["source_kind"], row["sex"]) == (True, "csv_2016", "F")


WILD = LineRecord("wt", 5, "wild type")
DRIVER = LineRecord("b-Cre", 6, "driver")
REPORTER = LineRecord("Ai75", 7, "reporter")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), None),
        ((WILD,), None),
        ((WILD, DRIVER), "b-Cre"),
        ((DRIVER, REPORTER), "Ai75/b-Cre"),
        ((REPORTER,), "Ai75"),
        ((LineRecord("unknown type"),), "unknown type"),
    ],
)
def test_line_of_an_experiment(small_atlas: Database, lines: tuple[LineRecord, ...], expected: str | None) -> None:
    ingest_experiments(small_atlas, a_list(experiment(lines=lines)), source="x")
    assert stored(small_atlas)["transgenic_line"] == expected
    assert len(rows(small_atlas, "SELECT * FROM experiment_line")) == len(lines)


@pytest.mark.parametrize("api_first", [True, False])
def test_type_of_a_line_comes_from_whichever_list_says(small_atlas: Database, api_first: bool) -> None:
    lists = [
        a_list(experiment(1, lines=(WILD,))),
        a_list(experiment(2, lines=(LineRecord("wt", stock_number="7"),)), kind="csv", day=None),
    ]
    for one in lists if api_first else lists[::-1]:
        ingest_experiments(small_atlas, one, source="x")

    assert stored(small_atlas, 2)["transgenic_line"] is None
    assert rows(small_atlas, "SELECT name, allen_id, type_name, stock_number FROM transgenic_line") == [
        {"name": "wt", "allen_id": 5, "type_name": "wild type", "stock_number": "7"}
    ]


def test_a_line_that_no_experiment_has_is_deleted(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(lines=(DRIVER,)), day=date(2020, 1, 1)), source="a")
    report = ingest_experiments(small_atlas, a_list(experiment(lines=(REPORTER,)), day=date(2020, 2, 1)), source="b")
    assert report.changed == 1
    assert rows(small_atlas, "SELECT name FROM transgenic_line") == [{"name": "Ai75"}]


def test_every_order_of_small_lists_gives_one_state(small_atlas: Database) -> None:
    lists = [
        a_list(experiment(1, lines=(DRIVER,)), experiment(2), day=date(2020, 1, 1)),
        a_list(experiment(1, lines=(REPORTER, WILD), sex="M"), experiment(3, sex="F"), day=date(2020, 2, 1)),
        a_list(experiment(2, strain="s"), experiment(4, lines=(LineRecord("wt"),)), kind="csv", day=None),
        a_list(experiment(4), experiment(5, strain="o"), kind="csv_2016", day=None),
    ]
    states = []
    rotated = [(*lists[place:], *lists[:place]) for place in range(4)]
    # Each list at every place, and before and after each of the others.
    orders = [*rotated, *(each[::-1] for each in rotated)] if examples.FEW else list(itertools.permutations(lists))
    for order in orders:
        for one in order:
            ingest_experiments(small_atlas, one, source="x")
        states.append(current_experiments(small_atlas))
        forget_experiments(small_atlas)
    assert len(states) == (8 if examples.FEW else 24)
    assert len(states[0]["experiment"]) == 5
    assert all(state == states[0] for state in states)


def test_state_follows_from_the_stored_snapshots_alone(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1, lines=(DRIVER,)), experiment(2)), source="a")
    ingest_experiments(small_atlas, a_list(experiment(2, strain="s"), kind="csv", day=None), source="b")
    ingest_experiments(small_atlas, a_list(experiment(2), day=date(2021, 1, 1)), source="c")
    before = current_experiments(small_atlas)

    with small_atlas.writing() as connection:
        change = write_state(connection, current_state(read_history(connection)))

    assert not change.added | change.changed | change.withdrawn
    assert current_experiments(small_atlas) == before


@pytest.mark.parametrize("months", [(3, 1, 2), (3, 2, 1), (1, 2, 3)])
def test_withdrawn_experiment_follows_the_newest_list_that_had_it(
    small_atlas: Database, months: tuple[int, ...]
) -> None:
    lists = {
        1: a_list(experiment(1), experiment(2, sex="M"), day=date(2020, 1, 1)),
        2: a_list(experiment(1), experiment(2, sex="F"), day=date(2020, 2, 1)),
        3: a_list(experiment(1), day=date(2020, 3, 1)),
    }
    for month in months:
        ingest_experiments(small_atlas, lists[month], source="x")

    with small_atlas.writing() as connection:
        write_state(connection, current_state(read_history(connection)))

    assert (stored(small_atlas, 2)["sex"], stored(small_atlas, 2)["withdrawn"]) == ("F", True)


def test_hemisphere_follows_a_changed_coordinate(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(injection_ml=5699), day=date(2020, 1, 1)), source="a")
    assert (stored(small_atlas)["injected_hemisphere"], stored(small_atlas)["hemisphere_source"]) == (
        "left",
        "coordinate",
    )
    ingest_experiments(small_atlas, a_list(experiment(injection_ml=5700), day=date(2020, 2, 1)), source="b")
    assert stored(small_atlas)["injected_hemisphere"] == "right"


def test_a_coordinate_of_zero_is_not_known(store: Store, small_atlas: Database) -> None:
    ingest_experiments(
        small_atlas, a_list(experiment(injection_ap=5000, injection_dv=2000, injection_ml=0)), source="a"
    )
    (row,) = store.experiments().to_dict("records")
    assert (row["injection_ap"], row["injection_dv"]) == (5000, 2000)
    assert pd.isna(row["injection_ml"])
    assert (row["injected_hemisphere"], row["hemisphere_source"]) == (None, None)
    assert store.select(Selection(injected_hemisphere="left")) == ()


def test_the_injected_side_of_retina_experiments_is_not_known(
    store: Store, catalog: Database, real_ontology: Ontology, real_lists: dict[str, ExperimentList]
) -> None:
    ingest_structures(catalog, real_ontology, source="structures.json")
    ingest_experiments(catalog, real_lists["2019-02"], source="list")
    retina = store.experiments(Selection(injected_in="retina"))
    assert len(retina) == 77
    assert retina["injection_ml"].notna().all()
    assert retina["injected_hemisphere"].isna().all()
    others = store.experiments()
    others = others[~others["experiment_id"].isin(retina["experiment_id"])]
    assert others["injected_hemisphere"].notna().all()


# -- what is refused ----------------------------------------------------------------------------------------------


def test_unknown_structures_are_named_before_anything_is_written(small_atlas: Database) -> None:
    records = [experiment(key, primary_structure_id=100 + key) for key in range(1, 7)]
    records.append(experiment(7, injection_structure_ids=(10, 99)))
    before = dump(small_atlas, *TABLES)

    with pytest.raises(InputError, match=r"99, 101, .* 2 more") as caught:
        ingest_experiments(small_atlas, a_list(*records), source="list.json")

    assert caught.value.hint is not None
    assert "incomplete or older than this file" in caught.value.hint
    assert "first" not in caught.value.hint
    assert dump(small_atlas, *TABLES) == before


def test_experiments_without_an_ontology_are_refused(catalog: Database) -> None:
    with pytest.raises(InputError, match=r"no structures yet[\s\S]*Ingest the ontology first"):
        ingest_experiments(catalog, a_list(experiment()), source="list.json")


def test_part_of_a_list_is_refused(small_atlas: Database) -> None:
    everybody = [experiment(key) for key in range(1, 301)]
    ingest_experiments(small_atlas, a_list(*everybody, day=date(2020, 1, 1)), source="all")
    part = a_list(*everybody[:100], day=date(2020, 2, 1))

    with pytest.raises(IncompleteListError, match=r"200 of the 300[\s\S]*allow_shrinking=True"):
        ingest_experiments(small_atlas, part, source="search.json")
    assert len(rows(small_atlas, "SELECT * FROM experiment WHERE withdrawn")) == 0

    assert ingest_experiments(small_atlas, part, source="search.json", allow_shrinking=True).withdrawn == 200


@pytest.mark.parametrize(("size", "lost"), [(300, 10), (40, 4), (12, 2), (3, 1)])
def test_a_list_may_lose_a_handful(small_atlas: Database, size: int, lost: int) -> None:
    everybody = [experiment(key) for key in range(1, size + 1)]
    ingest_experiments(small_atlas, a_list(*everybody, day=date(2020, 1, 1)), source="all")
    with pytest.raises(IncompleteListError):
        ingest_experiments(small_atlas, a_list(*everybody[lost + 1 :], day=date(2020, 2, 1)), source="part")
    report = ingest_experiments(small_atlas, a_list(*everybody[lost:], day=date(2020, 2, 1)), source="drift")
    assert report.withdrawn == lost


def test_a_csv_export_after_the_api_list_changes_nothing_current(
    real_atlas: Database, real_lists: dict[str, ExperimentList]
) -> None:
    ingest_experiments(real_atlas, real_lists["2019-02"], source="2019-02")
    report = ingest_experiments(real_atlas, real_lists["csv"], source="csv")
    assert (report.added, report.changed, report.withdrawn, report.historic) == (0, 0, 0, 0)
    assert (report.completed, report.unchanged, report.records) == (2917, 0, 2917)
    assert report.remarks() == (
        "Filled in missing values of 2,917 experiments.",
        "78 current experiments are not in this list and not withdrawn: a list of kind 'csv' withdraws only "
        "experiments that no list of another kind has.",
    )
    report = ingest_experiments(real_atlas, real_lists["csv 2016"], source="2016")
    assert (report.added, report.changed, report.completed, report.withdrawn) == (0, 0, 0, 0)
    assert (report.historic, report.unchanged, report.records) == (7, 2272, 2279)
    assert report.remarks() == (
        "Added 2,279 records to the history.",
        "7 experiments are missing from the current list and only added to the history, as withdrawn.",
    )


def test_new_values_of_the_same_kind_of_list_are_changes(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), experiment(2), day=date(2020, 1, 1)), source="a")
    later = a_list(experiment(1, strain="B6"), experiment(2, lines=(DRIVER,)), day=date(2020, 2, 1))
    report = ingest_experiments(small_atlas, later, source="b")
    assert (report.changed, report.completed, report.records) == (2, 0, 2)


@pytest.mark.parametrize(
    ("word", "sex"),
    [("M", "M"), ("F", "F"), ("male", "M"), ("f", "F"), ("Female", "F"), ("unknown", None), ("x", None), (None, None)],
)
def test_words_for_the_sex_are_normalized_and_kept_in_the_history(
    store: Store, small_atlas: Database, word: str | None, sex: str | None
) -> None:
    report = ingest_experiments(small_atlas, a_list(experiment(1, sex=word), experiment(2, sex="M")), source="x")
    assert stored(small_atlas)["sex"] == sex
    assert store.select(Selection(sex="male")) == ((1, 2) if sex == "M" else (2,))
    assert [json.loads(row["payload"])["sex"] for row in rows(small_atlas, REVISIONS)] == [word, "M"]
    assert report.unknown_sexes == (("x",) if word == "x" else ())
    assert [text for text in report.remarks() if "'x'" in text] == list(report.remarks())


REVISIONS = "SELECT payload FROM experiment_revision ORDER BY experiment_id"


def test_an_unknown_sex_is_filled_from_the_csv(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(sex="unknown")), source="api")
    ingest_experiments(small_atlas, a_list(experiment(sex="female"), kind="csv", day=None), source="csv")
    assert stored(small_atlas)["sex"] == "F"


def test_migration_normalizes_the_sex_of_stored_experiments(small_atlas: Database) -> None:
    words = ["M", "male", "f", "Female", "unknown", None]
    records = [experiment(key, sex=word) for key, word in enumerate(words, start=1)]
    ingest_experiments(small_atlas, a_list(*records), source="x")
    before = rows(small_atlas, "SELECT id, sex FROM experiment ORDER BY id")
    schema.downgrade(small_atlas, "0006")
    with small_atlas.writing() as connection:
        for record in records:
            connection.execute(
                text("UPDATE experiment SET sex = :sex WHERE id = :id"), {"sex": record.sex, "id": record.id}
            )
    schema.upgrade(small_atlas)
    assert rows(small_atlas, "SELECT id, sex FROM experiment ORDER BY id") == before
    assert [row["sex"] for row in before] == ["M", "M", "F", "F", None, None]


def test_older_list_may_be_small(small_atlas: Database) -> None:
    everybody = [experiment(key) for key in range(1, 301)]
    ingest_experiments(small_atlas, a_list(*everybody, day=date(2020, 2, 1)), source="all")
    report = ingest_experiments(small_atlas, a_list(everybody[0], day=date(2020, 1, 1)), source="older")
    assert (report.withdrawn, report.unchanged) == (0, 1)


@pytest.mark.parametrize(
    "record",
    [
        experiment(2**63),
        experiment(-1),
        experiment(primary_structure_id=2**63),
        experiment(injection_volume=float("nan")),
        experiment(projection_volume=float("inf")),
        experiment(injection_ml=2**31),
        experiment(product_id=2**40),
        experiment(specimen_name="nul \0"),
        experiment(lines=(LineRecord("half \ud800"),)),
        experiment(lines=(LineRecord("twice"), LineRecord("twice", 1))),
    ],
)
def test_what_cannot_be_stored_is_refused(small_atlas: Database, record: ExperimentRecord) -> None:
    with pytest.raises(InputError):
        ingest_experiments(small_atlas, a_list(record), source="bad.json")
    assert rows(small_atlas, "SELECT * FROM experiment") == []


def test_empty_and_doubled_lists_are_refused(small_atlas: Database) -> None:
    with pytest.raises(InputError, match="no experiment"):
        ingest_experiments(small_atlas, a_list(), source="empty.json")
    with pytest.raises(InputError, match="twice"):
        ingest_experiments(small_atlas, a_list(experiment(), experiment()), source="twice.json")


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE experiment; --", "100 %s %(x)s", "a\nb", '"', "\u202egnp", "X" * 10_000]
)
def test_hostile_text_stays_data(store: Store, small_atlas: Database, hostile: str) -> None:
    line = LineRecord(hostile, 1, hostile, hostile, hostile)
    record = experiment(specimen_name=hostile, strain=hostile, sex=hostile, storage_directory=hostile, lines=(line,))
    ingest_experiments(small_atlas, a_list(record), source=hostile)

    row = stored(small_atlas)
    names = ("specimen_name", "strain", "storage_directory", "transgenic_line")
    assert [row[name] for name in names] == [hostile] * 4
    assert store.catalog.snapshots()[-1].source == hostile


@pytest.mark.parametrize("point", ["record_snapshot", "write_revisions", "update_injected_hemispheres"])
def test_cut_short_leaves_nothing(small_atlas: Database, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), day=date(2020, 1, 1)), source="a")
    before = dump(small_atlas, *TABLES)

    def fail(*_: object, **__: object) -> int:
        raise RuntimeError("cut short")

    later = a_list(experiment(2, lines=(DRIVER,)), day=date(2020, 2, 1))
    with monkeypatch.context() as patched:
        patched.setattr(f"bsv_store.catalog.ingest.experiments.{point}", fail)
        with pytest.raises(RuntimeError, match="cut short"):
            ingest_experiments(small_atlas, later, source="b")
    assert dump(small_atlas, *TABLES) == before

    report = ingest_experiments(small_atlas, later, source="b")
    assert (report.added, report.withdrawn) == (1, 1)


def test_payload_holds_the_whole_record() -> None:
    record = experiment(
        specimen_name="ü", product_id=5, strain="s", sex="M", injection_volume=0.1, projection_volume=1 / 3,
        injection_structure_ids=(10, 20), lines=(REPORTER, DRIVER), storage_directory="/d/",
    )  # fmt: skip
    assert record_of(payload_of(record)) == record
    shuffled = replace(record, lines=record.lines[::-1], injection_structure_ids=(20, 10))
    assert payload_of(shuffled) == payload_of(record)


# -- differences --------------------------------------------------------------------------------------------------


def test_difference_names_every_changed_field(store: Store, small_atlas: Database) -> None:
    old = a_list(experiment(1, sex="M", lines=(DRIVER,)), experiment(2), experiment(3), day=date(2020, 1, 1))
    new_line = replace(DRIVER, stock_number="9")
    new = a_list(
        experiment(1, sex=None, injection_ap=110, lines=(new_line,)), experiment(2, lines=(WILD,)), experiment(4)
    )
    ids = [ingest_experiments(small_atlas, one, source="x").snapshot_id or 0 for one in (old, new)]
    found = store.catalog.diff(*ids)

    assert (found.old.id, found.new.id) == tuple(ids)
    assert (found.entered, found.left) == ((4,), (3,))
    changes = {one.experiment_id: [(c.field, c.old, c.new) for c in one.fields] for one in found.changed}
    assert changes == {
        1: [("sex", "M", None), ("injection_ap", 100, 110), ("line b-Cre: stock_number", None, "9")],
        2: [("lines", (), ("wt",))],
    }


def test_numbers_that_differ_only_by_their_printing_are_no_difference(store: Store, small_atlas: Database) -> None:
    volume, other = 0.20427888123456789, 0.20427888123456789 * (1 + 3e-9)
    lists = [
        a_list(
            experiment(1, injection_volume=value),
            experiment(2, injection_volume=same),
            experiment(3, injection_volume=0.0, injection_ap=number),
            day=date(2020, 1, number),
        )
        for number, (value, same) in enumerate([(volume, volume), (other, float(f"{volume:.11g}"))], 1)
    ]
    ids = [ingest_experiments(small_atlas, one, source="x").snapshot_id or 0 for one in lists]
    found = store.catalog.diff(*ids)
    assert [(one.experiment_id, [c.field for c in one.fields]) for one in found.changed] == [
        (1, ["injection_volume"]),
        (3, ["injection_ap"]),
    ]
    (first, _) = _changes(found)
    assert _exact(first["old"]) != _exact(first["new"])


def test_difference_between_kinds_leaves_out_what_one_does_not_say(store: Store, small_atlas: Database) -> None:
    api, csv = a_list(experiment(sex="M", lines=(DRIVER,))), a_list(experiment(strain="s", sex="F"), kind="csv")
    ids = [ingest_experiments(small_atlas, one, source="x").snapshot_id or 0 for one in (api, csv)]
    (change,) = store.catalog.diff(*ids).changed
    assert [(c.field, c.old, c.new) for c in change.fields] == [("sex", "M", "F"), ("lines", ("b-Cre",), ())]


@pytest.mark.parametrize("snapshot_id", [0, -1, 12345, 2**63, 2**70])
def test_unknown_snapshot_is_an_error(store: Store, small_atlas: Database, snapshot_id: int) -> None:
    with pytest.raises(InputError, match=r"snapshot|old"):
        store.catalog.diff(snapshot_id, snapshot_id)


def test_snapshot_of_structures_has_no_difference(store: Store, small_atlas: Database) -> None:
    (only,) = store.catalog.snapshots()
    with pytest.raises(InputError, match="is of structures"):
        store.catalog.diff(only.id, only.id)


def test_snapshots_record_what_was_ingested(store: Store, small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), experiment(2), day=date(2020, 1, 1)), source="a.json")
    ingest_experiments(
        small_atlas, a_list(experiment(1, sex="M"), experiment(3), day=date(2020, 2, 1)), source="b.json"
    )
    first, second = (item for item in store.catalog.snapshots() if item.what == "experiments")
    assert (first.source, first.kind, first.upstream_date, first.rows) == ("a.json", "api", date(2020, 1, 1), 2)
    assert (first.added, first.changed, first.withdrawn) == (2, 0, 0)
    assert (second.added, second.changed, second.withdrawn) == (1, 1, 1)
    assert first.taken_at.tzinfo is not None
    assert first.content_sha256 != second.content_sha256


def test_a_list_says_which_experiments_of_other_kinds_it_leaves_alone(small_atlas: Database) -> None:
    ingest_experiments(small_atlas, a_list(experiment(1), experiment(2), experiment(3)), source="api")
    other = a_list(experiment(1), kind="csv", day=date(2021, 1, 1))
    report = ingest_experiments(small_atlas, other, source="search")
    assert (report.withdrawn, rows(small_atlas, "SELECT id FROM experiment WHERE withdrawn")) == (0, [])
    assert "2 current experiments are not in this list and not withdrawn" in report.remarks()[-1]
    assert "'csv'" in report.remarks()[-1]
    everything = a_list(*map(experiment, (1, 2, 3)), kind="csv", day=date(2022, 1, 1))
    assert not [
        text for text in ingest_experiments(small_atlas, everything, source="all").remarks() if "not in" in text
    ]
