from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from bsv_store.catalog.ingest import ingest_structures
from bsv_store.catalog.records import Ontology, StructureRecord
from bsv_store.errors import IncompleteListError, InputError
from tests.catalog.ingest.conftest import small_ontology
from tests.catalog.ingest.dump import dump, rows

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import OntologySourceKind

STRUCTURES = ("structure", "structure_ancestor", "structure_set", "structure_set_member")


def test_real_graph_has_complete_file(catalog: Database, real_ontology: Ontology) -> None:
    report = ingest_structures(catalog, real_ontology, source="structures.json")

    assert (report.rows, report.added, report.changed, report.unchanged, report.withdrawn) == (1327, 1327, 0, 0, 0)
    (visp,) = rows(catalog, "SELECT * FROM structure WHERE id = 385")
    assert visp["acronym"] == "VISp"
    assert visp["structure_id_path"] == "/997/8/567/688/695/315/669/385/"
    assert (visp["depth"], visp["parent_structure_id"], visp["color_hex_triplet"]) == (7, 669, "08858C")
    sizes = {
        row["structure_set_id"]: row["n"]
        for row in rows(catalog, "SELECT structure_set_id, count(*) AS n FROM structure_set_member GROUP BY 1")
    }
    assert (sizes[167587189], sizes[687527945], sizes[184527634]) == (316, 293, 840)


def test_closure_is_that_of_the_tree(catalog: Database, real_ontology: Ontology) -> None:
    ingest_structures(catalog, real_ontology, source="structures.json")

    parents = {record.id: record.parent_structure_id for record in real_ontology.structures}
    expected = set()
    for structure_id in parents:
        ancestor: int | None = structure_id
        distance = 0
        while ancestor is not None:
            expected.add((structure_id, ancestor, distance))
            ancestor, distance = parents[ancestor], distance + 1
    found = rows(catalog, "SELECT descendant_id, ancestor_id, distance FROM structure_ancestor")
    assert {tuple(row.values()) for row in found} == expected


def test_again_changes_nothing(catalog: Database, real_ontology: Ontology) -> None:
    ingest_structures(catalog, real_ontology, source="structures.json")
    before = dump(catalog, *STRUCTURES, "source_snapshot")

    report = ingest_structures(catalog, real_ontology, source="structures.json")

    assert (report.snapshot_id, report.added, report.changed, report.unchanged) == (None, 0, 0, 1327)
    assert dump(catalog, *STRUCTURES, "source_snapshot") == before


@pytest.mark.parametrize(("stand_in", "is_first"), [("csv", True), ("csv", False), ("bundle", False)])
def test_acronyms_without_commas_are_replaced_by_those_of_the_api(
    store: Store,
    catalog: Database,
    real_ontology: Ontology,
    csv_ontology: Ontology,
    stand_in: OntologySourceKind,
    is_first: bool,
) -> None:
    forms: list[tuple[OntologySourceKind, Ontology]] = [(stand_in, csv_ontology), ("api", real_ontology)]
    for kind, ontology in forms if is_first else forms[::-1]:
        ingest_structures(catalog, ontology, source=kind, kind=kind)

    stored = {row["id"]: row for row in rows(catalog, "SELECT * FROM structure")}
    for record in real_ontology.structures:
        assert (stored[record.id]["acronym"], stored[record.id]["name"]) == (record.acronym, record.name)
    assert not any(row["withdrawn"] for row in stored.values())
    assert [item.what for item in store.catalog.snapshots()] == ["structures", "structures"]


def test_csv_alone_serves(catalog: Database, csv_ontology: Ontology) -> None:
    report = ingest_structures(catalog, csv_ontology, source="csv", kind="csv")

    assert report.added == 1327
    assert rows(catalog, "SELECT acronym FROM structure WHERE id = 1091") == [{"acronym": "CUL4 5"}]


def test_csv_does_not_withdraw_what_the_api_has(small_atlas: Database) -> None:
    report = ingest_structures(small_atlas, small_ontology(without=20), source="csv", kind="csv")

    assert report.withdrawn == 0
    assert rows(small_atlas, "SELECT id FROM structure WHERE withdrawn") == []


