from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bsv_store.catalog.records import Ontology
from bsv_store.errors import FormatError
from bsv_store.formats.structures import read_structures
from tests.formats.bodies import Row, bare, csv_body, envelope, structure, structures


def _nested() -> Row:
    root, grey, tmv, cul = structures()
    return {**root, "children": [{**grey, "children": [{**tmv, "children": []}, {**cul, "children": []}]}]}


def _allensdk() -> list[Row]:
    paths: dict[int, list[int]] = {}
    rows = []
    for row in structures():
        paths[row["id"]] = [*paths.get(row["parent_structure_id"], []), row["id"]]
        color = bytes.fromhex(row["color_hex_triplet"])
        rows.append(
            {
                **{key: row[key] for key in ("id", "acronym", "name", "graph_order", "graph_id")},
                "rgb_triplet": list(color),
                "structure_id_path": paths[row["id"]],
                "structure_set_ids": [12, 3],
            }
        )
    return rows


def _csv(rows: list[Row]) -> bytes:
    cells = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    return csv_body(cells, list(cells[0]))


def _changed(structure_id: int, **changes: object) -> list[Row]:
    return [{**row, **changes} if row["id"] == structure_id else row for row in structures()]


# -- real files ---------------------------------------------------------------------------------------------------


def test_both_real_files_give_the_whole_graph(data: Path) -> None:
    sdk = read_structures((data / "allensdk_cache/structures.json").read_bytes(), what="structures.json")
    tree = read_structures((data / "structure_tree_safe_2017.csv").read_bytes(), what="the CSV")
    assert len(sdk.structures) == len(tree.structures) == 1327
    assert (sdk.has_structure_sets, tree.has_structure_sets) == (True, False)
    by_id = {record.id: record for record in tree.structures}
    damaged = 0
    for record in sdk.structures:
        other = by_id[record.id]
        assert (record.parent_structure_id, record.graph_order) == (other.parent_structure_id, other.graph_order)
        assert record.color_hex_triplet == other.color_hex_triplet
        damaged += record.acronym != other.acronym
    assert damaged == 9


def test_real_graph_has_its_known_structures(data: Path) -> None:
    graph = read_structures((data / "allensdk_cache/structures.json").read_bytes(), what="structures.json")
    by_acronym = {record.acronym: record for record in graph.structures}
    assert graph.structures[0].id == 997
    assert by_acronym["CUL4, 5"].id
    assert by_acronym["CM"] != by_acronym["cm"]
    assert sum(167587189 in record.structure_set_ids for record in graph.structures) == 316
    assert sum(184527634 in record.structure_set_ids for record in graph.structures) == 840
    assert any(record.id == 1 for record in graph.structures)


# -- the four forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "has_sets"),
    [
        pytest.param(envelope(structures()), False, id="flat, without sets"),
        pytest.param(bare(structures()), False, id="flat, bare list"),
        pytest.param(envelope([_nested()]), False, id="nested"),
        pytest.param(bare(_allensdk()), True, id="allensdk"),
        pytest.param(_csv(structures()), False, id="csv"),
    ],
)
def test_every_form_gives_the_same_graph(body: bytes, has_sets: bool) -> None:
    graph = read_structures(body, what="x")
    assert graph.has_structure_sets is has_sets
    assert [record.id for record in graph.structures] == [997, 8, 1, 10]
    assert [record.parent_structure_id for record in graph.structures] == [None, 997, 8, 8]
    assert [record.acronym for record in graph.structures] == ["root", "grey", "TMv", "CUL4, 5"]
    assert [record.color_hex_triplet for record in graph.structures] == ["FFFFFF", "0A1B2C", "019399", "0A1B2C"]


