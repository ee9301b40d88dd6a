"""What one part of a selection may say: the criteria, how each is checked, and its canonical form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, Self, get_args

from bsv_store.catalog.structures import StructureRef, as_reference
from bsv_store.errors import InputError, SelectionError
from bsv_store.text import MAX_ID, MAX_NAME_LENGTH, can_be_name, listed, near_names, shown
from bsv_store.vocabulary import Axis
from bsv_store.volumes.grid import Grid

InjectionScope = Literal["primary", "any"]
InjectedHemisphere = Literal["left", "right"]
TargetHemisphere = Literal["both", "left", "right", "ipsilateral", "contralateral"]
Measure = Literal[
    "projection_volume",
    "normalized_projection_volume",
    "projection_density",
    "projection_intensity",
    "projection_energy",
    "volume",
    "max_voxel_density",
    "sum_pixels",
    "sum_projection_pixels",
    "sum_pixel_intensity",
    "sum_projection_pixel_intensity",
]
"""A measure of the unionize records. Volumes are mm3, densities 0 to 1, the normalized volume is a ratio."""

MEASURES: tuple[Measure, ...] = get_args(Measure)

HEMISPHERE_IDS: Mapping[str, int] = {"left": 1, "right": 2, "both": 3}
"""How the unionize records number the hemispheres."""

WILD_TYPE = "wild-type"
ANY_CRE = "any-cre"

Interval = tuple[float, float]
Box = tuple[Interval | None, Interval | None, Interval | None]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Criteria:
    """Criteria that must all hold; make one with ``Criteria.checked``. None means that nothing is asked.

    Every field is in its canonical form: sequences sorted and without duplicates, numbers as float.
    """

    injected_in: tuple[StructureRef, ...] | None = None
    injection: InjectionScope = "primary"
    line: tuple[str, ...] | None = None
    product: tuple[int, ...] | None = None
    sex: tuple[str, ...] | None = None
    strain: tuple[str, ...] | None = None
    injected_hemisphere: InjectedHemisphere | None = None
    bilateral: bool | None = None
    min_injection_volume: float | None = None
    max_injection_volume: float | None = None
    box: Box | None = None
    near: Point | None = None
    radius: float | None = None
    projecting_to: tuple[StructureRef, ...] | None = None
    measure: Measure = "projection_volume"
    threshold: float = 0.0
    target_hemisphere: TargetHemisphere = "both"
    ids: tuple[int, ...] | None = None
    exclude_ids: tuple[int, ...] | None = None
    include_withdrawn: bool = False
    include_excluded: bool = False

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The criteria of these values, each checked and made canonical; None stands for "not asked".

        Raises
        ------
        SelectionError
            If a criterion does not exist, has a value that it cannot have, or lacks the other that it goes with.
        """
        unknown = [name for name in values if name not in _CHECKS]
        if unknown:
            near = near_names(str(unknown[0]), _CHECKS)
            hint = f"Did you mean {listed(near)}?" if near else f"Criteria are {', '.join(_CHECKS)}."
            raise SelectionError(f"a selection has no criterion {shown(unknown[0])}", hint=hint)
        checked = {name: _CHECKS[name](name, value) for name, value in values.items() if value is not None}
        if checked.get("ids") is not None:
            # Whoever names an id gets it, withdrawn or not: one meaning, one form.
            checked["include_withdrawn"] = False
        criteria = cls(**checked)
        _check_together(criteria)
        return criteria

    def to_dict(self) -> dict[str, Any]:
        """The criteria that ask for something, as plain lists, numbers and strings."""
        given = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                given[field.name] = _plain(value)
        return given


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _check_together(criteria: Criteria) -> None:
    if criteria.injection != "primary" and criteria.injected_in is None:
        raise SelectionError("injection='any' says nothing without injected_in", hint="Name the structures.")
    if (criteria.near is None) != (criteria.radius is None):
        raise SelectionError(
            "near and radius go together, and one of them is missing",
            hint="Give both, in um: near=(8000, 1500, 8500), radius=500 (--near 8000,1500,8500 --radius 500).",
        )
    if criteria.projecting_to is None:
        lonely = [name for name in ("measure", "threshold", "target_hemisphere") if name in criteria.to_dict()]
        if lonely:
            raise SelectionError(f"{lonely[0]} says nothing without projecting_to", hint="Name the target structures.")
    low, high = criteria.min_injection_volume, criteria.max_injection_volume
    if low is not None and high is not None and low > high:
        raise SelectionError(f"min_injection_volume {low} is above max_injection_volume {high}")


# -- checks, one kind of value each ---------------------------------------------------------------------------------