def test_structure_that_only_the_csv_has_is_history(small_atlas: Database) -> None:
    extra = StructureRecord(30, "OLD", "old", 10, 5, "000000")
    report = ingest_structures(
        small_atlas,
        replace(small_ontology(), structures=(*small_ontology().structures, extra)),
        source="csv",
        kind="csv",
    )

    assert (report.added, report.unchanged) == (1, 5)
    assert rows(small_atlas, "SELECT withdrawn, structure_id_path FROM structure WHERE id = 30") == [
        {"withdrawn": True, "structure_id_path": "/997/8/10/30/"}
    ]


def test_vanished_structure_is_withdrawn_and_keeps_its_place(small_atlas: Database) -> None:
    report = ingest_structures(small_atlas, small_ontology(without=20), source="newer", upstream_date=date(2020, 7, 1))

    assert (report.added, report.changed, report.withdrawn, report.unchanged) == (0, 0, 1, 4)
    assert rows(small_atlas, "SELECT withdrawn FROM structure WHERE id = 20") == [{"withdrawn": True}]
    assert len(rows(small_atlas, "SELECT * FROM structure_ancestor WHERE descendant_id = 20")) == 3

    report = ingest_structures(small_atlas, small_ontology(), source="back again", upstream_date=date(2020, 7, 1))
    assert (report.changed, report.unchanged) == (1, 4)
    assert rows(small_atlas, "SELECT withdrawn FROM structure WHERE id = 20") == [{"withdrawn": False}]


CURRENT = "SELECT id FROM structure WHERE NOT withdrawn ORDER BY id"


@pytest.mark.parametrize(
    ("current", "other"),
    [
        (None, None),
        (date(2020, 7, 1), None),
        (date(2020, 7, 1), date(2019, 2, 1)),
    ],
)
def test_an_older_graph_is_history(catalog: Database, current: date | None, other: date | None) -> None:
    ingest_structures(catalog, small_ontology(), source="current", upstream_date=current)
    before = dump(catalog, *STRUCTURES)

    renamed = small_ontology(without=20, s11="OLD NAME")
    report = ingest_structures(catalog, renamed, source="old", upstream_date=other)

    assert (report.kind, report.added, report.changed, report.withdrawn) == ("older", 0, 0, 0)
    assert "stored as history" in report.remarks()[0]
    assert dump(catalog, *STRUCTURES) == before
    assert report.snapshot_id is not None
    assert ingest_structures(catalog, renamed, source="old", upstream_date=other).snapshot_id is None


def test_a_structure_and_a_set_that_only_an_older_graph_has_are_kept(catalog: Database) -> None:
    ingest_structures(catalog, small_ontology(without=20), source="current", upstream_date=date(2020, 7, 1))
    named = replace(small_ontology(), structure_set_names={1: "not the name", 9: "old"})
    report = ingest_structures(catalog, named, source="old", upstream_date=date(2019, 2, 1))
    assert (report.added, report.changed) == (1, 0)
    assert rows(catalog, "SELECT withdrawn FROM structure WHERE id = 20") == [{"withdrawn": True}]
    sets = rows(catalog, "SELECT id, name FROM structure_set ORDER BY id")
    assert [tuple(row.values()) for row in sets] == [(1, None), (9, "old")]


def test_the_order_in_which_dated_graphs_come_does_not_matter(catalog: Database) -> None:
    ingest_structures(catalog, small_ontology(), source="old", upstream_date=date(2019, 2, 1))
    ingest_structures(catalog, small_ontology(without=20), source="new", upstream_date=date(2020, 7, 1))
    assert [row["id"] for row in rows(catalog, CURRENT)] == [8, 10, 11, 997]


def test_a_part_of_allens_ontology_is_refused_in_an_empty_store_too(catalog: Database, real_ontology: Ontology) -> None:
    depths: dict[int | None, int] = {None: -1}
    for each in real_ontology.structures:
        depths[each.id] = depths[each.parent_structure_id] + 1
    top = replace(real_ontology, structures=tuple(each for each in real_ontology.structures if depths[each.id] <= 4))
    with pytest.raises(IncompleteListError, match="it has 194 structures, Allen's ontology 1,327"):
        ingest_structures(catalog, top, source="top.json")
    assert rows(catalog, CURRENT) == []
    assert ingest_structures(catalog, top, source="top.json", allow_shrinking=True).added == 194


