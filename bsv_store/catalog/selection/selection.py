"""Selections of experiments: values that can be combined, compared, hashed and written as JSON.

A selection is independent of any database. Equal selections have the same canonical JSON, whatever the order and
repetition of their arguments; this text goes into recipes and fingerprints::

    {"injected_in":["VISl","VISp"],"line":["wild-type"],"version":1}
    {"minus":[{"injected_in":["VIS"]},{"ids":[100141219]}],"version":1}

The format, version 1: an object with sorted keys and no white space. It has the key ``version`` and either criteria
(only those that differ from their default; lists sorted, without duplicates; um, mm3 and thresholds as float) or
exactly one of ``and``, ``or`` and ``minus`` with a list of such objects (which have no ``version``). ``and`` and ``or``
are flat and sorted; ``minus`` has the part from which the others are subtracted, then the others, sorted. A new
criterion is a new key; a change of the meaning of a key requires a new version.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, NoReturn

from bsv_store.catalog.selection.criteria import Criteria
from bsv_store.catalog.structures import StructureRef
from bsv_store.documents import json_value
from bsv_store.errors import UPGRADE_HINT, SelectionError
from bsv_store.html import card, preformatted
from bsv_store.text import shown
from bsv_store.vocabulary import Hemisphere, InjectionScope, Measure, MeasuredHemisphere, VolumeKind

VERSION = 1

Operator = Literal["and", "or", "minus"]

# Within the limits of SQLite's parser for any criteria and the query around them; a depth of 12 was too much for 3.40.
MAX_PARTS = 200
MAX_DEPTH = 8

_SIGNS: Mapping[Operator, str] = {"and": " & ", "or": " | ", "minus": " - "}


@dataclass(frozen=True, slots=True)
class Combination:
    """Two or more combined parts of a selection; ``minus`` subtracts all later parts from the first."""

    operator: Operator
    parts: tuple[Criteria | Combination, ...]


Node = Criteria | Combination


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Selection:
    """A set of experiments, given by criteria that must all hold.

    A list within one criterion means "any of these". ``Selection()`` is every experiment that is neither withdrawn nor
    on the exclusion list. Selections combine like sets: ``a & b`` (in both), ``a | b`` (in either), ``a - b`` (in a,
    not in b); ``and``, ``or`` and ``not`` raise an error.

    Parameters
    ----------
    injected_in : str, int or list of them
        Acronyms (case matters) or structure ids. Descendants in the ontology are included.
    injection : {'primary', 'any'}
        Whether the structure must be the primary injection structure, or may be a secondary one.
    line : str or list of str
        'wild-type', 'any-cre' (any line that is not wild type, reporter-only mice included), or names of lines.
    product : int or list of int
        Allen's product ids, e.g. 5, or 31 for the retina.
    sex : str or list of str
        'F' or 'M'.
    strain : str or list of str
        For example 'C57BL/6J'.
    injected_hemisphere : {'left', 'right'}
        The hemisphere with the larger part of the injection.
    bilateral : bool
        Whether the other hemisphere has at least 1 % of the injection. Experiments for which this is not known match
        neither True nor False.
    min_injection_volume, max_injection_volume : float
        Limits of the injection volume in mm3, from the experiment list, both included. Averages divide by that in the
        unionize rows; the two are equal unless only one was updated
        (``store.status().catalog.different_injection_volumes``).
    min_injection_overlap : float
        Smallest share of the injection volume inside the structures of ``injected_in``, 0 to 1, from the unionize rows
        inside the injection site. Experiments without these rows do not match.
    max_injection_outside_primary : float
        Largest share of the injection volume outside the primary injection structure, 0 to 1, from the same rows.
    box : ((float, float), (float, float), (float, float))
        Lowest and highest AP, DV and ML of the injection coordinate in um, both included. None instead of a pair leaves
        an axis unrestricted.
    near : (float, float, float)
        A point, AP, DV, ML in um; requires ``radius_um``.
    radius_um : float
        Largest distance of the injection coordinate from ``near`` in um, included.
    projecting_to : str, int or list of them
        Target structures: the signal outside the injection site in one of them must exceed ``target_threshold``. A
        target includes its descendants. Experiments whose unionize table is not in the store never match.
    target_measure : Measure
        Measure of the signal: 'projection_volume' (mm3), 'normalized_projection_volume', 'projection_density', ...
    target_threshold : float
        The measure must exceed it; 0 selects any signal.
    target_hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}
        Hemisphere of the target; the last two are relative to the injected hemisphere.
    min_laterality_index, max_laterality_index : float
        Limits, both included, of the laterality index (ipsilateral - contralateral) / (ipsilateral + contralateral) of
        the projection volume outside the injection site: 1 = ipsilateral only, -1 = contralateral only. It is the index
        of Seghier (2008, Magn. Reson. Imaging 26, 594-601) with the injected hemisphere in place of the left one.
        Experiments without a unionize table or a known injected hemisphere do not match.
    with_volume : VolumeKind
        Only experiments whose volume of this kind is in the store. What is selected then depends on the store.
    with_volume_spacing_um : {10, 25, 50, 100}
        Edge of the voxels of that volume in um.
    with_unionizes : bool
        Whether the store has the experiment's unionize table, both the rows inside and those outside the injection.
    ids : int or list of int
        Only these experiments. Withdrawn ones are selected; one on the exclusion list is an error.
    exclude_ids : int or list of int
        Not these experiments.
    include_withdrawn : bool
        Also experiments that are no longer in Allen's list.
    include_excluded : bool
        Also experiments on the exclusion list of the store.

    Raises
    ------
    SelectionError
        If a value is not valid; the message names the criterion, the hint the valid values.

    Notes
    -----
    Experiments on the exclusion list are left out of every selection without ``include_excluded``. Naming one in
    ``ids`` without it raises `ExcludedExperimentError` in every call that takes the selection, with the reason and two
    solutions: ``include_excluded=True``, or removing the experiment from the list. The error does not occur if the same
    part names it in ``exclude_ids``, nor in a selection that is subtracted: ``a - Selection(ids=[5])`` is valid.

    Each part of a combination decides for itself, so that ``a & b`` always has the experiments that are in both:
    ``Selection(ids=[5]) & Selection(line="wild-type")`` does not select a withdrawn experiment 5, which the second part
    leaves out. ``Selection(ids=[5], line="wild-type")`` selects it; so does ``include_withdrawn=True`` in the second
    part.

    Examples
    --------
    >>> visual = Selection(injected_in=["VISp", "VISl"], line="wild-type")
    >>> visual.to_json()
    '{"injected_in":["VISl","VISp"],"line":["wild-type"],"version":1}'
    >>> visual == Selection.from_json(visual.to_json())
    True
    >>> visual - Selection(ids=[100141219])
    (Selection(injected_in=['VISl', 'VISp'], line=['wild-type']) - Selection(ids=[100141219]))
    """

    node: Node
    """The criteria, or the combination of other nodes."""

    def __init__(
        self,
        *,
        injected_in: StructureRef | Iterable[StructureRef] | None = None,
        injection: InjectionScope = "primary",
        line: str | Iterable[str] | None = None,
        product: int | Iterable[int] | None = None,
        sex: str | Iterable[str] | None = None,
        strain: str | Iterable[str] | None = None,
        injected_hemisphere: Hemisphere | None = None,
        bilateral: bool | None = None,
        min_injection_volume: float | None = None,
        max_injection_volume: float | None = None,
        min_injection_overlap: float | None = None,
        max_injection_outside_primary: float | None = None,
        box: Sequence[Sequence[float] | None] | None = None,
        near: Sequence[float] | None = None,
        radius_um: float | None = None,
        projecting_to: StructureRef | Iterable[StructureRef] | None = None,
        target_measure: Measure = "projection_volume",
        target_threshold: float = 0.0,
        target_hemisphere: MeasuredHemisphere = "both",
        min_laterality_index: float | None = None,
        max_laterality_index: float | None = None,
        with_volume: VolumeKind | None = None,
        with_volume_spacing_um: int = 100,
        with_unionizes: bool | None = None,
        ids: int | Iterable[int] | None = None,
        exclude_ids: int | Iterable[int] | None = None,
        include_withdrawn: bool = False,
        include_excluded: bool = False,
    ) -> None:
        arguments = dict(locals())
        del arguments["self"]
        object.__setattr__(self, "node", Criteria.checked(arguments))

    def __and__(self, other: object) -> Selection:
        return self._with("and", other) if isinstance(other, Selection) else NotImplemented

    def __or__(self, other: object) -> Selection:
        return self._with("or", other) if isinstance(other, Selection) else NotImplemented

    def __sub__(self, other: object) -> Selection:
        return self._with("minus", other) if isinstance(other, Selection) else NotImplemented

    def __bool__(self) -> NoReturn:
        # Python would replace `a and b` by b alone, and `a or b` by a.
        raise SelectionError(
            "a selection is neither true nor false, so that it cannot be combined with 'and', 'or' and 'not'",
            hint="Use a & b, a | b and a - b. Whether it selects anything: len(store.select(selection)) > 0.",
        )

    def __repr__(self) -> str:
        return _shown(self.node)

    def _repr_html_(self) -> str:
        return card("Selection", preformatted(repr(self)), kind="", notes=[SELECTION_NOTE])

    @classmethod
    def of(cls, node: Node) -> Selection:
        """The selection with criteria or a combination in canonical form."""
        selection = object.__new__(cls)
        object.__setattr__(selection, "node", node)
        return selection

    def leaves(self) -> Iterator[Criteria]:
        """The criteria of every part, in canonical order."""
        return _leaves(self.node)

    def to_dict(self) -> dict[str, Any]:
        """The canonical form as plain dicts, lists, numbers and strings, for use inside other JSON."""
        return {"version": VERSION, **_to_dict(self.node)}

    def to_json(self) -> str:
        """The canonical JSON: keys sorted, no white space, ASCII. Equal selections have equal text."""
        return _canonical(self.to_dict())

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Selection:
        """The selection from a dict of the form of `to_dict`, which need not be canonical.

        Raises
        ------
        SelectionError
            If it has another form or version, or a criterion or value that is not valid.
        """
        if not isinstance(value, Mapping):
            raise SelectionError(f"a selection in JSON must be an object, got {shown(value)}", hint=_FORM)
        rest = dict(value)
        if "version" not in rest:
            raise SelectionError(f'a selection in JSON must have the key "version", got {shown(value)}', hint=_FORM)
        version = rest.pop("version")
        if type(version) is not int or version != VERSION:
            newer = type(version) is int and version > VERSION
            raise SelectionError(
                f"the selection has version {shown(version)}; this version of bsv-store reads {VERSION}",
                hint=UPGRADE_HINT if newer else _FORM,
            )
        return cls.of(_from_dict(rest, 1))

    @classmethod
    def from_json(cls, text: str) -> Selection:
        """The selection from JSON, which need not be canonical.

        Raises
        ------
        SelectionError
            If the text is not JSON, or not a selection.
        """
        try:
            value = json_value(text, object_pairs_hook=_without_duplicates)
        except (ValueError, TypeError) as error:
            if isinstance(error, SelectionError):
                raise
            raise SelectionError(f"{shown(text)} is not JSON: {error}", hint=_FORM) from error
        return cls.from_dict(value)

    def _with(self, operator: Operator, other: Selection) -> Selection:
        return Selection.of(_combined(operator, (self.node, other.node)))


SelectionLike = Selection | int | Iterable[int]
"""The argument ``selection`` of all methods: a `Selection`, or experiment ids, which mean ``Selection(ids=...)``."""


def as_selection(value: SelectionLike) -> Selection:
    """The selection that a value stands for.

    Raises
    ------
    SelectionError
        If the value is neither a Selection nor experiment ids.
    """
    if isinstance(value, Selection):
        return value
    # Not every iterable: a string of digits or the keys of a mapping are probably a mistake.
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Integral | Iterable):
        hint = "For example: Selection(injected_in=['VISp']) or [100141219]; Selection() selects all experiments."
        if isinstance(value, str):
            hint += f" If a selection is saved under this name: store.catalog.selection({shown(value)})."
        raise SelectionError(f"selection must be a Selection or experiment ids, got {shown(value)}", hint=hint)
    return Selection(ids=value)


def selection_or_all(value: SelectionLike | None) -> Selection:
    """The selection that an optional value stands for; None stands for ``Selection()``.

    Raises
    ------
    SelectionError
        If the value is neither None nor a Selection nor experiment ids.
    """
    return Selection() if value is None else as_selection(value)


SELECTION_NOTE = "store.experiments(selection) lists the experiments."

_FORM = 'For example: {"version":1,"injected_in":["VISp"],"line":"wild-type"}.'


def _combined(operator: Operator, parts: Sequence[Node]) -> Node:
    """The combination in canonical form: flat, sorted, without repetition."""
    if operator == "minus":
        # (a - b) - c = a - (b | c) = a - b - c
        first, *taken = _flat("minus", parts[:1])
        rest = _unique([*taken, *_flat("or", parts[1:])])
        result = Combination("minus", (first, *rest))
    else:
        unique = _unique(_flat(operator, parts))
        if len(unique) == 1:
            return unique[0]
        result = Combination(operator, unique)
    count, depth = sum(1 for _ in _leaves(result)), _depth(result)
    if count > MAX_PARTS or depth > MAX_DEPTH:
        raise SelectionError(
            f"the selection has {count} parts, {depth} deep; at most {MAX_PARTS} parts, {MAX_DEPTH} deep, are possible",
            hint="Use lists instead: Selection(ids=[...]), Selection(injected_in=[...]).",
        )
    return result


def _flat(operator: Operator, parts: Iterable[Node]) -> list[Node]:
    flat: list[Node] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Combination) and part.operator == operator else (part,))
    return flat


def _unique(parts: Iterable[Node]) -> tuple[Node, ...]:
    by_text = {_canonical(_to_dict(part)): part for part in parts}
    return tuple(by_text[text] for text in sorted(by_text))


def _leaves(node: Node) -> Iterator[Criteria]:
    if isinstance(node, Criteria):
        yield node
    else:
        for part in node.parts:
            yield from _leaves(part)


def _depth(node: Node) -> int:
    return 1 if isinstance(node, Criteria) else 1 + max(_depth(part) for part in node.parts)


def _shown(node: Node) -> str:
    if isinstance(node, Criteria):
        return f"Selection({', '.join(f'{name}={value!r}' for name, value in node.to_dict().items())})"
    return f"({_SIGNS[node.operator].join(_shown(part) for part in node.parts)})"


# -- JSON -----------------------------------------------------------------------------------------------------------


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _to_dict(node: Node) -> dict[str, Any]:
    if isinstance(node, Criteria):
        return node.to_dict()
    return {node.operator: [_to_dict(part) for part in node.parts]}


def _from_dict(value: Any, depth: int) -> Node:
    if not isinstance(value, Mapping):
        raise SelectionError(f"a part of a selection must be an object, got {shown(value)}", hint=_FORM)
    operator = next((name for name in _SIGNS if name in value), None)
    if operator is None:
        return Criteria.checked(value)
    if len(value) > 1:
        raise SelectionError(
            f"{operator!r} cannot be combined with criteria in one object", hint="Put them into its list."
        )
    parts = value[operator]
    if not isinstance(parts, list | tuple) or len(parts) < 2:
        raise SelectionError(f"{operator!r} must be a list of two or more selections, got {shown(parts)}")
    if depth >= MAX_DEPTH:
        raise SelectionError(f"the selection is more than {MAX_DEPTH} deep")
    return _combined(operator, [_from_dict(part, depth + 1) for part in parts])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise SelectionError(f"the selection has {shown(twice)} twice")
    return value
