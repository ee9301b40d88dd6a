"""The part of the query language of the Allen API (RMA) that clients of the synthetic atlas use.

A query is a list of stages: ``model::X,rma::criteria,[a$eq1][b$in2,3],rma::include,...,rma::options[num_rows$eq'all']``
or ``service::name[parameter$eqvalue]``. Other queries are refused in the envelope, as Allen does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from bsv_store_synthetic import ontology, wire
from bsv_store_synthetic.atlas import SyntheticAtlas, SyntheticExperiment
from bsv_store_synthetic.wire import Row

MODEL_ROWS = 50
"""Default number of rows of a model query."""
SERVICE_ROWS = 2_000

_PIECE = re.compile(r"""\[((?:[^\]'"]|'[^']*'|"[^"]*")*)\]|([^,\[\]]+)|(,)""")
_TERM = re.compile(r"\s*([A-Za-z_.\-]+)\$(eq|ne|in|gt|ge|lt|le)(.*)", re.DOTALL)
_VALUE = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]*))\s*(?:,|$)""")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"eq": eq, "ne": ne, "gt": gt, "ge": ge, "lt": lt, "le": le}


class QueryRefusedError(ValueError):
    """A query that is not supported. The text becomes the ``msg`` of the envelope."""


@dataclass(frozen=True, slots=True)
class Term:
    """``name$operator`` and its values, unquoted."""

    name: str
    operator: str
    values: tuple[str, ...]


@dataclass
class Query:
    """A parsed query: the subject ("model::X" or "service::x"), its terms, what to include, and options."""

    subject: str = ""
    terms: list[Term] = field(default_factory=list)
    include: list[str] = field(default_factory=list)
    options: list[Term] = field(default_factory=list)


def answer(atlas: SyntheticAtlas, text: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """The envelope with the rows of a query, or with the reason why it is refused.

    Parameters
    ----------
    atlas : SyntheticAtlas
    text : str
        The query, percent-decoded.
    parameters : mapping of str to str, optional
        ``num_rows``, ``start_row``, ``count`` and ``include`` given in addition to the query.
    """
    try:
        query = parse(text)
        _merge_parameters(query, parameters or {})
        kind, _, name = query.subject.partition("::")
        if kind == "model" and name in _MODELS:
            rows = _model_rows(atlas, name, query)
            return _page(rows, query.options, MODEL_ROWS, all_allowed=True)
        if kind == "service" and name == "mouse_connectivity_injection_structure":
            paging = [t for t in query.terms if t.name in _PAGING]
            found = _search(atlas, [t for t in query.terms if t.name not in _PAGING])
            return _page(found, paging + query.options, SERVICE_ROWS, all_allowed=False)
        raise QueryRefusedError(f"invalid query: unknown {kind or 'subject'} {name or text[:80]!r}")
    except QueryRefusedError as error:
        return wire.failure(str(error))


def parse(text: str) -> Query:
    """The parts of an RMA query.

    Raises
    ------
    QueryRefusedError
        If it cannot be parsed.
    """
    query, section, position = Query(), "criteria", 0
    for match in _PIECE.finditer(text):
        if match.start() != position:
            break
        position = match.end()
        bracket, word, _ = match.groups()
        if bracket is not None:
            (query.options if section == "options" else query.terms).append(_term(bracket))
        elif word is not None:
            section = _word(query, section, word.strip())
    if position != len(text):
        raise QueryRefusedError(f"invalid query: unexpected text at {text[position : position + 40]!r}")
    return query


def _word(query: Query, section: str, word: str) -> str:
    if word.startswith(("model::", "service::")):
        query.subject = word
        return "criteria"
    if word.startswith("rma::"):
        if (name := word[5:]) not in ("criteria", "include", "options"):
            raise QueryRefusedError(f"invalid query: unknown clause {word!r}")
        return name
    if section != "include":
        raise QueryRefusedError(f"invalid query: unknown association {word!r}")
    query.include.append(word)
    return section


def _term(text: str) -> Term:
    if (match := _TERM.fullmatch(text)) is None:
        raise QueryRefusedError(f"invalid query: cannot read [{text[:80]}]")
    name, operator, rest = match.groups()
    values: list[str] = []
    position = 0
    while position < len(rest):
        if (value := _VALUE.match(rest, position)) is None:
            raise QueryRefusedError(f"invalid query: cannot read the values of {name!r}")
        values.append(next(group for group in value.groups() if group is not None))
        position = value.end()
    return Term(name, operator, tuple(values))


_PAGING = ("num_rows", "start_row", "count")


def _merge_parameters(query: Query, parameters: Mapping[str, str]) -> None:
    for name, value in parameters.items():
        if name == "include":
            query.include.extend(value.split(","))
        elif name in _PAGING:
            query.options.append(Term(name, "eq", (value.strip("'\""),)))


def _page(rows: list[Row], options: Iterable[Term], default: int, *, all_allowed: bool) -> bytes:
    count, start, counted = default, 0, True
    for option in options:
        value = option.values[0] if option.values else ""
        if option.name == "num_rows" and value == "all" and all_allowed:
            count = len(rows)
        elif option.name in ("num_rows", "start_row") and value.isascii() and value.isdigit():
            count, start = (int(value), start) if option.name == "num_rows" else (count, int(value))
        elif option.name == "count" and value in ("true", "false"):
            counted = value == "true"
        elif option.name != "order":
            raise QueryRefusedError(f"invalid query: option {option.name!r} cannot be {value!r}")
    page = rows[start : start + count]
    # Without a count, the total is meaningless, as in the real API.
    return wire.envelope(page, start_row=start, total_rows=len(rows) if counted else len(page))


def _connectivity(atlas: SyntheticAtlas, query: Query) -> list[Row]:
    asked = _ids_asked(query, "data_set_id")
    ids = [i for i in atlas.experiment_ids if asked is None or i in asked]
    return [row for experiment_id in ids for row in wire.connectivity_rows(atlas.experiment(experiment_id))]


def _unionize(atlas: SyntheticAtlas, query: Query) -> list[Row]:
    asked = _ids_asked(query, "section_data_set_id")
    ids = atlas.experiment_ids if asked is None else sorted(asked)
    return [row for experiment_id in ids for row in wire.unionize_rows(atlas, experiment_id)]


def _structures(_: SyntheticAtlas, query: Query) -> list[Row]:
    return wire.structure_rows(structure_sets="structure_sets" in query.include)


_MODELS: dict[str, tuple[Callable[[SyntheticAtlas, Query], list[Row]], tuple[str, ...]]] = {
    "ApiConnectivity": (_connectivity, ()),
    "ProjectionStructureUnionize": (_unionize, ()),
    "Structure": (_structures, ("structure_sets",)),
}


def _model_rows(atlas: SyntheticAtlas, model: str, query: Query) -> list[Row]:
    make, associations = _MODELS[model]
    if unknown := set(query.include) - set(associations):
        raise QueryRefusedError(f"invalid query: {model} has no association {sorted(unknown)[0]!r}")
    fields = make(atlas, Query(terms=_first_experiment(atlas)))[0]
    tests = [_test(model, term, fields) for term in query.terms]
    rows = [row for row in make(atlas, query) if all(test(row) for test in tests)]
    for option in query.options:
        if option.name == "order":
            _sort(model, rows, option.values, fields)
    return rows


def _first_experiment(atlas: SyntheticAtlas) -> list[Term]:
    first = str(atlas.experiment_ids[0])
    return [Term(name, "eq", (first,)) for name in ("data_set_id", "section_data_set_id")]


def _ids_asked(query: Query, name: str) -> set[int] | None:
    """The ids that the terms of this name allow, so that only these are computed; None means any."""
    asked: set[int] | None = None
    for term in query.terms:
        if term.name == name and term.operator in ("eq", "in"):
            ids = {int(value) for value in term.values if value.strip().isdigit()}
            asked = ids if asked is None else asked & ids
    return asked


def _test(model: str, term: Term, fields: Row) -> Callable[[Row], bool]:
    if term.name not in fields:
        raise QueryRefusedError(f"invalid query: {model} has no field {term.name!r}")
    values = [_typed(term.name, value, fields[term.name]) for value in term.values]
    if term.operator == "in":
        return lambda row: row[term.name] in values
    if len(values) != 1:
        raise QueryRefusedError(f"invalid query: {term.name}${term.operator} takes one value")
    operator, value = _OPERATORS[term.operator], values[0]

    def test(row: Row) -> bool:
        # null compares with nothing, and values only with values of the same type.
        return isinstance(row[term.name], type(value)) and operator(row[term.name], value)

    return test


def _typed(name: str, value: str, example: object) -> object:
    """The value converted to the type of the field's example."""
    try:
        if example is None:
            return int(value) if value.isascii() and value.isdigit() else value
        if isinstance(example, bool):
            return {"true": True, "false": False}[value]
        return type(example)(value) if isinstance(example, int | float) else value
    except (KeyError, ValueError) as error:
        raise QueryRefusedError(f"invalid query: {name} cannot be {value!r}") from error