@pytest.mark.parametrize("what", ["structures", "experiments", "unionizes"])
def test_a_future_date_in_the_name_of_a_file_is_refused(store: Store, what: str, tmp_path: Path) -> None:
    path = tmp_path / f"{what}_2099-01-01.json"
    path.write_text("[]", "utf-8")
    ingest = getattr(store, f"ingest_{what}")
    with pytest.raises(InputError, match=r"_2099-01-01\.json is in the future: 2099-01-01") as caught:
        ingest(path)
    assert "upstream_date=" in str(caught.value.hint)
    # A date that is given counts instead of that in the name.
    with pytest.raises(InputError) as caught:
        ingest(path, upstream_date=date(2020, 7, 1))
    assert "is in the future" not in caught.value.message


def test_a_part_of_the_ontology_is_refused_unless_it_is_allowed(
    store: Store, catalog: Database, real_ontology: Ontology, data: Path, tmp_path: Path
) -> None:
    import json

    ingest_structures(catalog, real_ontology, source="structures.json")
    structures = json.loads((data / "allensdk_cache/structures.json").read_text("utf-8"))
    path = tmp_path / "top.json"
    path.write_text(json.dumps([row for row in structures if len(row["structure_id_path"]) <= 5]), "utf-8")

    for day in (None, date(2024, 1, 1)):
        with pytest.raises(IncompleteListError, match="does not have 1,133 of the 1,327 structures") as caught:
            store.ingest_structures(path, upstream_date=day)
        assert "allow_shrinking=True" in str(caught.value)
    assert len(rows(catalog, CURRENT)) == 1327

    report = store.ingest_structures(path, allow_shrinking=True)
    assert (report.kind, report.withdrawn) == ("file", 1133)
    assert len(rows(catalog, CURRENT)) == 194


def test_an_older_file_of_structures_withdraws_nothing(store: Store, data: Path, tmp_path: Path) -> None:
    import json

    store.ingest_structures(data / "allensdk_cache/structures.json")
    structures = json.loads((data / "allensdk_cache/structures.json").read_text("utf-8"))
    (visa,) = (row["id"] for row in structures if row["acronym"] == "VISa")
    path = tmp_path / "older_structures.json"
    path.write_text(json.dumps([row for row in structures if visa not in row["structure_id_path"]]), "utf-8")

    report = store.ingest_structures(path)

    assert (report.withdrawn, report.changed, report.kind) == (0, 0, "older")
    assert "VISa" in report.remarks()[0]
    assert not any(row.withdrawn for row in store.atlas.structure_tree("VIS"))


def test_moved_branch_takes_its_descendants_along(small_atlas: Database) -> None:
    moved = [
        replace(record, parent_structure_id=997) if record.id == 10 else record
        for record in small_ontology().structures
    ]
    ingest_structures(small_atlas, replace(small_ontology(), structures=tuple(moved)), source="newer")

    found = rows(
        small_atlas, "SELECT ancestor_id, distance FROM structure_ancestor WHERE descendant_id = 11 ORDER BY 2"
    )
    assert [tuple(row.values()) for row in found] == [(11, 0), (10, 1), (997, 2)]
    assert rows(small_atlas, "SELECT depth, structure_id_path FROM structure WHERE id = 11") == [
        {"depth": 2, "structure_id_path": "/997/10/11/"}
    ]


def test_acronyms_can_change_places(small_atlas: Database) -> None:
    ingest_structures(small_atlas, small_ontology(s10="A20", s20="A11", s11="A10"), source="newer")

    found = rows(small_atlas, "SELECT id, acronym FROM structure WHERE id IN (10, 11, 20) ORDER BY id")
    assert [row["acronym"] for row in found] == ["A20", "A10", "A11"]


def test_sets_and_names_of_another_source_stay(small_atlas: Database) -> None:
    named = replace(small_ontology(), structure_set_names={1: "summary", 2: "empty"})
    ingest_structures(small_atlas, named, source="api", kind="api")
    before = dump(small_atlas, *STRUCTURES)

    ingest_structures(small_atlas, small_ontology(), source="without names")
    assert dump(small_atlas, *STRUCTURES) == before
    ingest_structures(small_atlas, replace(small_ontology(), has_structure_sets=False), source="nested", kind="api")
    assert dump(small_atlas, *STRUCTURES) == before


