"""The criteria of a selection: one field each, with its check, help text and option.

Checks, SQL, error messages and the options of the command line all read the rows in ``CRITERIA``. A new criterion on a
column of the view ``experiments`` needs a field of `Criteria` and a keyword of the same name in ``Selection``; one that
is more than a comparison with a column also needs a condition in ``bsv_store.catalog.selection.resolve``, and its words
in ``bsv_store.catalog.selection.words`` and ``short_words``.

This module imports neither NumPy nor SQLAlchemy, so that ``--help`` can read the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from bsv_store.catalog.selection.canonical import canonical
from bsv_store.catalog.selection.criterion import Criterion
from bsv_store.errors import SelectionError
from bsv_store.text import listed, near_names, shown
from bsv_store.vocabulary import (
    HEMISPHERES,
    INJECTION_SCOPES,
    MEASURED_HEMISPHERES,
    MEASURES,
    SEXES,
    VOLUME_KINDS,
)

if TYPE_CHECKING:
    from bsv_store.catalog.selection.canonical import Box, Point
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.vocabulary import Hemisphere, InjectionScope, Measure, MeasuredHemisphere, VolumeKind

WILD_TYPE = "wild-type"
ANY_CRE = "any-cre"


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
            label="Injection structures",
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
            label="Transgenic line",
        ).metadata,
    )
    product: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids",
            section="mouse",
            metavar="ID",
            column="product_id",
            words="Allen product id; repeatable.",
            label="Allen product",
            phrase="of the Allen product {}",
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
            phrase="in {} mice",
            short="{}",
        ).metadata,
    )
    strain: tuple[str, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="names",
            section="mouse",
            metavar="NAME",
            column="strain",
            words="Strain; repeatable.",
            phrase="in mice of the strain {}",
            short="{}",
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
            phrase="injected in the {} hemisphere",
            short="{} hemisphere",
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
            phrase="with at least 1 % of the injection in the other hemisphere",
            phrase_if_false="with less than 1 % of the injection in the other hemisphere",
            short="bilateral",
            short_if_false="unilateral",
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
            label="Injection volume",
            phrase="with an injection volume of at least {} mm³",
            short="≥ {} mm³",
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
            phrase="with an injection volume of at most {} mm³",
            short="≤ {} mm³",
        ).metadata,
    )
    min_injection_overlap: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="injection",
            metavar="SHARE",
            range=(0.0, 1.0),
            belongs_to="injected_in",
            words="Smallest share of the injection volume inside the structures of --injected-in, 0 to 1.",
            label="Minimum inside these structures",
            short="overlap ≥ {}",
            unionize_part="injection",
        ).metadata,
    )
    max_injection_outside_primary: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="injection",
            metavar="SHARE",
            column="injection_outside_primary",
            bound="highest",
            range=(0.0, 1.0),
            words="Largest share of the injection volume outside the primary structure, 0 to 1.",
            label="Maximum outside the primary structure",
            phrase="with at most {} of the injection volume outside the primary structure",
            short="outside primary ≤ {}",
            unionize_part="injection",
        ).metadata,
    )
    box: Box | None = field(
        default=None,
        metadata=Criterion(
            form="box",
            section="injection",
            metavar="AP0,AP1,DV0,DV1,ML0,ML1",
            words="Injection coordinate inside a box: lowest and highest AP, DV and ML, um.",
            label="Inside a box",
        ).metadata,
    )
    near: Point | None = field(
        default=None,
        metadata=Criterion(
            form="point",
            section="injection",
            metavar="AP,DV,ML",
            words="Injection coordinate within --radius of a point, um.",
            label="Near a point",
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
            label="Radius",
        ).metadata,
    )
    projecting_to: tuple[StructureRef, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="structures",
            section="projection",
            metavar="ACRONYM",
            words="Target structure with signal outside the injection site; repeatable.",
            unionize_part="projection",
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
    min_laterality_index: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="projection",
            metavar="X",
            column="laterality_index",
            bound="lowest",
            range=(-1.0, 1.0),
            words="Smallest (ipsilateral - contralateral) / (ipsilateral + contralateral) of the projection, -1 to 1.",
            label="Laterality index",
            phrase="with a laterality index of the projection of at least {}",
            short="laterality ≥ {}",
            unionize_part="projection",
        ).metadata,
    )
    max_laterality_index: float | None = field(
        default=None,
        metadata=Criterion(
            form="number",
            section="projection",
            metavar="X",
            column="laterality_index",
            bound="highest",
            range=(-1.0, 1.0),
            words="Largest of this index.",
            phrase="with a laterality index of the projection of at most {}",
            short="laterality ≤ {}",
            unionize_part="projection",
        ).metadata,
    )
    with_volume: VolumeKind | None = field(
        default=None,
        metadata=Criterion(
            form="choice",
            section="store",
            metavar="KIND",
            rows=VOLUME_KINDS,
            words=f"The store has a volume of this kind: {', '.join(VOLUME_KINDS).replace('_', '-')}.",
            label="Has a volume of",
            phrase="with a volume of {} at {} um in the store",
        ).metadata,
    )
    with_volume_spacing_um: int = field(
        default=100,
        metadata=Criterion(
            form="spacing",
            section="store",
            metavar="UM",
            option="--with-volume-spacing",
            belongs_to="with_volume",
            words="Edge of its voxels, um.",
            label="Voxels of",
        ).metadata,
    )
    with_unionizes: bool | None = field(
        default=None,
        metadata=Criterion(
            form="flag",
            section="store",
            option="--with-unionizes/--without-unionizes",
            words="The store has the whole unionize table, or not.",
            label="Has the unionize table",
            phrase="with a complete table of signal by structure in the store",
            phrase_if_false="without a complete table of signal by structure in the store",
            short="with table",
            short_if_false="without table",
        ).metadata,
    )
    ids: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids",
            section="name",
            metavar="1,2,3|@FILE",
            words="Only these experiments; repeatable; @- reads standard input.",
            label="Only these experiments",
        ).metadata,
    )
    exclude_ids: tuple[int, ...] | None = field(
        default=None,
        metadata=Criterion(
            form="ids",
            section="name",
            metavar="1,2,3|@FILE",
            may_be_empty=True,
            words="Not these experiments.",
            label="Not these experiments",
        ).metadata,
    )
    include_withdrawn: bool = field(
        default=False,
        metadata=Criterion(
            form="flag",
            section="name",
            words="Include experiments that Allen no longer lists.",
            label="Include withdrawn experiments",
            phrase="including those that Allen no longer lists",
            short="",
        ).metadata,
    )
    include_excluded: bool = field(
        default=False,
        metadata=Criterion(
            form="flag",
            section="name",
            words="Include experiments on the exclusion list (see exclude list).",
            label="Include excluded experiments",
            phrase="including those on the exclusion list of the store",
            short="",
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
            name: canonical(CRITERIA[name], spell(name), value) for name, value in values.items() if value is not None
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

# Pairs of criteria that are the lowest and the highest value of a column.
_LIMITS = [
    (least, most)
    for least, low in CRITERIA.items()
    for most, high in CRITERIA.items()
    if low.column is not None and low.column == high.column and (low.bound, high.bound) == ("lowest", "highest")
]


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
            hint="For example: near=(8000, 1500, 8500), radius_um=500.",
        )
    for name in given:
        base = CRITERIA[name].belongs_to
        if base is not None and base not in given:
            raise SelectionError(
                f"{spell(name)} has no meaning without {spell(base)}",
                hint=f"For example: {base}='VISp' (--{base.replace('_', '-')} VISp).",
            )
    for least, most in _LIMITS:
        low, high = getattr(criteria, least), getattr(criteria, most)
        if low is not None and high is not None and low > high:
            raise SelectionError(f"{spell(least)} {low} is above {spell(most)} {high}")