def _sort(model: str, rows: list[Row], keys: tuple[str, ...], fields: Row) -> None:
    for key in reversed(keys):
        name, _, direction = key.partition("$")
        column = name.rpartition(".")[2]
        if column not in fields:
            raise QueryRefusedError(f"invalid query: {model} has no field {column!r} to order by")
        keyed = sorted(((_order(row[column]), place) for place, row in enumerate(rows)), reverse=direction == "desc")
        rows[:] = [rows[place] for _, place in keyed]


def _order(value: object) -> tuple[bool, float, str]:
    """The sort key of a value: nulls first, then numbers, then strings."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return value is not None, number, value if isinstance(value, str) else ""


def _search(atlas: SyntheticAtlas, terms: Iterable[Term]) -> list[Row]:
    """The rows of the source search, largest injection first."""
    structures: set[int] | None = None
    primary_only, lines, products = False, None, None
    for term in terms:
        if term.operator not in ("eq", "in"):
            raise QueryRefusedError(f"invalid service parameter: {term.name}${term.operator}")
        if term.name == "injection_structures":
            structures = {i for value in term.values for i in ontology.descendants(_structure_id(value))}
        elif term.name == "transgenic_lines":
            lines = set(term.values)
        elif term.name == "product_ids":
            products = set(term.values)
        elif term.name == "primary_structure_only" and term.values in (("true",), ("false",)):
            primary_only = term.values == ("true",)
        else:
            raise QueryRefusedError(f"invalid service parameter: {term.name}={','.join(term.values)!r}")

    def wanted(experiment: SyntheticExperiment) -> bool:
        injected = {experiment.primary_structure_id}
        if not primary_only:
            injected.update(experiment.injection_structure_ids)
        return (
            (structures is None or not structures.isdisjoint(injected))
            and (lines is None or not lines.isdisjoint(_line_keys(experiment)))
            and (products is None or str(experiment.product_id) in products)
        )

    found = [e for e in map(atlas.experiment, atlas.experiment_ids) if wanted(e)]
    return [wire.search_row(e) for e in sorted(found, key=lambda e: (-e.injection_volume, e.id))]


def _line_keys(experiment: SyntheticExperiment) -> set[str]:
    """The values of ``transgenic_lines`` that find this experiment: names, ids, and 0 for wild type."""
    if experiment.is_wild_type:
        return {"0"}
    return {key for line in experiment.lines for key in (line.name, str(line.allen_id))}


def _structure_id(value: str) -> int:
    try:
        return ontology.structure(int(value) if value.isascii() and value.isdigit() else value).id
    except KeyError as error:
        raise QueryRefusedError(f"invalid service parameter: unknown structure {value!r}") from error