@pytest.mark.parametrize(("kind", "has_sets"), [("api", False), ("csv", True)])
def test_sets_of_a_source_that_does_not_know_them_do_not_count(
    small_atlas: Database, kind: OntologySourceKind, has_sets: bool
) -> None:
    before = dump(small_atlas, *STRUCTURES)
    others = tuple(replace(record, structure_set_ids=(7,)) for record in small_ontology().structures)
    ontology = replace(small_ontology(), structures=others, has_structure_sets=has_sets)
    ingest_structures(small_atlas, ontology, source=kind, kind=kind)
    assert dump(small_atlas, *STRUCTURES) == before


def test_set_membership_is_replaced(small_atlas: Database) -> None:
    others = tuple(
        replace(record, structure_set_ids=(1, 3) if record.id == 10 else ()) for record in small_ontology().structures
    )
    ingest_structures(small_atlas, replace(small_ontology(), structures=others), source="newer")

    found = rows(small_atlas, "SELECT * FROM structure_set_member ORDER BY 1, 2")
    assert [tuple(row.values()) for row in found] == [(1, 10), (3, 10)]


@pytest.mark.parametrize("root", [997, 5])
def test_another_ontology_is_refused(small_atlas: Database, root: int) -> None:
    other = Ontology(
        (
            StructureRecord(root, "A997" if root == 997 else "other", "root", None, 0, "FFFFFF"),
            StructureRecord(4_000_000_001, "A10", "the same acronym, another id", root, 1, "FFFFFF"),
        )
    )
    before = dump(small_atlas, *STRUCTURES, "source_snapshot")

    with pytest.raises(InputError) as caught:
        ingest_structures(small_atlas, other, source="synthetic")

    assert "another ontology" in str(caught.value)
    assert dump(small_atlas, *STRUCTURES, "source_snapshot") == before


def _with(record: StructureRecord) -> Ontology:
    return Ontology((StructureRecord(997, "root", "root", None, 0, "FFFFFF"), record))


@pytest.mark.parametrize(
    "ontology",
    [
        Ontology(()),
        _with(StructureRecord(997, "again", "again", 997, 1, "FFFFFF")),
        _with(StructureRecord(8, "second root", "root", None, 1, "FFFFFF")),
        _with(StructureRecord(8, "orphan", "orphan", 9, 1, "FFFFFF")),
        _with(StructureRecord(8, "own parent", "own parent", 8, 1, "FFFFFF")),
        _with(StructureRecord(2**63, "large", "large", 997, 1, "FFFFFF")),
        _with(StructureRecord(-1, "negative", "negative", 997, 1, "FFFFFF")),
        _with(StructureRecord(8, "nul\0", "nul", 997, 1, "FFFFFF")),
        _with(StructureRecord(8, "half a pair \ud800", "surrogate", 997, 1, "FFFFFF")),
        _with(StructureRecord(8, "order", "order", 997, 2**31, "FFFFFF")),
        _with(StructureRecord(8, "color", "color", 997, 1, "FFFFFFF")),
        _with(StructureRecord(8, "root", "same acronym", 997, 1, "FFFFFF")),
    ],
)
def test_graphs_that_are_not_trees_or_cannot_be_stored_are_refused(catalog: Database, ontology: Ontology) -> None:
    with pytest.raises(InputError):
        ingest_structures(catalog, ontology, source="bad")
    assert rows(catalog, "SELECT * FROM structure") == rows(catalog, "SELECT * FROM source_snapshot") == []


@pytest.mark.parametrize(
    "hostile", ["'; DROP TABLE structure; --", "100 %s %(x)s", "a\nb", "\u202egnp", "X" * 10_000, ":id ?"]
)
def test_hostile_names_stay_data(store: Store, catalog: Database, hostile: str) -> None:
    ingest_structures(catalog, _with(StructureRecord(1, hostile, hostile, 997, 1, "00000A")), source=hostile)

    with catalog.reading() as connection:
        found = connection.execute(text("SELECT acronym, name FROM structure WHERE id = 1")).one()
        assert tuple(found) == (hostile, hostile)
    assert store.catalog.snapshots()[0].source == hostile


def test_cut_short_leaves_nothing(catalog: Database, real_ontology: Ontology, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise RuntimeError("cut short")

    monkeypatch.setattr("bsv_store.catalog.ingest.structures.record_snapshot", fail)
    with pytest.raises(RuntimeError, match="cut short"):
        ingest_structures(catalog, real_ontology, source="structures.json")

    for table in STRUCTURES:
        assert rows(catalog, f"SELECT * FROM {table}") == []
