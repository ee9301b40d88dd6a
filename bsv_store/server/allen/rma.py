"""The part of the query language of the Allen API (RMA) that clients of the connectivity atlas use.

A query is a list of stages: ``model::X,rma::criteria,[a$eq1][b$in2,3],rma::include,...,rma::options[num_rows$eq'all']``
or ``service::name[parameter$eqvalue]``. Other queries are refused in the envelope, as Allen does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bsv_store.catalog.tables.unionize_rows import COMPARISONS, RowCondition

Row = dict[str, Any]

_PIECE = re.compile(r"""\[((?:[^\]'"]|'[^']*'|"[^"]*")*)\]|([^,\[\]]+)|(,)""")
_TERM = re.compile(rf"\s*([A-Za-z_.\-]+)\$({'|'.join(COMPARISONS)})(.*)", re.DOTALL)
_VALUE = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]*))\s*(?:,|$)""")
# Both databases have integers of 64 bits.
_INTEGER = re.compile(r"\s*(-?[0-9]{1,18})\s*")
_NUMBER = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*")
_PAGING = ("num_rows", "start_row", "count")


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


@dataclass(frozen=True, slots=True)
class Paging:
    """The rows that a query asks for.

    Attributes
    ----------
    start : int
        Number of rows to skip.
    limit : int or None
        Maximum number of rows; None means all.
    is_counted : bool
        Whether the reply states the total number of rows.
    """

    start: int = 0
    limit: int | None = None
    is_counted: bool = True


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


def merge_parameters(query: Query, parameters: Mapping[str, str]) -> None:
    """Add what the parameters of the address say: ``num_rows``, ``start_row``, ``count`` and ``include``."""
    for name, value in parameters.items():
        if name == "include":
            query.include.extend(value.split(","))
        elif name in _PAGING:
            query.options.append(Term(name, "eq", (value.strip("'\""),)))


def split_paging(terms: Iterable[Term]) -> tuple[list[Term], list[Term]]:
    """The parameters of a service, and its terms for paging."""
    every = list(terms)
    return [t for t in every if t.name not in _PAGING], [t for t in every if t.name in _PAGING]


def paging_of(options: Iterable[Term], default: int, *, all_allowed: bool) -> Paging:
    """The rows that the options ask for.

    Raises
    ------
    QueryRefusedError
        If an option or its value is unknown.
    """
    paging = Paging(limit=default)
    for option in options:
        value = option.values[0] if option.values else ""
        if option.name == "num_rows" and value == "all" and all_allowed:
            paging = Paging(paging.start, None, paging.is_counted)
        elif option.name in ("num_rows", "start_row") and (number := _integer(value)) is not None and number >= 0:
            start, limit = (paging.start, number) if option.name == "num_rows" else (number, paging.limit)
            paging = Paging(start, limit, paging.is_counted)
        elif option.name == "count" and value in ("true", "false"):
            paging = Paging(paging.start, paging.limit, value == "true")
        elif option.name != "order":
            raise QueryRefusedError(f"invalid query: option {option.name!r} cannot be {value!r}")
    return paging


def conditions_of(model: str, terms: Iterable[Term], fields: Mapping[str, type]) -> list[RowCondition]:
    """The terms with values of the types of their fields.

    Raises
    ------
    QueryRefusedError
        If the model does not have a field, or a value has another type.
    """
    found = []
    for term in terms:
        if term.name not in fields:
            raise QueryRefusedError(f"invalid query: {model} has no field {term.name!r}")
        values = tuple(_typed(term.name, value, fields[term.name]) for value in term.values)
        if term.operator != "in" and len(values) != 1:
            raise QueryRefusedError(f"invalid query: {term.name}${term.operator} takes one value")
        found.append(RowCondition(term.name, term.operator, values))
    return found


def order_of(model: str, options: Iterable[Term], fields: Mapping[str, type]) -> list[tuple[str, bool]]:
    """The fields to sort by, the first one first, and whether in descending order.

    Raises
    ------
    QueryRefusedError
        If the model does not have a field.
    """
    order = []
    for option in options:
        for key in option.values if option.name == "order" else ():
            name, _, direction = key.partition("$")
            column = name.rpartition(".")[2]
            if column not in fields:
                raise QueryRefusedError(f"invalid query: {model} has no field {column!r} to order by")
            order.append((column, direction == "desc"))
    return order


def selected(rows: Iterable[Row], conditions: Iterable[RowCondition], order: Iterable[tuple[str, bool]]) -> list[Row]:
    """The rows that fulfill all conditions, sorted."""
    tests = [_test(condition) for condition in conditions]
    found = [row for row in rows if all(test(row) for test in tests)]
    for name, descending in reversed(list(order)):
        keyed = sorted(((_sort_key(row[name]), place) for place, row in enumerate(found)), reverse=descending)
        found = [found[place] for _, place in keyed]
    return found


def _test(condition: RowCondition) -> Callable[[Row], bool]:
    name, values = condition.column, condition.values
    if condition.operator == "in":
        return lambda row: row[name] in values
    compare, value = COMPARISONS[condition.operator], values[0]

    def test(row: Row) -> bool:
        # null compares with nothing.
        return row[name] is not None and bool(compare(row[name], value))

    return test


def _sort_key(value: object) -> tuple[bool, float, str]:
    """Nulls first, then numbers, then strings."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return value is not None, number, value if isinstance(value, str) else ""


def _integer(value: str) -> int | None:
    match = _INTEGER.fullmatch(value)
    return None if match is None else int(match[1])


def _typed(name: str, value: str, kind: type) -> Any:
    converted: Any = None
    if kind is str:
        converted = value
    elif kind is bool:
        converted = {"true": True, "false": False}.get(value.strip())
    elif kind is int:
        converted = _integer(value)
    elif kind is float and (match := _NUMBER.fullmatch(value)) is not None and math.isfinite(number := float(match[1])):
        converted = number
    if converted is None:
        raise QueryRefusedError(f"invalid query: {name} cannot be {value[:80]!r}")
    return converted