def _several(name: str, value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return [value]
    values = list(value)
    if not values:
        raise SelectionError(f"{name} is an empty list", hint="Leave it out if it is not to restrict anything.")
    return values


def _id(name: str, value: Any) -> int:
    number = 0 if isinstance(value, bool) or not isinstance(value, Integral) else int(value)
    if not 0 < number <= MAX_ID:
        raise SelectionError(f"{name}: {shown(value)} is no id", hint="Ids are positive whole numbers.")
    return number


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SelectionError(f"{name}: {shown(value)} is no text")
    if not can_be_name(value):
        raise SelectionError(
            f"{name}: {shown(value)} cannot be a name",
            hint=f"Names have 1 to {MAX_NAME_LENGTH} printable characters.",
        )
    return str(value)


def _ids(name: str, value: Any) -> tuple[int, ...]:
    return tuple(sorted({_id(name, item) for item in _several(name, value)}))


def _excluded_ids(name: str, value: Any) -> tuple[int, ...] | None:
    # An empty list of exceptions is a sensible thing to have.
    if not isinstance(value, str | bytes | Mapping) and isinstance(value, Iterable):
        value = list(value)
        if not value:
            return None
    return _ids(name, value)


def _names(name: str, value: Any) -> tuple[str, ...]:
    return tuple(sorted({_name(name, item) for item in _several(name, value)}))


def _lines(name: str, value: Any) -> tuple[str, ...]:
    # Wild type is written in many ways, and no line of mice is called so.
    groups = {"wildtype": WILD_TYPE, "anycre": ANY_CRE}
    return tuple(sorted({groups.get(re.sub("[-_ ]", "", item).casefold(), item) for item in _names(name, value)}))


def _sexes(name: str, value: Any) -> tuple[str, ...]:
    # Allen writes one letter.
    letters = {"f": "F", "female": "F", "m": "M", "male": "M"}
    return tuple(sorted({letters.get(item.casefold(), item) for item in _names(name, value)}))


def _structures(name: str, value: Any) -> tuple[StructureRef, ...]:
    items = [as_reference(_name(name, item)) if isinstance(item, str) else item for item in _several(name, value)]
    refs = {item if isinstance(item, str) else _id(name, item) for item in items}
    return tuple(sorted(refs, key=lambda ref: (isinstance(ref, str), ref)))


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SelectionError(f"{name} is True or False, not {shown(value)}")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SelectionError(f"{name}: {shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise SelectionError(f"{name}: {shown(value)} is too large a number") from error
    if not math.isfinite(number):
        raise SelectionError(f"{name}: {number} is no finite number")
    return number + 0.0  # -0.0 becomes 0.0


def _not_negative(name: str, value: Any) -> float:
    number = _number(name, value)
    if number < 0:
        raise SelectionError(f"{name} is {number}, and cannot be negative")
    return number


def _one_of(*options: str) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if isinstance(value, str) and value in options:
            return str(value)
        near = near_names(value, options, limit=1) if isinstance(value, str) else []
        meant = f"Did you mean {near[0]!r}? " if near else ""
        raise SelectionError(
            f"{name} cannot be {shown(value)}", hint=f"{meant}It is one of {', '.join(map(repr, options))}."
        )

    return check


def _triple(name: str, value: Any, what: str) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise SelectionError(f"{name}: {shown(value)} is not {what}", hint="In the order AP, DV, ML, in um.")
    values = list(value)
    if len(values) != 3:
        raise SelectionError(f"{name} has {len(values)} parts, not three", hint="In the order AP, DV, ML, in um.")
    return values


def _point(name: str, value: Any) -> Point:
    ap, dv, ml = (_number(name, item) for item in _triple(name, value, "a point"))
    try:
        Grid(10).voxel(ap, dv, ml)
    except InputError as error:
        raise SelectionError(f"{name}: {error.message}", hint="In the order AP, DV, ML, in um.") from error
    return ap, dv, ml


def _box(name: str, value: Any) -> Box | None:
    parts = _triple(name, value, "a box")
    ap, dv, ml = (_interval(f"{name} along {axis}", part) for axis, part in zip(get_args(Axis), parts, strict=True))
    return None if ap is dv is ml is None else (ap, dv, ml)


def _interval(name: str, value: Any) -> Interval | None:
    if value is None:
        return None
    ends = [] if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) else list(value)
    if len(ends) != 2:
        raise SelectionError(
            f"{name}: {shown(value)} is no pair of ends", hint="Give (lowest, highest) in um, or None."
        )
    low, high = (_number(name, end) for end in ends)
    if low > high:
        raise SelectionError(f"{name}: {low:g} is above {high:g}", hint="Give (lowest, highest) in um.")
    return low, high


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "injected_in": _structures,
    "injection": _one_of(*get_args(InjectionScope)),
    "line": _lines,
    "product": _ids,
    "sex": _sexes,
    "strain": _names,
    "injected_hemisphere": _one_of(*get_args(InjectedHemisphere)),
    "bilateral": _flag,
    "min_injection_volume": _not_negative,
    "max_injection_volume": _not_negative,
    "box": _box,
    "near": _point,
    "radius": _not_negative,
    "projecting_to": _structures,
    "measure": _one_of(*MEASURES),
    "threshold": _not_negative,
    "target_hemisphere": _one_of(*get_args(TargetHemisphere)),
    "ids": _ids,
    "exclude_ids": _excluded_ids,
    "include_withdrawn": _flag,
    "include_excluded": _flag,
}
