"""The criteria of a selection: one field each, with its check, help text and option.

Checks, SQL, error messages and the options of the command line all read the rows in ``CRITERIA``. A new criterion on a
column of the view ``experiments`` needs a field of `Criteria` and a keyword of the same name in ``Selection``; one that
is more than a comparison with a column also needs a condition in ``bsv_store.catalog.selection.resolve``.

This module imports neither NumPy nor SQLAlchemy, so that ``--help`` can read the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self, assert_never

from bsv_store.check import choice
from bsv_store.errors import InputError, SelectionError
from bsv_store.text import MAX_ID, MAX_NAME_LENGTH, as_reference, can_be_name, folded, listed, near_names, shown
from bsv_store.vocabulary import AXES, HEMISPHERES, INJECTION_SCOPES, MEASURED_HEMISPHERES, MEASURES, SEXES
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.vocabulary import Hemisphere, InjectionScope, Measure, MeasuredHemisphere, Row

WILD_TYPE = "wild-type"
ANY_CRE = "any-cre"

Interval = tuple[float, float]
Box = tuple[Interval | None, Interval | None, Interval | None]
Point = tuple[float, float, float]

Form = Literal["structures", "names", "ids", "choice", "flag", "number", "point", "box"]
"""The type of a criterion: any of several structures, names or ids; or one value."""

Section = Literal["injection", "mouse", "projection", "name"]
"""The section of the help in which a criterion is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """The properties of a criterion, except its name, its default and, unless ``column`` is set, its SQL.

    Attributes
    ----------
    form : Form
        Determines the check of the value and the kind of option.
    section : Section
        Of the help.
    words : str
        Help text of the option.
    metavar : str or None
        Placeholder for the value in the help.
    option : str or None
        The option, if it is not the name of the criterion with hyphens.
    rows : mapping of str to row, optional
        The closed list of a choice, or of names.
    spellings : mapping of str to str, optional
        Names by their other spellings, folded (:func:`bsv_store.text.folded`).
    column : str or None
        Column of the view ``experiments`` that the value is compared with.
    bound : {'lowest', 'highest'} or None
        Whether a number is an inclusive limit of the column.
    belongs_to : str or None
        The criterion that this one qualifies; it has no meaning without it.
    may_be_empty : bool
        Whether an empty list means no restriction. For other criteria an empty list is an error.
    """

    form: Form
    section: Section
    words: str
    metavar: str | None = None
    option: str | None = None
    rows: Mapping[str, Row] | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    column: str | None = None
    bound: Literal["lowest", "highest"] | None = None
    belongs_to: str | None = None
    may_be_empty: bool = False

    @property
    def metadata(self) -> Mapping[str, Criterion]:
        """Metadata for the dataclass field."""
        return {"criterion": self}


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria that must all hold; create them with `Criteria.checked`. The defaults do not restrict anything.

    Every value is in its canonical form: sequences sorted and without duplicates, numbers as float.
    """

    injected_in: tuple[StructureRef, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="structures",
            section="injection",
            metavar="ACRONYM",
            words="Structure, or one of its descendants; repeatable.",
        ).metadata,
    )
    injection: InjectionScope = field(
        default="primary",
        metadata=Criterion(
            form="choice",
            section="injection",
            rows=INJECTION_SCOPES,
            belongs_to="injected_in",
            words="Whether --injected-in means the primary injection structure, or any.",
        ).metadata,
    )
    line: tuple[str, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="names",
            section="mouse",
            metavar="NAME",
            spellings={"wildtype": WILD_TYPE, "anycre": ANY_CRE},
            words="Mouse line: wild-type, any-cre, or a name; repeatable.",
        ).metadata,
    )
    product: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids", section="mouse", metavar="ID", column="product_id", words="Allen product id; repeatable."
        ).metadata,
    )
    sex: tuple[str, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="names",
            section="mouse",
            metavar="SEX",
            column="sex",
            rows=SEXES,
            words="Sex, F or M; repeatable.",
        ).metadata,
    )
    strain: tuple[str, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="names", section="mouse", metavar="NAME", column="strain", words="Strain; repeatable."
        ).metadata,
    )
    injected_hemisphere: Hemisphere | None = field(
        default=None,
        metadata=Criterion(
            form="choice",
            section="injection",
            rows=HEMISPHERES,
            column="injected_hemisphere",
            words="Hemisphere with the larger part of the injection.",
        ).metadata,
    )
    bilateral: bool | None = field(
        default=None,
        metadata=Criterion(
            form="flag",
            section="injection",
            column="bilateral",
            option="--bilateral/--unilateral",
            words="At least 1 % of the injection in the other hemisphere, or less.",
        ).metadata,
    )
    min_injection_volume: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="injection",
            metavar="MM3",
            column="injection_volume",
            bound="lowest",
            words="Smallest injection volume, mm3.",
        ).metadata,
    )
    max_injection_volume: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="injection",
            metavar="MM3",
            column="injection_volume",
            bound="highest",
            words="Largest injection volume, mm3.",
        ).metadata,
    )
    box: Box | None = field(
        default=None,
        metadata=Criterion(
            form="box",
            section="injection",
            metavar="AP0,AP1,DV0,DV1,ML0,ML1",
            words="Injection coordinate inside a box: lowest and highest AP, DV and ML, um.",
        ).metadata,
    )
    near: Point | None = field(
        default=None,
        metadata=Criterion(
            form="point",
            section="injection",
            metavar="AP,DV,ML",
            words="Injection coordinate within --radius of a point, um.",
        ).metadata,
    )
    radius_um: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="injection",
            metavar="UM",
            option="--radius",
            belongs_to="near",
            words="Largest distance from --near, um.",
        ).metadata,
    )
    projecting_to: tuple[StructureRef, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="structures",
            section="projection",
            metavar="ACRONYM",
            words="Target structure with signal outside the injection site; repeatable.",
        ).metadata,
    )
    target_measure: Measure = field(
        default="projection_volume",
        metadata=Criterion(
            form="choice",
            section="projection",
            metavar="MEASURE",
            rows=MEASURES,
            belongs_to="projecting_to",
            words="Measure of the signal in the target.",
        ).metadata,
    )
    target_threshold: float = field(
        default=0.0,
        metadata=Criterion(
            form="number",
            section="projection",
            metavar="X",
            belongs_to="projecting_to",
            words="The measure must exceed it.",
        ).metadata,
    )
    target_hemisphere: MeasuredHemisphere = field(
        default="both",
        metadata=Criterion(
            form="choice",
            section="projection",
            metavar="SIDE",
            rows=MEASURED_HEMISPHERES,
            belongs_to="projecting_to",
            words=f"Hemisphere of the target: {listed(MEASURED_HEMISPHERES)}.",
        ).metadata,
    )
    ids: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids",
            section="name",
            metavar="1,2,3|@FILE",
            words="Only these experiments; repeatable; @- reads standard input.",
        ).metadata,
    )
    exclude_ids: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids", section="name", metavar="1,2,3|@FILE", may_be_empty=True, words="Not these experiments."
        ).metadata,
    )
    include_withdrawn: bool = field(
        default=False,
        metadata=Criterion(
            form="flag", section="name", words="Include experiments that Allen no longer lists."
        ).metadata,
    )
    include_excluded: bool = field(
        default=False,
        metadata=Criterion(
            form="flag", section="name", words="Include experiments on the exclusion list (see exclude list)."
        ).metadata,
    )

    @classmethod
    def checked(cls, values: Mapping[str, Any], *, spell: Callable[[str], str] = str) -> Self:
        """The criteria with these values, each checked and made canonical; None means no restriction.

        Parameters
        ----------
        values : mapping of str to object
        spell : callable
            Returns the name of a criterion for errors.

        Raises
        ------
        SelectionError
            If a criterion does not exist, its value is not valid, or the criterion that it belongs to is missing.
        """
        for name in values:
            if name not in CRITERIA:
                near = near_names(str(name), CRITERIA)
                hint = f"Did you mean {listed(map(shown, near))}?" if near else f"Criteria are {', '.join(CRITERIA)}."
                raise SelectionError(f"a selection has no criterion {shown(name)}", hint=hint)
        checked = {
            name: _canonical(CRITERIA[name], spell(name), value) for name, value in values.items() if value is not None
        }
        if checked.get("ids") is not None:
            # Experiments named by id are selected, withdrawn or not, so the flag has no effect and is removed.
            checked["include_withdrawn"] = False
        criteria = cls(**checked)
        _check_together(criteria, spell)
        return criteria

    def to_dict(self) -> dict[str, Any]:
        """The criteria that differ from their default, as plain lists, numbers and strings."""
        values = ((each.name, getattr(self, each.name), each.default) for each in fields(self))
        return {name: _plain(value) for name, value, default in values if value != default}


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {each.name: each.metadata["criterion"] for each in fields(Criteria)}
)
"""All criteria by name."""


def default_of(name: str) -> Any:
    """The default value of a criterion, which does not restrict anything."""
    return _DEFAULTS[name]


_DEFAULTS = {each.name: each.default for each in fields(Criteria)}


def companions(name: str) -> tuple[str, ...]:
    """The criteria that belong to a criterion."""
    return tuple(other for other, criterion in CRITERIA.items() if criterion.belongs_to == name)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _check_together(criteria: Criteria, spell: Callable[[str], str]) -> None:
    given = criteria.to_dict()
    if (criteria.near is None) != (criteria.radius_um is None):
        raise SelectionError(
            f"{spell('near')} and {spell('radius_um')} must be given together",
            hint="For example near=(8000, 1500, 8500), radius_um=500.",
        )
    for name in given:
        base = CRITERIA[name].belongs_to
        if base is not None and base not in given:
            raise SelectionError(
                f"{spell(name)} has no meaning without {spell(base)}",
                hint=f"For example {base}='VISp' (--{base.replace('_', '-')} VISp).",
            )
    low, high = criteria.min_injection_volume, criteria.max_injection_volume
    if low is not None and high is not None and low > high:
        raise SelectionError(f"{spell('min_injection_volume')} {low} is above {spell('max_injection_volume')} {high}")


# -- checks -----------------------------------------------------------------------------------------------------------


def _canonical(criterion: Criterion, name: str, value: Any) -> Any:
    """The checked value in its canonical form."""
    form = criterion.form
    if form == "structures":
        found = {_structure(name, each) for each in _several(name, value, criterion)}
        return tuple(sorted(found, key=lambda ref: (isinstance(ref, str), ref)))
    if form == "ids":
        return tuple(sorted({_id(name, each) for each in _several(name, value, criterion)})) or None
    if form == "names":
        given = _several(name, value, criterion)
        if criterion.rows is not None:
            return tuple(sorted({choice(name, each, criterion.rows, error=SelectionError).name for each in given}))
        names = [_name(name, each) for each in given]
        return tuple(sorted({criterion.spellings.get(folded(each), each) for each in names}))
    if form == "choice":
        assert criterion.rows is not None
        return choice(name, value, criterion.rows, error=SelectionError).name
    if form == "flag":
        return _flag(name, value)
    if form == "number":
        return _amount(name, value)
    if form == "point":
        return _point(name, value)
    if form == "box":
        return _box(name, value)
    assert_never(form)


def _several(name: str, value: Any, criterion: Criterion) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return [value]
    values = list(value)
    if not values and not criterion.may_be_empty:
        raise SelectionError(f"{name} must not be empty", hint="Omit it for no restriction.")
    return values


def _structure(name: str, value: Any) -> StructureRef:
    reference = as_reference(_name(name, value)) if isinstance(value, str) else value
    return reference if isinstance(reference, str) else _id(name, reference)


def _id(name: str, value: Any) -> int:
    number = 0 if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
    if not 0 < number <= MAX_ID:
        raise SelectionError(f"{name}: {shown(value)} is not a valid id", hint="Ids are positive integers.")
    return number


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SelectionError(f"{name} must be a string, got {shown(value)}")
    if not can_be_name(value):
        raise SelectionError(
            f"{name}: {shown(value)} is not a valid name",
            hint=f"Names have 1 to {MAX_NAME_LENGTH} printable characters.",
        )
    return str(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SelectionError(f"{name} must be True or False, got {shown(value)}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SelectionError(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError as error:
        raise SelectionError(f"{name} must be a finite number, got {shown(value)}") from error
    if not math.isfinite(number):
        raise SelectionError(f"{name} must be a finite number, got {number}")
    return number + 0.0  # -0.0 becomes 0.0


def _amount(name: str, value: Any) -> float:
    number = _number(name, value)
    if number < 0:
        raise SelectionError(f"{name} must not be negative, got {number}")
    return number


_ORDER = "In the order AP, DV, ML, in um."


def _triple(name: str, value: Any, what: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise SelectionError(f"{name} must be {what}, got {shown(value)}", hint=_ORDER)
    values = list(value)
    if len(values) != 3:
        raise SelectionError(f"{name} must have 3 parts, got {len(values)}", hint=_ORDER)
    return values


def _point(name: str, value: Any) -> Point:
    ap, dv, ml = (_number(name, item) for item in _triple(name, value, "a point"))
    try:
        Grid(10).voxel(ap, dv, ml)
    except InputError as error:
        raise SelectionError(f"{name}: {error.message}", hint=_ORDER) from error
    return ap, dv, ml


def _box(name: str, value: Any) -> Box | None:
    parts = _triple(name, value, "a box")
    ap, dv, ml = (_interval(f"{name} along {axis}", part) for axis, part in zip(AXES, parts, strict=True))
    return None if ap is dv is ml is None else (ap, dv, ml)


def _interval(name: str, value: Any) -> Interval | None:
    if value is None:
        return None
    ends = [] if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else list(value)
    if len(ends) != 2:
        raise SelectionError(
            f"{name} must be a pair of numbers or None, got {shown(value)}", hint="Use (lowest, highest) in um."
        )
    low, high = (_number(name, end) for end in ends)
    if low > high:
        raise SelectionError(f"{name}: {low:g} is above {high:g}", hint="Use (lowest, highest) in um.")
    return low, high
