"""Ingest ontologies: structures, their closure and their sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from operator import attrgetter

from sqlalchemy import Connection, func, select, update

from bsv_store.catalog import seals
from bsv_store.catalog.database.bulk import replace_rows, table_of, upsert_rows
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import (
    SourceSnapshot,
    Structure,
    StructureAncestor,
    StructureSet,
    StructureSetMember,
)
from bsv_store.catalog.ingest.checks import canonical_json, check_fields, check_text, sha256_of
from bsv_store.catalog.ingest.snapshot_log import IngestReport, find_same, record_snapshot, wait_for_turn
from bsv_store.catalog.records import Ontology, StructureRecord
from bsv_store.check import boolean
from bsv_store.errors import IncompleteListError, InputError
from bsv_store.text import listed, number_of
from bsv_store.vocabulary import ONTOLOGY_SOURCE_KINDS, Action, OntologySourceKind

_NOT_CURRENT = tuple(name for name, row in ONTOLOGY_SOURCE_KINDS.items() if not row.is_current)
# Allen only adds structures, so a graph that lost more than these is probably incomplete.
_PLAUSIBLE_LOSS = 0.02
_PLAUSIBLE_COUNT = 20
# Allen's ontology has 1,327 structures, of which these are the topmost below the root.
_ALLEN_TOP = {(8, "grey"), (567, "CH"), (343, "BS")}
_ALLEN_MIN_COUNT = 1_000

_OTHER_ONTOLOGY = (
    "The store has another ontology (of another release, or of the synthetic atlas). "
    "Create a separate store for this one: `bsv-store init FOLDER`."
)


@dataclass(frozen=True, slots=True)
class _Node:
    """A row of table ``structure``, in the order of its columns."""

    id: int
    acronym: str
    name: str
    parent_structure_id: int | None
    depth: int
    graph_order: int
    structure_id_path: str
    color_hex_triplet: str
    withdrawn: bool


_COLUMNS = tuple(_Node.__dataclass_fields__)
# `dataclasses.astuple` copies each value, which takes a third of the time of an ingest.
_node_values = attrgetter(*_COLUMNS)
_record_values = attrgetter(*(field.name for field in fields(StructureRecord)))
_ANCESTOR_COLUMNS = ("descendant_id", "ancestor_id", "distance")
_MEMBER_COLUMNS = ("structure_set_id", "structure_id")


def ingest_structures(
    database: Database,
    ontology: Ontology,
    *,
    source: str,
    kind: OntologySourceKind = "file",
    upstream_date: date | None = None,
    allow_shrinking: bool = False,
    action: Action | None = None,
) -> IngestReport:
    """Ingest an ontology, and report what it changed.

    The newest graph is the current one; structures that are missing from it are marked as withdrawn and retain
    their position. A graph is older than the current one if its date is, if only the current one has a date, or, if
    neither has a date, if structures are missing from it. Structure sets of the current graph replace those with the
    same id; other sets are not changed.

    An older graph, or one of the kind ``csv`` if the store has one of another kind, is stored as history: it only adds
    structures that are new to the store, marked as withdrawn. An older graph also adds new structure sets.

    Parameters
    ----------
    source : str
        URL or file name.
    kind : OntologySourceKind
        'csv' is the format of allenCCF, whose acronyms and names lack their commas.
    upstream_date : datetime.date, optional
        Date of the graph at its source, if known.
    allow_shrinking : bool
        Accept a graph from which many structures are missing. One without a date then becomes the
        current one, unless the store has one with a date.
    action : Action, optional
        Recorded as the activity of this user, if anything changes.

    Raises
    ------
    IncompleteListError
        If many of the current structures are missing from it, or it is the first one of the store and has the top
        structures of Allen's ontology, but not most of the others; unless ``allow_shrinking``. Nothing is written then.
    InputError
        If it is not a tree, or is not the ontology of the store. Nothing is written then.
    """
    boolean("allow_shrinking", allow_shrinking)
    check_ontology(ontology, source)
    content_sha256 = _content_sha256(ontology)
    with database.writing() as connection:
        wait_for_turn(connection)
        # Unchanged rows are sealed again, so damage must be found first.
        seals.check_ontology(connection)
        before = _stored_nodes(connection)
        lost = _lost(before, ontology)
        if not allow_shrinking:
            _check_size(before, ontology, source)
            _check_whole(before, lost, source)
        newest = _newest_date(connection)
        is_fallback = kind in _NOT_CURRENT and _has_better(connection)
        is_older = not is_fallback and (
            (newest is not None and (upstream_date is None or upstream_date < newest))
            or (upstream_date is None and bool(lost) and not allow_shrinking)
        )
        if is_older:
            kind = "older"
        stands_in = is_fallback or is_older
        after = _merged(before, ontology, stands_in=stands_in, source=source)
        touched = [node for node in after.values() if before.get(node.id) != node]
        _write_nodes(connection, before, touched)
        is_new = _write_closure(connection, after) | bool(touched)
        if ontology.has_structure_sets and not is_fallback:
            is_new |= _write_sets(connection, ontology, only_new=is_older)
        seals.seal_ontology(connection)
        added = sum(node.id not in before for node in touched)
        withdrawn = sum(node.withdrawn and node.id in before and not before[node.id].withdrawn for node in touched)
        changed = len(touched) - added - withdrawn
        snapshot_id = None
        if is_new or find_same(connection, "structures", kind, content_sha256, upstream_date=upstream_date) is None:
            snapshot_id = record_snapshot(
                connection,
                "structures",
                kind,
                source,
                content_sha256,
                rows=len(ontology.structures),
                added=added,
                changed=changed,
                withdrawn=withdrawn,
                upstream_date=upstream_date,
                action=action,
            )
    unchanged = len(ontology.structures) - sum(not node.withdrawn for node in touched)
    if stands_in:
        unchanged = len(ontology.structures) - added
    return IngestReport(
        "structures",
        kind,
        snapshot_id,
        len(ontology.structures),
        added,
        changed,
        unchanged,
        withdrawn,
        notes=(_why_older(source, newest, lost),) if is_older else (),
    )


def _lost(before: Mapping[int, _Node], ontology: Ontology) -> tuple[str, ...]:
    """The acronyms of the current structures that are missing from a graph."""
    ids = {record.id for record in ontology.structures}
    return tuple(node.acronym for node in before.values() if not node.withdrawn and node.id not in ids)


def _check_size(before: Mapping[int, _Node], ontology: Ontology, source: str) -> None:
    """Check that the first graph of a store is not a part of Allen's, with which it cannot be compared."""
    count = len(ontology.structures)
    is_allens = {(each.id, each.acronym) for each in ontology.structures} >= _ALLEN_TOP
    if not before and is_allens and count < _ALLEN_MIN_COUNT:
        raise IncompleteListError(
            f"{source} seems to be incomplete: it has {number_of(count, 'structure')}, Allen's ontology 1,327, and the "
            "store has no other ontology",
            hint="Use the complete ontology, or accept this one with allow_shrinking=True.",
        )


