"""The answers to RMA queries: three models, and the source search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bsv_store.catalog.records import ExperimentRecord, Ontology
from bsv_store.server.allen import rma, wire
from bsv_store.server.allen.rma import Paging, Query, QueryRefusedError, Term
from bsv_store.server.allen.source import AllenSource
from bsv_store.server.allen.wire import Row

MODEL_ROWS = 50
"""Default number of rows of a model query."""
SERVICE_ROWS = 2_000


def answer(source: AllenSource, text: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """The envelope with the rows of a query, or with the reason why it is refused.

    Parameters
    ----------
    source : AllenSource
    text : str
        The query, percent-decoded.
    parameters : mapping of str to str, optional
        ``num_rows``, ``start_row``, ``count`` and ``include`` given in addition to the query.
    """
    try:
        query = rma.parse(text)
        rma.merge_parameters(query, parameters or {})
        kind, _, name = query.subject.partition("::")
        if kind == "model":
            return _model(source, name, query)
        if kind == "service" and name == "mouse_connectivity_injection_structure":
            terms, paging = rma.split_paging(query.terms)
            found = _search(source, terms)
            return _page(found, rma.paging_of([*paging, *query.options], SERVICE_ROWS, all_allowed=False))
        raise QueryRefusedError(f"invalid query: unknown {kind or 'subject'} {name[:80] or text[:80]!r}")
    except QueryRefusedError as error:
        return wire.failure(str(error))


def _model(source: AllenSource, name: str, query: Query) -> bytes:
    if name == "ApiConnectivity":
        fields, associations = wire.CONNECTIVITY_FIELDS, set[str]()
    elif name == "Structure":
        fields, associations = wire.STRUCTURE_FIELDS, {"structure_sets"}
    elif name == "ProjectionStructureUnionize":
        fields, associations = wire.UNIONIZE_TYPES, set[str]()
    else:
        raise QueryRefusedError(f"invalid query: unknown model {name[:80]!r}")
    if unknown := sorted(set(query.include) - associations):
        raise QueryRefusedError(f"invalid query: {name} has no association {unknown[0][:80]!r}")
    conditions = rma.conditions_of(name, query.terms, fields)
    order = rma.order_of(name, query.options, fields)
    paging = rma.paging_of(query.options, MODEL_ROWS, all_allowed=True)
    if name == "ProjectionStructureUnionize":
        found = source.unionizes(conditions, order, paging)
        return wire.unionize_envelope(found.columns, start_row=paging.start, total_rows=found.total)
    if name == "Structure":
        rows = wire.structure_rows(source.ontology(), structure_sets="structure_sets" in query.include)
    else:
        rows = _connectivity(source)
    return _page(rma.selected(rows, conditions, order), paging)


def _page(rows: Sequence[Row], paging: Paging) -> bytes:
    stop = None if paging.limit is None else paging.start + paging.limit
    page = rows[paging.start : stop]
    # Without a count, the total is meaningless, as in the real API.
    return wire.envelope(page, start_row=paging.start, total_rows=len(rows) if paging.is_counted else len(page))


def _connectivity(source: AllenSource) -> list[Row]:
    names = {record.id: record.name for record in source.ontology().structures}
    return [
        row for each in source.experiments() for row in wire.connectivity_rows(each, names[each.primary_structure_id])
    ]


def _search(source: AllenSource, terms: Iterable[Term]) -> list[Row]:
    """The rows of the source search, largest injection first."""
    experiments = source.experiments()
    ontology = source.ontology()
    structures: set[int] | None = None
    primary_only, lines, products = False, None, None
    for term in terms:
        if term.operator not in ("eq", "in"):
            raise QueryRefusedError(f"invalid service parameter: {term.name}${term.operator}")
        if term.name == "injection_structures":
            structures = _with_descendants(ontology, [_structure_id(ontology, value) for value in term.values])
        elif term.name == "transgenic_lines":
            lines = set(term.values)
        elif term.name == "product_ids":
            products = set(term.values)
        elif term.name == "primary_structure_only" and term.values in (("true",), ("false",)):
            primary_only = term.values == ("true",)
        else:
            raise QueryRefusedError(f"invalid service parameter: {term.name}={','.join(term.values)[:80]!r}")

    def is_wanted(experiment: ExperimentRecord) -> bool:
        injected = {experiment.primary_structure_id}
        if not primary_only:
            injected.update(experiment.injection_structure_ids)
        return (
            (structures is None or not structures.isdisjoint(injected))
            and (lines is None or not lines.isdisjoint(_line_keys(experiment)))
            and (products is None or str(experiment.product_id) in products)
        )

    found = [experiment for experiment in experiments if is_wanted(experiment)]
    by_id = {record.id: record for record in ontology.structures}
    return [wire.search_row(e, by_id) for e in sorted(found, key=lambda e: (-(e.injection_volume or 0.0), e.id))]


def _line_keys(experiment: ExperimentRecord) -> set[str]:
    """The values of ``transgenic_lines`` that find this experiment: names, ids, and 0 for wild type."""
    if all(line.type_name == "wild type" for line in experiment.lines):
        return {"0"}
    return {key for line in experiment.lines for key in (line.name, str(line.allen_id))}


def _structure_id(ontology: Ontology, value: str) -> int:
    for record in ontology.structures:
        if value in (record.acronym, str(record.id)):
            return record.id
    raise QueryRefusedError(f"invalid service parameter: unknown structure {value[:80]!r}")


def _with_descendants(ontology: Ontology, structure_ids: Iterable[int]) -> set[int]:
    found = set(structure_ids)
    for record in ontology.structures:
        # Parents come before their children.
        if record.parent_structure_id in found:
            found.add(record.id)
    return found