def test_flat_form_carries_structure_sets_and_their_names() -> None:
    rows = [{**row, "structure_sets": []} for row in structures()]
    rows[1]["structure_sets"] = [{"id": 16, "name": "ARA"}, {"id": 9, "name": "Fiber"}, {"id": 16, "name": "ARA"}]
    graph = read_structures(envelope(rows), what="x")
    assert graph.has_structure_sets
    assert graph.structures[1].structure_set_ids == (9, 16)
    assert graph.structure_set_names == {9: "Fiber", 16: "ARA"}


def test_sets_on_some_rows_do_not_imply_sets_on_others() -> None:
    rows = structures()
    rows[0]["structure_sets"] = [{"id": 12, "name": "ARA"}]
    assert not read_structures(envelope(rows), what="x").has_structure_sets


def test_output_is_in_graph_order_whatever_the_input_order() -> None:
    assert [record.id for record in read_structures(bare(structures()[::-1]), what="x").structures] == [997, 8, 1, 10]


def test_deep_nesting_is_walked_without_recursion() -> None:
    node: dict[str, Any] = structure(5000, 4999, 4000, "S5000")
    for number in range(4999, 4800, -1):
        node = {**structure(number, number - 1, number - 1000, f"S{number}"), "children": [node]}
    root = {**structure(997, None, 0, "root"), "children": [{**node, "parent_structure_id": 997}]}
    assert len(read_structures(envelope([root]), what="x").structures) == 201


# -- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("acronym", ["a'b", 'a"b', "x;--", "100%s", "A, B", "Ω", "<b>", "$(id)", "a b", "a" * 255])
def test_odd_but_visible_acronyms_are_accepted(acronym: str) -> None:
    graph: Ontology = read_structures(bare(_changed(10, acronym=acronym)), what="x")
    assert graph.structures[3].acronym == acronym


@pytest.mark.parametrize(
    "acronym",
    [
        *("a\nb", "a\tb", "a\x00", "\x1b[2J", "a\u202eb", "\u2066a", "a\u200b", "a\u2028", "a\x9b"),
        *("", "a" * 256, "a" * 10_000),
        *(None, 5, ["a"], True),
    ],
)
@pytest.mark.parametrize("field", ["acronym", "name"])
def test_names_that_hide_something_are_refused(acronym: object, field: str) -> None:
    with pytest.raises(FormatError, match="structure 10") as caught:
        read_structures(bare(_changed(10, **{field: acronym})), what="the graph")
    assert str(caught.value).isascii()
    assert len(str(caught.value)) < 500


def test_surrogates_in_names_are_refused() -> None:
    with pytest.raises(FormatError, match=r"U\+D800"):
        read_structures(bare(_changed(10, name="a\ud800")), what="x")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        pytest.param([], "contains no structure", id="empty"),
        pytest.param([*structures(), structure(5, None, 9, "other")], "2 roots", id="two roots"),
        pytest.param(structures()[1:], "parent 997 .* missing", id="root missing"),
        pytest.param(_changed(10, parent_structure_id=77), "parent 77 of structure 10 is missing", id="missing parent"),
        pytest.param(_changed(8, parent_structure_id=1), "cycle", id="cycle"),
        pytest.param(_changed(8, parent_structure_id=8), "cycle", id="its own parent"),
        pytest.param(_changed(997, parent_structure_id=8), "cycle", id="cycle through the root"),
        pytest.param([*structures(), structure(8, 997, 9, "other")], "structure 8 twice", id="id twice"),
        pytest.param(_changed(10, acronym="TMv"), "1 and 10 have the same acronym", id="acronym twice"),
        pytest.param(_changed(10, color_hex_triplet="19399"), "color_hex_triplet", id="five digits"),
        pytest.param(_changed(10, color_hex_triplet="12345G"), "color_hex_triplet", id="no hex"),
        pytest.param(_changed(10, color_hex_triplet="12345\n"), "color_hex_triplet", id="line break"),
        pytest.param(_changed(10, color_hex_triplet=None), "color_hex_triplet", id="no color"),
        pytest.param(_changed(10, graph_order=0), "before its parent", id="before its parent"),
        pytest.param(_changed(10, graph_order=2.0), "graph_order", id="order as fraction"),
        pytest.param(_changed(10, id=True), "not an id", id="id as truth value"),
        pytest.param(_changed(10, id="10"), "not an id", id="id as text"),
        pytest.param(_changed(10, id=10.5), "not an id", id="id as fraction"),
        pytest.param(_changed(10, id=0), "not an id", id="id 0"),
        pytest.param(_changed(10, id=2**63), "not an id", id="id beyond 64 bits"),
        pytest.param(_changed(10, graph_id=17), "graph 17", id="another graph"),
        pytest.param(_changed(10, structure_id_path="/997/10/"), "path of structure 10", id="path and parent disagree"),
        pytest.param(_changed(10, structure_id_path="997/8"), "structure_id_path", id="path without slashes"),
        pytest.param(_changed(10, structure_sets="none"), "structure_sets", id="sets as text"),
        pytest.param(_changed(10, structure_sets=[{"name": "a"}]), "set's id", id="set without id"),
        pytest.param([structure(5, None, 0, "other")], "root 5", id="root of another graph"),
    ],
)
def test_what_is_not_one_tree_is_refused(rows: list[Row], complaint: str) -> None:
    with pytest.raises(FormatError, match=complaint):
        read_structures(bare(rows), what="the graph")