def _check_whole(before: Mapping[int, _Node], lost: Sequence[str], source: str) -> None:
    current = sum(not node.withdrawn for node in before.values())
    if len(lost) > max(_PLAUSIBLE_COUNT, _PLAUSIBLE_LOSS * current):
        raise IncompleteListError(
            f"{source} does not have {len(lost):,} of the {current:,} structures of the current ontology: "
            f"{listed(lost)}; it seems to be a part of it",
            hint="Use the complete ontology, or accept this one with allow_shrinking=True.",
        )


def _why_older(source: str, newest: date | None, lost: Sequence[str]) -> str:
    if newest is not None:
        return f"The newer ontology of {newest} stays current; {source} is stored as history."
    return (
        f"{source} is stored as history: its date is unknown, and it does not have "
        f"{number_of(len(lost), 'current structure')} ({listed(lost)}). If it is newer, use --upstream-date "
        "(upstream_date=)."
    )


def _newest_date(connection: Connection) -> date | None:
    """The newest upstream date of the graphs that became the current one."""
    query = select(func.max(SourceSnapshot.upstream_date)).where(
        SourceSnapshot.what == "structures", SourceSnapshot.kind.not_in(_NOT_CURRENT)
    )
    newest: date | None = connection.execute(query).scalar_one()
    return newest


def check_ontology(ontology: Ontology, source: str) -> None:
    """Check that an ontology is one tree, and that both databases can store its values.

    Raises
    ------
    InputError
    """
    if not ontology.structures:
        raise InputError(f"{source} contains no structure")
    seen: set[int] = set()
    for record in ontology.structures:
        what = f"{source}: structure {record.id}"
        check_fields(what, [record.id, record.parent_structure_id, *record.structure_set_ids], [record.graph_order], [])
        check_text(what, [record.acronym, record.name, record.color_hex_triplet])
        if len(record.color_hex_triplet) != 6:
            raise InputError(f"{what}: the color {record.color_hex_triplet!r} is not six hexadecimal digits")
        if record.id in seen:
            raise InputError(f"{what} occurs twice")
        is_root = record.parent_structure_id is None
        if is_root != (not seen) or not (is_root or record.parent_structure_id in seen):
            raise InputError(f"{what} is out of order: the graph must be one tree, with parents before their children")
        seen.add(record.id)
    check_text(source, ontology.structure_set_names.values())
    check_fields(source, ontology.structure_set_names, [], [])


def _stored_nodes(connection: Connection) -> dict[int, _Node]:
    table = table_of(Structure)
    return {row.id: _Node(*row) for row in connection.execute(select(*(table.c[name] for name in _COLUMNS)))}


def _content_sha256(ontology: Ontology) -> str:
    content = [[_record_values(record) for record in ontology.structures], sorted(ontology.structure_set_names.items())]
    return sha256_of(canonical_json([*content, ontology.has_structure_sets]))


