"""The current catalog as the records that the readers of lists create: what another store would ingest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import fields

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    Structure,
    StructureSet,
    StructureSetMember,
    TransgenicLine,
)
from bsv_store.catalog.records import ExperimentRecord, LineRecord, Ontology, StructureRecord
from bsv_store.catalog.seals import check_experiments, check_lines, check_ontology


def experiment_list(connection: Connection) -> tuple[ExperimentRecord, ...]:
    """See `Catalog.experiment_list`."""
    current = select(Experiment.id).where(Experiment.withdrawn.is_(False))
    return experiment_records(connection, connection.execute(current).scalars().all())


def experiment_records(connection: Connection, ids: Collection[int]) -> tuple[ExperimentRecord, ...]:
    """The records of these experiments, ascending by id.

    Raises
    ------
    DamagedCatalogError
        If rows of any experiment or line differ from what was stored. Another store would seal them as right.
    """
    check_experiments(connection)
    check_lines(connection)
    table = Experiment.__table__
    shared = [each.name for each in fields(ExperimentRecord) if each.name in table.c]
    query = (
        select(*(table.c[name] for name in shared), Structure.acronym)
        .join(Structure.__table__, Structure.id == Experiment.primary_structure_id)
        .where(id_in(connection, Experiment.id, ids))
        .order_by(Experiment.id)
    )
    lines, injected = _lines(connection, ids), _injected(connection, ids)
    return tuple(
        ExperimentRecord(
            **dict(zip(shared, values, strict=True)),
            primary_structure_acronym=acronym,
            injection_structure_ids=tuple(injected.get(values[shared.index("id")], ())),
            lines=tuple(lines.get(values[shared.index("id")], ())),
        )
        for *values, acronym in connection.execute(query)
    )


def _lines(connection: Connection, ids: Collection[int]) -> dict[int, list[LineRecord]]:
    columns = [getattr(TransgenicLine, each.name) for each in fields(LineRecord)]
    query = (
        select(ExperimentLine.experiment_id, *columns)
        .join(TransgenicLine.__table__, TransgenicLine.id == ExperimentLine.transgenic_line_id)
        .where(id_in(connection, ExperimentLine.experiment_id, ids))
        .order_by(ExperimentLine.experiment_id)
    )
    found: dict[int, list[LineRecord]] = defaultdict(list)
    for experiment_id, *values in connection.execute(query):
        found[experiment_id].append(LineRecord(*values))
    # Not sorted by the database, whose order of texts depends on its collation.
    return {key: sorted(lines, key=lambda line: line.name) for key, lines in found.items()}


def _injected(connection: Connection, ids: Collection[int]) -> dict[int, list[int]]:
    table = ExperimentInjectionStructure
    query = select(table.experiment_id, table.structure_id).where(id_in(connection, table.experiment_id, ids))
    found: dict[int, list[int]] = defaultdict(list)
    for experiment_id, structure_id in connection.execute(query.order_by(table.experiment_id, table.structure_id)):
        found[experiment_id].append(structure_id)
    return found


def current_ontology(connection: Connection) -> Ontology:
    """See `Atlas.ontology`."""
    return ontology_records(connection, _named(connection))


def ontology_records(connection: Connection, needed: Collection[int]) -> Ontology:
    """The current structures in graph order, and withdrawn ones that are needed, with the structures above them.

    Raises
    ------
    DamagedCatalogError
        If rows of any structure or set differ from what was stored.
    """
    check_ontology(connection)
    members: dict[int, list[int]] = defaultdict(list)
    member = StructureSetMember
    for set_id, structure_id in connection.execute(
        select(member.structure_set_id, member.structure_id).order_by(member.structure_id, member.structure_set_id)
    ):
        members[structure_id].append(set_id)
    query = select(Structure.__table__).order_by(Structure.graph_order, Structure.id)
    rows = connection.execute(query).all()
    parents = {row.id: row.parent_structure_id for row in rows}
    kept = _with_ancestors([*needed, *(row.id for row in rows if not row.withdrawn)], parents)
    structures = tuple(
        StructureRecord(
            row.id,
            row.acronym,
            row.name,
            row.parent_structure_id,
            row.graph_order,
            row.color_hex_triplet,
            tuple(members.get(row.id, ())),
        )
        for row in rows
        if row.id in kept
    )
    named = select(StructureSet.id, StructureSet.name).order_by(StructureSet.id)
    names = {set_id: name for set_id, name in connection.execute(named) if name}
    return Ontology(structures, names, has_structure_sets=bool(members))


def _named(connection: Connection) -> set[int]:
    """The structures that current experiments name."""
    is_current = Experiment.withdrawn.is_(False)
    injected = ExperimentInjectionStructure
    primary = select(Experiment.primary_structure_id).where(is_current).distinct()
    others = select(injected.structure_id).join(Experiment.__table__, Experiment.id == injected.experiment_id)
    return {
        *connection.execute(primary).scalars(),
        *connection.execute(others.where(is_current).distinct()).scalars(),
    }


def _with_ancestors(ids: Iterable[int], parents: dict[int, int | None]) -> Collection[int]:
    found: set[int] = set()
    for structure_id in ids:
        above: int | None = structure_id
        while above is not None and above not in found:
            found.add(above)
            above = parents.get(above)
    return found