def test_siblings_may_share_a_place_in_graph_order() -> None:
    graph = read_structures(bare(_changed(10, graph_order=2)[::-1]), what="x")
    assert [record.id for record in graph.structures] == [997, 8, 1, 10]


def test_parent_field_may_not_be_missing() -> None:
    rows = structures()
    del rows[2]["parent_structure_id"]
    with pytest.raises(FormatError, match="parent_structure_id"):
        read_structures(bare(rows), what="x")


def test_nested_child_must_name_the_node_above_it() -> None:
    root = _nested()
    root["children"][0]["parent_structure_id"] = 1
    with pytest.raises(FormatError, match="listed under 997"):
        read_structures(envelope([root]), what="x")


@pytest.mark.parametrize("children", [None, "x", [1], {}])
def test_nested_children_must_be_objects(children: object) -> None:
    root = {**_nested(), "children": children}
    with pytest.raises(FormatError, match="children"):
        read_structures(envelope([root]), what="x")


@pytest.mark.parametrize(
    "changes",
    [
        {"rgb_triplet": [0, 0]},
        {"rgb_triplet": [0, 0, 256]},
        {"rgb_triplet": [0, 0, True]},
        {"rgb_triplet": "000000"},
        {"structure_id_path": [997, 8, 1]},
        {"structure_id_path": []},
        {"structure_id_path": None},
        {"structure_id_path": [997, 8, "10"]},
        {"structure_set_ids": "1"},
    ],
)
def test_allensdk_rows_are_checked(changes: dict[str, object]) -> None:
    rows = _allensdk()
    rows[-1].update(changes)
    with pytest.raises(FormatError):
        read_structures(bare(rows), what="x")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(_csv(structures())[:-3], id="cut in the last line"),
        pytest.param(_csv(structures()).replace(b"graph_order", b"order"), id="column missing"),
        pytest.param(_csv(structures()).replace(b"graph_id", b"id"), id="column twice"),
        pytest.param(_csv(structures()) + b"1,2\n", id="short row"),
        pytest.param(_csv(structures()).replace(b"\n10,", b"\n1e1,"), id="id as fraction"),
        pytest.param(_csv(structures()).replace(b"\n10,", "\n１0,".encode()), id="digits of another script"),
        pytest.param(b"\x89PNG\r\n", id="binary"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\n\n", id="blank"),
        pytest.param(b'id,"acr\n', id="open quote"),
        pytest.param(bare(structures())[:-5], id="cut JSON"),
        pytest.param(envelope("failed", success=False), id="failure"),
    ],
)
def test_damaged_files_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(FormatError, match="the graph"):
        read_structures(body, what="the graph")