def _has_better(connection: Connection) -> bool:
    query = select(SourceSnapshot.id).where(
        SourceSnapshot.what == "structures", SourceSnapshot.kind.not_in(_NOT_CURRENT)
    )
    return connection.execute(query.limit(1)).scalar() is not None


def _merged(before: Mapping[int, _Node], ontology: Ontology, *, stands_in: bool, source: str) -> dict[int, _Node]:
    """All structures as they are to be stored, with depth and path recomputed."""
    roots = {node.id for node in before.values() if node.parent_structure_id is None}
    root = ontology.structures[0].id
    if roots and root not in roots:
        raise InputError(f"{source} has the root {root}, this store {min(roots)}", hint=_OTHER_ONTOLOGY)
    after = {node.id: node if stands_in else replace(node, withdrawn=True) for node in before.values()}
    for record in ontology.structures:
        if stands_in and record.id in before:
            continue
        after[record.id] = _Node(
            record.id,
            record.acronym,
            record.name,
            record.parent_structure_id,
            0,
            record.graph_order,
            "",
            record.color_hex_triplet,
            withdrawn=stands_in,
        )
    _check_acronyms(after.values(), source)
    paths = _paths({node.id: node.parent_structure_id for node in after.values()}, source)
    return {
        node.id: replace(node, depth=len(path) - 1, structure_id_path="/" + "".join(f"{step}/" for step in path))
        for node, path in ((after[key], paths[key]) for key in after)
    }


def _check_acronyms(nodes: Iterable[_Node], source: str) -> None:
    owners: dict[str, int] = {}
    for node in nodes:
        owner = owners.setdefault(node.acronym, node.id)
        if owner != node.id:
            raise InputError(
                f"with {source}, two structures would have the acronym {node.acronym[:40]!r}: {owner} and {node.id}",
                hint=_OTHER_ONTOLOGY,
            )


def _paths(parents: Mapping[int, int | None], source: str) -> dict[int, tuple[int, ...]]:
    """The ids from the root to each structure; withdrawn ones keep their last parent."""
    paths: dict[int, tuple[int, ...]] = {}
    for start in parents:
        above: list[int] = []
        step: int | None = start
        while step is not None and step not in paths:
            if step in above:
                raise InputError(f"with {source}, structure {step} would be its own ancestor", hint=_OTHER_ONTOLOGY)
            above.append(step)
            step = parents[step]
        path = () if step is None else paths[step]
        for below in reversed(above):
            path = (*path, below)
            paths[below] = path
    return paths


def _write_nodes(connection: Connection, before: Mapping[int, _Node], touched: list[_Node]) -> None:
    table = table_of(Structure)
    owners = {node.acronym: node.id for node in before.values()}
    # An acronym may move from one structure to another; the previous owner must release it first.
    for node in touched:
        owner = owners.get(node.acronym, node.id)
        if owner != node.id:
            connection.execute(update(table).where(table.c.id == owner).values(acronym=f"\x01{owner}"))
    # Parents first, for the foreign key.
    rows = sorted(touched, key=lambda node: (node.depth, node.id))
    if rows:
        upsert_rows(connection, table, _COLUMNS, [_node_values(node) for node in rows])


def _write_closure(connection: Connection, nodes: Mapping[int, _Node]) -> bool:
    table = table_of(StructureAncestor)
    before = {tuple(row) for row in connection.execute(select(*(table.c[name] for name in _ANCESTOR_COLUMNS)))}
    after: set[tuple[int, ...]] = set()
    for node in nodes.values():
        path = [int(step) for step in node.structure_id_path.strip("/").split("/")]
        after.update((node.id, ancestor, distance) for distance, ancestor in enumerate(reversed(path)))
    replace_rows(connection, table, _ANCESTOR_COLUMNS, before, after)
    return before != after


def _write_sets(connection: Connection, ontology: Ontology, *, only_new: bool) -> bool:
    after = {(set_id, record.id) for record in ontology.structures for set_id in record.structure_set_ids}
    ids = {set_id for set_id, _ in after} | set(ontology.structure_set_names)
    if only_new:
        ids -= set(connection.scalars(select(StructureSet.id)))
        after = {(set_id, structure_id) for set_id, structure_id in after if set_id in ids}
    names_before = {row.id: row.name for row in connection.execute(select(StructureSet.id, StructureSet.name))}
    # A source without names must not delete those from another source.
    names_after = {set_id: ontology.structure_set_names.get(set_id, names_before.get(set_id)) for set_id in ids}
    touched = [
        (set_id, name)
        for set_id, name in sorted(names_after.items())
        if set_id not in names_before or names_before[set_id] != name
    ]
    if touched:
        upsert_rows(connection, table_of(StructureSet), ("id", "name"), touched)
    table = table_of(StructureSetMember)
    query = select(*(table.c[name] for name in _MEMBER_COLUMNS))
    before = {tuple(row) for row in connection.execute(query) if row.structure_set_id in ids}
    replace_rows(connection, table, _MEMBER_COLUMNS, before, after)
    return bool(touched) or before != after
