"""The ontology in its four forms: the API's nested and flat ones, AllenSDK's structures.json, allenCCF's CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bsv_store.catalog.records import ROOT_STRUCTURE_ID, Ontology, StructureRecord
from bsv_store.errors import FormatError
from bsv_store.formats.envelope import read_rows
from bsv_store.formats.fields import DAMAGED_HINT, checked_id, checked_text, csv_rows, int_from_text, quoted
from bsv_store.text import MAX_ID

GRAPH_ID = 1
"""The adult mouse. Acronyms are unique only within a graph, so other graphs are refused."""

_COLOR = re.compile(r"[0-9A-Fa-f]{6}")
_PATH = re.compile(r"/(?:[0-9]{1,19}/)+")
_CSV_COLUMNS = ("id", "acronym", "name", "parent_structure_id", "graph_order", "color_hex_triplet")


@dataclass(frozen=True, slots=True)
class _Node:
    record: StructureRecord
    path: tuple[int, ...] | None
    """Ids from the root to the node itself, if the form has them."""


def read_structures(body: bytes, *, what: str) -> Ontology:
    """The ontology in a file or reply of any of the four forms, validated to be one tree.

    Parameters
    ----------
    body : bytes
        The structure graph download, a ``model::Structure`` reply, AllenSDK's structures.json or the allenCCF CSV.
    what : str
        Name of the file or reply, for errors.

    Returns
    -------
    Ontology
        In graph order, parents before children. ``has_structure_sets`` is false for the nested form and the CSV.

    Raises
    ------
    EnvelopeError
        If the reply reports failure or is one page of several.
    FormatError
        If it is not an ontology, or not one tree: a cycle, two roots, a missing parent, duplicate ids or
        acronyms, colors that are not six hexadecimal digits, hidden characters in names, another graph than the adult
        mouse.
    """
    if body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"[", b"{"):
        return _ontology([*_from_csv(body, what=what)], {}, has_sets=False, what=what)
    rows = read_rows(body, what=what)
    if not rows:
        raise FormatError(f"{what} contains no structure", hint=DAMAGED_HINT)
    if any("children" in row for row in rows):
        return _ontology([*_from_nested(rows, what=what)], {}, has_sets=False, what=what)
    if any("rgb_triplet" in row for row in rows):
        has_sets = all("structure_set_ids" in row for row in rows)
        return _ontology([_from_allensdk(row, what=what) for row in rows], {}, has_sets=has_sets, what=what)
    has_sets = all("structure_sets" in row or "structure_set_ids" in row for row in rows)
    names = _set_names(rows, what=what)
    return _ontology([_from_flat(row, what=what) for row in rows], names, has_sets=has_sets, what=what)


def _from_csv(body: bytes, *, what: str) -> Iterator[_Node]:
    header, rows = csv_rows(body, what=what)
    if missing := [name for name in _CSV_COLUMNS if name not in header]:
        raise FormatError(
            f"{what} is not an ontology: it is missing the columns {', '.join(missing)}",
            hint="Expected are structures.json, the API's structure graph, or the allenCCF structure tree CSV.",
        )
    for row in rows:
        numbers = {
            key: int_from_text(row[key], field=key, what=what)
            for key in ("id", "parent_structure_id", "graph_order", "graph_id")
            if key in row
        }
        yield _from_flat(dict[str, Any](row) | numbers, what=what)


def _from_nested(roots: Sequence[Mapping[str, Any]], *, what: str) -> Iterator[_Node]:
    # A loop instead of recursion, since the file determines the depth.
    waiting: list[tuple[Mapping[str, Any], tuple[int, ...]]] = [(root, ()) for root in roots]
    while waiting:
        row, above = waiting.pop()
        node = _from_flat({**row, "structure_id_path": None}, what=what)
        parent = above[-1] if above else None
        if node.record.parent_structure_id != parent:
            raise FormatError(
                f"{what}: structure {node.record.id} is listed under {parent}, but names "
                f"{node.record.parent_structure_id} as its parent",
                hint=DAMAGED_HINT,
            )
        path = (*above, node.record.id)
        yield _Node(node.record, path)
        children = row.get("children", [])
        if not isinstance(children, list) or any(not isinstance(child, dict) for child in children):
            raise FormatError(
                f"{what}: children of structure {node.record.id} are not a list of objects", hint=DAMAGED_HINT
            )
        waiting.extend((child, path) for child in children)


def _from_flat(row: Mapping[str, Any], *, what: str) -> _Node:
    structure_id = checked_id(row.get("id"), field="a structure's id", what=what)
    what_here = f"{what}, structure {structure_id}"
    if "parent_structure_id" not in row:
        raise FormatError(f"{what_here} has no parent_structure_id", hint=DAMAGED_HINT)
    parent = row["parent_structure_id"]
    color = row.get("color_hex_triplet")
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        raise FormatError(
            f"{what_here}: color_hex_triplet is {quoted(color)}, not six hexadecimal digits",
            hint="A spreadsheet program may have removed leading zeros. Use the original file.",
        )
    record = _record(
        row,
        structure_id=structure_id,
        parent=None if parent is None else checked_id(parent, field="parent_structure_id", what=what_here),
        color=color,
        set_ids=_set_ids(row, what=what_here),
        what=what_here,
    )
    return _Node(record, _path(row.get("structure_id_path"), what=what_here))


def _from_allensdk(row: Mapping[str, Any], *, what: str) -> _Node:
    structure_id = checked_id(row.get("id"), field="a structure's id", what=what)
    what_here = f"{what}, structure {structure_id}"
    path = _path(row.get("structure_id_path"), what=what_here)
    if path is None:
        raise FormatError(f"{what_here} has no structure_id_path", hint=DAMAGED_HINT)
    rgb = row.get("rgb_triplet")
    if not (isinstance(rgb, list) and len(rgb) == 3 and all(type(value) is int and 0 <= value <= 255 for value in rgb)):
        raise FormatError(
            f"{what_here}: rgb_triplet is {quoted(rgb)}, not three numbers from 0 to 255", hint=DAMAGED_HINT
        )
    record = _record(
        row,
        structure_id=structure_id,
        parent=path[-2] if len(path) > 1 else None,
        color="".join(f"{value:02X}" for value in rgb),
        set_ids=_set_ids(row, what=what_here),
        what=what_here,
    )
    return _Node(record, path)


def _record(
    row: Mapping[str, Any], *, structure_id: int, parent: int | None, color: str, set_ids: tuple[int, ...], what: str
) -> StructureRecord:
    graph_id = row.get("graph_id", GRAPH_ID)
    if type(graph_id) is not int or graph_id != GRAPH_ID:
        raise FormatError(
            f"{what} belongs to the graph {quoted(graph_id)}, not to graph {GRAPH_ID}, the adult mouse",
            hint="Acronyms are unique only within one graph; load graph 1.",
        )
    order = row.get("graph_order")
    if type(order) is not int or not 0 <= order <= MAX_ID:
        raise FormatError(
            f"{what}: graph_order is {quoted(order)}, not a whole number of at least 0", hint=DAMAGED_HINT
        )
    return StructureRecord(
        id=structure_id,
        acronym=checked_text(row.get("acronym"), field="acronym", what=what),
        name=checked_text(row.get("name"), field="name", what=what),
        parent_structure_id=parent,
        graph_order=order,
        color_hex_triplet=color.upper(),
        structure_set_ids=set_ids,
    )


def _path(value: object, *, what: str) -> tuple[int, ...] | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and _PATH.fullmatch(value):
        return tuple(int(part) for part in value.strip("/").split("/"))
    if isinstance(value, list) and value:
        return tuple(checked_id(part, field="an id in structure_id_path", what=what) for part in value)
    raise FormatError(f"{what}: structure_id_path is {quoted(value)}", hint=DAMAGED_HINT)


def _set_ids(row: Mapping[str, Any], *, what: str) -> tuple[int, ...]:
    ids = row.get("structure_set_ids")
    if ids is None:
        ids = [structure_set.get("id") for structure_set in _sets(row, what=what)]
    if not isinstance(ids, list):
        raise FormatError(f"{what}: structure_set_ids is {quoted(ids)}, not a list", hint=DAMAGED_HINT)
    return tuple(sorted({checked_id(value, field="a structure set's id", what=what) for value in ids}))


def _sets(row: Mapping[str, Any], *, what: str) -> list[dict[str, Any]]:
    sets = row.get("structure_sets") or []
    if not isinstance(sets, list) or any(not isinstance(value, dict) for value in sets):
        raise FormatError(f"{what}: structure_sets is not a list of objects: {quoted(sets)}", hint=DAMAGED_HINT)
    return sets


def _set_names(rows: Sequence[Mapping[str, Any]], *, what: str) -> dict[int, str]:
    names: dict[int, str] = {}
    for row in rows:
        for structure_set in _sets(row, what=what):
            set_id = checked_id(structure_set.get("id"), field="a structure set's id", what=what)
            if structure_set.get("name") is not None:
                names[set_id] = checked_text(structure_set["name"], field=f"name of structure set {set_id}", what=what)
    return names


def _ontology(nodes: Sequence[_Node], set_names: Mapping[int, str], *, has_sets: bool, what: str) -> Ontology:
    if not nodes:
        raise FormatError(f"{what} contains no structure", hint=DAMAGED_HINT)
    _check_unique([node.record for node in nodes], what=what)
    by_id = {node.record.id: node.record for node in nodes}
    _check_tree(by_id, what=what)
    paths = {node.record.id: node.path for node in nodes}
    for record in by_id.values():
        _check_place(record, by_id, paths, what=what)
    ordered = sorted(by_id.values(), key=lambda record: (record.graph_order, record.id))
    return Ontology(tuple(ordered), dict(sorted(set_names.items())), has_structure_sets=has_sets)


def _check_unique(records: Sequence[StructureRecord], *, what: str) -> None:
    ids: set[int] = set()
    acronyms: dict[str, int] = {}
    for record in records:
        if record.id in ids:
            raise FormatError(f"{what} has the structure {record.id} twice", hint=DAMAGED_HINT)
        ids.add(record.id)
        other = acronyms.setdefault(record.acronym, record.id)
        if other != record.id:
            raise FormatError(
                f"{what}: structures {other} and {record.id} have the same acronym {quoted(record.acronym)}",
                hint=DAMAGED_HINT,
            )


def _check_tree(by_id: Mapping[int, StructureRecord], *, what: str) -> None:
    roots = [record.id for record in by_id.values() if record.parent_structure_id is None]
    children: dict[int, list[int]] = {}
    for record in by_id.values():
        parent = record.parent_structure_id
        if parent is None:
            continue
        if parent not in by_id:
            raise FormatError(f"{what}: the parent {parent} of structure {record.id} is missing", hint=DAMAGED_HINT)
        children.setdefault(parent, []).append(record.id)
    if len(roots) > 1:
        raise FormatError(f"{what} has {len(roots)} roots, among them {roots[0]} and {roots[1]}", hint=DAMAGED_HINT)
    reached: set[int] = set()
    waiting = list(roots)
    while waiting:
        reached.add(current := waiting.pop())
        waiting.extend(children.get(current, ()))
    if lost := sorted(by_id.keys() - reached):
        raise FormatError(
            f"{what} is not a tree: structure {lost[0]} is on or below a cycle of parents ({len(lost)} are)",
            hint=DAMAGED_HINT,
        )
    if roots != [ROOT_STRUCTURE_ID]:
        raise FormatError(
            f"{what} has the root {roots[0]}; that of the adult mouse graph is {ROOT_STRUCTURE_ID}",
            hint="Load the whole ontology, structure graph 1 of the API.",
        )


def _check_place(
    record: StructureRecord,
    by_id: Mapping[int, StructureRecord],
    paths: Mapping[int, tuple[int, ...] | None],
    *,
    what: str,
) -> None:
    path, parent = paths[record.id], record.parent_structure_id
    above: tuple[int, ...] | None = ()
    if parent is not None:
        above = paths[parent]
        if by_id[parent].graph_order >= record.graph_order:
            raise FormatError(
                f"{what}: structure {record.id} comes before its parent {parent} in graph order", hint=DAMAGED_HINT
            )
    if path is None:
        return
    expected = (*above, record.id) if above is not None else (*path[:-2], parent, record.id)
    if path != expected:
        raise FormatError(
            f"{what}: the path of structure {record.id} does not contain its parent {parent}: {quoted(path)}",
            hint=DAMAGED_HINT,
        )
