"""Every closed list of names in bsv-store, with all facts about each name.

Each list is defined here once: as a ``Literal`` type, which mypy checks, and as rows with the words, units, bounds and
texts. The command line, documents, citations, unit texts, SQL descriptions and argument checks all read the rows. Code
that branches on a name ends in ``typing.assert_never``, so mypy reports every place that must handle a new name.

To look up what a user wrote, use ``bsv_store.check.choice``, which ignores case and treats hyphens, underscores and
spaces alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, Literal, Protocol, TypeVar, get_args

# -- what a row is ----------------------------------------------------------------------------------------------------


class Row(Protocol):
    """A row of a closed list."""

    @property
    def name(self) -> str:
        """The name, as it is stored and passed as an argument."""

    @property
    def synonyms(self) -> tuple[str, ...]:
        """Other spellings that are accepted."""


_RowT = TypeVar("_RowT", bound=Row)


def _rows(names: Any, rows: Iterable[_RowT]) -> Mapping[str, _RowT]:
    """The rows by name; every name of the ``Literal`` must have one, in the same order."""
    found = {row.name: row for row in rows}
    if tuple(found) != get_args(names):
        raise TypeError(f"rows {tuple(found)} do not match the names {get_args(names)}")
    return MappingProxyType(found)


# -- space ------------------------------------------------------------------------------------------------------------

Axis = Literal["AP", "DV", "ML"]
Hemisphere = Literal["left", "right"]
MeasuredHemisphere = Literal["both", "left", "right", "ipsilateral", "contralateral"]


@dataclass(frozen=True, slots=True)
class AxisRow:
    """An axis of the CCFv3.

    Attributes
    ----------
    words : str
        Direction in which the coordinate increases.
    column : str
        Column with the injection coordinate along this axis, um.
    """

    name: Axis
    words: str
    column: str
    synonyms: tuple[str, ...] = ()


AXES: Mapping[str, AxisRow] = _rows(
    Axis,
    [
        AxisRow("AP", "anterior to posterior", "injection_ap", ("anterior-posterior", "anteroposterior")),
        AxisRow("DV", "superior to inferior", "injection_dv", ("dorsal-ventral", "dorsoventral")),
        AxisRow("ML", "left to right", "injection_ml", ("medial-lateral", "mediolateral", "left-right")),
    ],
)

INJECTION_COLUMNS = tuple(row.column for row in AXES.values())
"""The columns with the injection coordinate, in the order of the axes."""


@dataclass(frozen=True, slots=True)
class HemisphereRow:
    """A hemisphere of the brain: the one that was injected, or one half of a volume.

    Attributes
    ----------
    unionize_id : int
        ``hemisphere_id`` of the unionize records.
    """

    name: Hemisphere
    unionize_id: int
    synonyms: tuple[str, ...] = ()


HEMISPHERES: Mapping[str, HemisphereRow] = _rows(
    Hemisphere, [HemisphereRow("left", 1, ("l",)), HemisphereRow("right", 2, ("r",))]
)


@dataclass(frozen=True, slots=True)
class MeasuredHemisphereRow:
    """A hemisphere in which signal is measured.

    Attributes
    ----------
    short : str
        For labels in figures and narrow tables; '' for both hemispheres.
    unionize_id : int or None
        ``hemisphere_id`` of the unionize records; None where it depends on the injected hemisphere.
    is_relative : bool
        Whether it is relative to the injected hemisphere.
    """

    name: MeasuredHemisphere
    words: str
    short: str
    unionize_id: int | None
    is_relative: bool
    synonyms: tuple[str, ...] = ()


MEASURED_HEMISPHERES: Mapping[str, MeasuredHemisphereRow] = _rows(
    MeasuredHemisphere,
    [
        MeasuredHemisphereRow("both", "both hemispheres together", "", 3, is_relative=False),
        MeasuredHemisphereRow("left", "left hemisphere", "L", 1, is_relative=False, synonyms=("l",)),
        MeasuredHemisphereRow("right", "right hemisphere", "R", 2, is_relative=False, synonyms=("r",)),
        MeasuredHemisphereRow("ipsilateral", "injected hemisphere", "ipsi", None, is_relative=True, synonyms=("ipsi",)),
        MeasuredHemisphereRow(
            "contralateral", "other hemisphere", "contra", None, is_relative=True, synonyms=("contra",)
        ),
    ],
)

SPACINGS_UM = (10, 25, 50, 100)
"""Edges of the voxels of the CCFv3 grids, um."""

# -- volumes ----------------------------------------------------------------------------------------------------------

VolumeKind = Literal[
    "projection_density",
    "projection_energy",
    "injection_density",
    "injection_fraction",
    "injection_energy",
    "data_mask",
]
GridSite = Literal["projection", "injection", "tissue"]
GridSum = Literal["projection_volume", "injection_volume"]


@dataclass(frozen=True, slots=True)
class KindRow:
    """A kind of volume that the Allen API offers.

    Attributes
    ----------
    words : str
        Lower case, as in a sentence.
    meaning : str
        What a voxel's value is.
    unit : str
        As shown beside a color scale.
    cf_unit : str or None
        In the notation of the CF conventions; None for the arbitrary units of intensities.
    is_fraction : bool
        Whether values lie in [0, 1]. Energies have no upper bound.
    site : {'projection', 'injection', 'tissue'}
        What the volume shows: all signal, the injection site, or where there are data.
    mean_bounds : tuple of float
        Lowest and highest plausible mean over the grid. Densities: the most signal in 2,917 experiments (CSV export of
        the Allen web site) is 36.1 mm3, a mean of 0.027, and the largest injection is 1.61 mm3, a mean of 0.0012. Data
        masks: two real ones have means of 0.95 and 0.97. No real energy was available.
    peak_above : float
        Lower bound of the highest value (exclusive). Energies are gray values: in 40 real tables, signal inside the
        injection has a mean intensity of 2,154 or more.
    ones_at_least : float
        Lowest plausible fraction of the non-zero voxels that are 1. Data masks: 0.991 and 0.997 in two real ones.
    sums_to : {'projection_volume', 'injection_volume'} or None
        Volume in the catalog that equals the sum of its voxels.
    below, within : tuple of VolumeKind
        Kinds that are at least as high in every voxel, and kinds that are above 0 wherever this one is. Both hold for
        all voxels of the four real volumes of 158375425.
    download_bytes, stored_bytes : int
        Typical sizes at 100 um: those of experiment 158375425; for energies, of which no real file was available, those
        of the densities.
    """

    name: VolumeKind
    words: str
    meaning: str
    unit: str
    cf_unit: str | None
    is_fraction: bool
    site: GridSite
    mean_bounds: tuple[float, float]
    peak_above: float
    ones_at_least: float
    sums_to: GridSum | None
    below: tuple[VolumeKind, ...]
    within: tuple[VolumeKind, ...]
    download_bytes: int
    stored_bytes: int
    synonyms: tuple[str, ...] = ()


_FRACTION = "fraction of voxel"
_INTENSITY = "arbitrary units"

VOLUME_KINDS: Mapping[str, KindRow] = _rows(
    VolumeKind,
    [
        KindRow(
            name="projection_density",
            words="projection density",
            meaning="fraction of pixels with signal",
            unit=_FRACTION,
            cf_unit="1",
            is_fraction=True,
            site="projection",
            mean_bounds=(0.0, 0.15),
            peak_above=0.0,
            ones_at_least=0.0,
            sums_to="projection_volume",
            below=(),
            within=("data_mask",),
            download_bytes=386_000,
            stored_bytes=698_000,
            synonyms=("density",),
        ),
        KindRow(
            name="projection_energy",
            words="projection energy",
            meaning="sum of the intensity of pixels with signal, per pixel",
            unit=_INTENSITY,
            cf_unit=None,
            is_fraction=False,
            site="projection",
            mean_bounds=(0.0, math.inf),
            peak_above=1.0,
            ones_at_least=0.0,
            sums_to=None,
            below=(),
            within=("projection_density", "data_mask"),
            download_bytes=386_000,
            stored_bytes=698_000,
            synonyms=("energy",),
        ),
        KindRow(
            name="injection_density",
            words="injection density",
            meaning="fraction of pixels with signal inside the injection site",
            unit=_FRACTION,
            cf_unit="1",
            is_fraction=True,
            site="injection",
            mean_bounds=(0.0, 0.01),
            peak_above=0.0,
            ones_at_least=0.0,
            sums_to="injection_volume",
            below=("projection_density", "injection_fraction"),
            within=("data_mask",),
            download_bytes=7_500,
            stored_bytes=8_000,
        ),
        KindRow(
            name="injection_fraction",
            words="injection fraction",
            meaning="fraction of pixels inside the injection site",
            unit=_FRACTION,
            cf_unit="1",
            is_fraction=True,
            site="injection",
            mean_bounds=(0.0, 0.01),
            peak_above=0.0,
            ones_at_least=0.0,
            sums_to=None,
            below=(),
            within=("data_mask",),
            download_bytes=7_500,
            stored_bytes=8_100,
        ),
        KindRow(
            name="injection_energy",
            words="injection energy",
            meaning="sum of the intensity of pixels with signal inside the injection site, per pixel",
            unit=_INTENSITY,
            cf_unit=None,
            is_fraction=False,
            site="injection",
            mean_bounds=(0.0, math.inf),
            peak_above=1.0,
            ones_at_least=0.0,
            sums_to=None,
            below=("projection_energy",),
            within=("injection_density", "data_mask"),
            download_bytes=7_500,
            stored_bytes=8_000,
        ),
        KindRow(
            name="data_mask",
            words="data mask",
            meaning="fraction of the voxel with valid data",
            unit=_FRACTION,
            cf_unit="1",
            is_fraction=True,
            site="tissue",
            mean_bounds=(0.3, 1.0),
            peak_above=0.0,
            ones_at_least=0.5,
            sums_to=None,
            below=(),
            within=(),
            download_bytes=72_700,
            stored_bytes=69_200,
        ),
    ],
)

# -- selections -------------------------------------------------------------------------------------------------------

InjectionScope = Literal["primary", "any"]
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


@dataclass(frozen=True, slots=True)
class InjectionScopeRow:
    """Which injection structures of an experiment count for ``injected_in``."""

    name: InjectionScope
    words: str
    synonyms: tuple[str, ...] = ()


INJECTION_SCOPES: Mapping[str, InjectionScopeRow] = _rows(
    InjectionScope,
    [
        InjectionScopeRow("primary", "the primary injection structure", ("primary_only",)),
        InjectionScopeRow("any", "primary and secondary injection structures"),
    ],
)


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """A measure of the unionize records: signal of an experiment in a structure and hemisphere.

    Attributes
    ----------
    unit : str
        '' for pure numbers.
    """

    name: Measure
    words: str
    unit: str
    synonyms: tuple[str, ...] = ()


MEASURES: Mapping[str, MeasureRow] = _rows(
    Measure,
    [
        MeasureRow("projection_volume", "Volume with signal", "mm3"),
        MeasureRow("normalized_projection_volume", "projection_volume / injection volume of the experiment", ""),
        MeasureRow("projection_density", "Pixels with signal / pixels, 0 to 1", ""),
        MeasureRow("projection_intensity", "Intensity of the pixels with signal / pixels with signal", ""),
        MeasureRow("projection_energy", "Intensity of the pixels with signal / pixels", ""),
        MeasureRow("volume", "Volume of the structure", "mm3"),
        MeasureRow("max_voxel_density", "Density of the densest voxel, 0 to 1", ""),
        MeasureRow("sum_pixels", "Pixels in the structure", ""),
        MeasureRow("sum_projection_pixels", "Pixels with signal", ""),
        MeasureRow("sum_pixel_intensity", "Sum of the intensity of all pixels", ""),
        MeasureRow("sum_projection_pixel_intensity", "Sum of the intensity of the pixels with signal", ""),
    ],
)

# -- structures -------------------------------------------------------------------------------------------------------

SUMMARY_STRUCTURE_SET_ID = 167587189
"""Allen's set of the summary structures, which do not overlap."""

StructureKey = Literal["any", "acronym", "id", "name"]

# -- signal above a threshold -----------------------------------------------------------------------------------------

ThresholdRule = Literal["absolute", "percentile", "z_score"]

# -- the projection matrix --------------------------------------------------------------------------------------------

MatrixStatistic = Literal["mean", "median", "n"]
MatrixLayout = Literal["wide", "transposed", "long"]
MatrixRows = Literal["sources", "experiments"]
AnimalWeight = Literal["none", "injection_overlap"]


_NameT = TypeVar("_NameT", bound=str)


@dataclass(frozen=True, slots=True)
class WordRow(Generic[_NameT]):
    """A name that has only a description."""

    name: _NameT
    words: str
    synonyms: tuple[str, ...] = ()


STRUCTURE_KEYS: Mapping[str, WordRow[StructureKey]] = _rows(
    StructureKey,
    [
        WordRow("any", "ids, acronyms or full names"),
        WordRow("acronym", "acronyms"),
        WordRow("id", "Allen's ids"),
        WordRow("name", "full names"),
    ],
)
THRESHOLD_RULES: Mapping[str, WordRow[ThresholdRule]] = _rows(
    ThresholdRule,
    [
        WordRow("absolute", "the value itself", ("value",)),
        WordRow("percentile", "a percentile of the values, 0 to 100", ("quantile",)),
        WordRow("z_score", "standard deviations above the mean of the values", ("zscore",)),
    ],
)
MATRIX_STATISTICS: Mapping[str, WordRow[MatrixStatistic]] = _rows(
    MatrixStatistic,
    [
        WordRow("mean", "mean over the experiments of a source", ("average",)),
        WordRow("median", "median over the experiments of a source"),
        WordRow("n", "number of experiments of a source", ("count",)),
    ],
)
MATRIX_ROWS: Mapping[str, WordRow[MatrixRows]] = _rows(
    MatrixRows,
    [
        WordRow("sources", "one row per source structure", ("source",)),
        WordRow("experiments", "one row per experiment", ("experiment",)),
    ],
)


@dataclass(frozen=True, slots=True)
class AnimalWeightRow:
    """A weight of animals in means over animals.

    Attributes
    ----------
    words : str
        What the weight is; for help texts and legends.
    description : str
        The weight of an experiment in an average; for documents.
    rule : str
        For the list of rules of an average; empty for 'none'.
    methods : str
        A sentence for the methods text, with ``{source}`` for the source of an experiment; empty for 'none'.
    """

    name: AnimalWeight
    words: str
    description: str
    rule: str = ""
    methods: str = ""
    synonyms: tuple[str, ...] = ()


ANIMAL_WEIGHTS: Mapping[str, AnimalWeightRow] = _rows(
    AnimalWeight,
    [
        AnimalWeightRow("none", "every animal counts the same", "1", synonyms=("equal",)),
        AnimalWeightRow(
            "injection_overlap",
            "share of the injection volume inside the source structure",
            "the share of its injection volume inside its source, 0 to 1: `projection_volume` of the source, both "
            "hemispheres, inside the injection, divided by that of the root (structure 997). The source is the primary "
            "injection structure; in groups by region, the regions of the group",
            rule="weighted by injection overlap",
            methods="Each experiment was weighted by the share of its injection volume inside {source}.",
            synonyms=("overlap",),
        ),
    ],
)
MATRIX_LAYOUTS: Mapping[str, WordRow[MatrixLayout]] = _rows(
    MatrixLayout,
    [
        WordRow("wide", "one row per source or experiment, one column per target"),
        WordRow("transposed", "one row per target"),
        WordRow("long", "one row per cell, the largest value first"),
    ],
)

# -- averages ---------------------------------------------------------------------------------------------------------

Normalization = Literal["none", "injection_volume"]
HemisphereRule = Literal["none", "subtract_contralateral", "flip_to_right", "flip_to_left", "fold_ipsilateral"]
BilateralRule = Literal["larger_side", "error", "leave_out"]
Statistic = Literal["mean", "sum", "sd", "sem", "min", "max", "n"]
MissingPolicy = Literal["error", "leave_out"]
ResultDtype = Literal["float32", "float64"]
GroupingField = Literal["primary_structure", "line", "sex", "product", "injected_hemisphere", "strain"]
BinMethod = Literal["equal_width", "quantile", "edges"]


@dataclass(frozen=True, slots=True)
class NormalizationRow:
    """What volumes are divided by.

    Attributes
    ----------
    words : str
        As an item in a list of rules, such as 'divided by injection volume'.
    description : str
        What the divisor is, for documents.
    unit_suffix : str
        Appended to the unit of the volume, such as ' per mm³ injected'.
    cf_unit : str or None
        Unit of a dimensionless quantity after the division; None leaves the unit unchanged.
    methods : str
        For the methods text of a citation, after the subject; '' if nothing is to be added.
    divisor : str or None
        Name of the divisor; None if nothing is divided.
    """

    name: Normalization
    words: str
    description: str
    unit_suffix: str
    cf_unit: str | None
    methods: str
    divisor: str | None
    synonyms: tuple[str, ...] = ()


NORMALIZATIONS: Mapping[str, NormalizationRow] = _rows(
    Normalization,
    [
        NormalizationRow(
            name="none",
            words="not normalized",
            description="1",
            unit_suffix="",
            cf_unit=None,
            methods="",
            divisor=None,
        ),
        NormalizationRow(
            name="injection_volume",
            words="divided by injection volume",
            description="the injection volume in mm³: `projection_volume` of the root (structure 997), "
            "both hemispheres, inside the injection; without unionize rows, the injection volume of the experiment "
            "list",
            unit_suffix=" per mm³ injected",
            cf_unit="mm-3",
            methods=", divided by the injection volume,",
            divisor="injection volume",
            # Brain Street View has two names for the same computation.
            synonyms=("injection_intensity",),
        ),
    ],
)


DivisorSource = Literal["list"]

DIVISOR_SOURCES: Mapping[str, WordRow[DivisorSource]] = _rows(
    DivisorSource, [WordRow("list", "the experiment list, because the store does not have the unionize rows")]
)
"""Source of a divisor that is not from the unionize rows."""


@dataclass(frozen=True, slots=True)
class HemisphereRuleRow:
    """How a volume is transformed according to its injected hemisphere.

    Attributes
    ----------
    words : str
        As an item in a list of rules.
    methods : str
        A sentence for the methods text of a citation.
    formula : str
        The result for a volume ``v`` at voxel ``x``, whose mirrored voxel is ``m(x)``; for documents.
    needs_side : bool
        Whether the injected hemisphere must be known.
    mirrored_side : {'left', 'right'} or None
        Volumes injected on this side are mirrored at the midline.
    subtracts : bool
        Whether the mirrored voxel is subtracted on the injected side, and the other side set to 0.
    is_folded : bool
        Whether the right half of the result is ipsilateral and the left half contralateral.
    """

    name: HemisphereRule
    words: str
    methods: str
    formula: str
    needs_side: bool = True
    mirrored_side: Hemisphere | None = None
    subtracts: bool = False
    is_folded: bool = False
    synonyms: tuple[str, ...] = ()


HEMISPHERE_RULES: Mapping[str, HemisphereRuleRow] = _rows(
    HemisphereRule,
    [
        HemisphereRuleRow(
            "none", "hemispheres as imaged", "Hemispheres were left as imaged.", "`v(x)`", needs_side=False
        ),
        HemisphereRuleRow(
            "subtract_contralateral",
            "other hemisphere subtracted",
            "On the injected side the mirrored voxel of the other side was subtracted.",
            "`v(x) - v(m(x))` in the injected hemisphere, 0 in the other one; NaN in both if either is NaN",
            subtracts=True,
            synonyms=("subtract_other_hemisphere",),
        ),
        HemisphereRuleRow(
            "flip_to_right",
            "left injections flipped to the right",
            "Volumes of left injections were mirrored at the midline.",
            "`v(m(x))` if the left hemisphere was injected, else `v(x)`",
            mirrored_side="left",
        ),
        HemisphereRuleRow(
            "flip_to_left",
            "right injections flipped to the left",
            "Volumes of right injections were mirrored at the midline.",
            "`v(m(x))` if the right hemisphere was injected, else `v(x)`",
            mirrored_side="right",
        ),
        HemisphereRuleRow(
            "fold_ipsilateral",
            "right half ipsilateral, left half contralateral",
            "Volumes were mirrored where needed, so that all injections lie on the right (ipsilateral).",
            "as `flip_to_right`; the right half is the ipsilateral hemisphere, the left half the contralateral one",
            mirrored_side="left",
            is_folded=True,
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class BilateralRuleRow:
    """What to do about experiments injected on both sides, if the hemisphere rule needs one side.

    Attributes
    ----------
    methods : str
        A sentence for the methods text of a citation; '' for none.
    """

    name: BilateralRule
    words: str
    methods: str = ""
    synonyms: tuple[str, ...] = ()


BILATERAL_RULES: Mapping[str, BilateralRuleRow] = _rows(
    BilateralRule,
    [
        BilateralRuleRow(
            "larger_side",
            "the side with the larger part of the injection counts",
            "The injected side was the hemisphere with the larger part of the injection.",
        ),
        BilateralRuleRow("error", "an error"),
        BilateralRuleRow(
            "leave_out",
            "left out, with the reason",
            "Experiments injected in both hemispheres were left out.",
            ("skip",),
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class MissingPolicyRow:
    """What to do about experiments without some data."""

    name: MissingPolicy
    words: str
    synonyms: tuple[str, ...] = ()


MISSING_POLICIES: Mapping[str, MissingPolicyRow] = _rows(
    MissingPolicy,
    [
        MissingPolicyRow("error", "an error", ("raise",)),
        MissingPolicyRow("leave_out", "left out, with the reason", ("skip",)),
    ],
)


@dataclass(frozen=True, slots=True)
class StatisticRow:
    """A statistic over the experiments of a group, per voxel.

    Attributes
    ----------
    words : str
        See `described` for averages, which may be weighted.
    formula : str
        Over the members counted at a voxel, with values ``v`` and weights ``w``; for documents.
    undefined : str
        Where it is NaN in a group with members; for documents.
    has_unit : bool
        Whether it has the unit of the volumes.
    is_count : bool
        Whether it counts experiments: whole numbers.
    can_be_negative : bool
        Whether it can be below 0 if values are.
    empty_value : float
        Its value in a group without experiments.
    needs_spread, needs_extremes : bool
        Which running sums it needs besides the plain one.
    weighted_words : str
        Of a weighted average; empty if they are the same.
    """

    name: Statistic
    words: str
    formula: str
    undefined: str
    has_unit: bool = True
    is_count: bool = False
    can_be_negative: bool = True
    empty_value: float = float("nan")
    needs_spread: bool = False
    needs_extremes: bool = False
    weighted_words: str = ""
    synonyms: tuple[str, ...] = ()

    def described(self, *, weighted: bool) -> str:
        """The statistic of an average in words."""
        return self.weighted_words or self.words if weighted else self.words


_NOT_COUNTED = "no member counted"

STATISTICS: Mapping[str, StatisticRow] = _rows(
    Statistic,
    [
        StatisticRow(
            "mean",
            "mean",
            "`Σ w v / Σ w`",
            _NOT_COUNTED,
            empty_value=0.0,
            weighted_words="weighted mean",
            synonyms=("average",),
        ),
        StatisticRow("sum", "sum", "`Σ w v`", _NOT_COUNTED, empty_value=0.0, synonyms=("total",)),
        StatisticRow(
            "sd",
            "standard deviation (n - 1)",
            "`sqrt(Σ w (v - mean)² / (Σ w - Σ w² / Σ w))`; without weights `Σ w - Σ w² / Σ w = n - 1`",
            "`n < 2`",
            can_be_negative=False,
            needs_spread=True,
            weighted_words="standard deviation (unbiased, with reliability weights)",
            synonyms=("std",),
        ),
        StatisticRow(
            "sem",
            "standard error of the mean",
            "`sd / sqrt((Σ w)² / Σ w²)`; without weights `sd / sqrt(n)`",
            "`n < 2`",
            can_be_negative=False,
            needs_spread=True,
        ),
        StatisticRow("min", "smallest value", "smallest `v`", _NOT_COUNTED, needs_extremes=True, synonyms=("minimum",)),
        StatisticRow("max", "largest value", "largest `v`", _NOT_COUNTED, needs_extremes=True, synonyms=("maximum",)),
        StatisticRow(
            "n",
            "number of experiments with data",
            "number of members counted",
            "never",
            has_unit=False,
            is_count=True,
            can_be_negative=False,
            empty_value=0.0,
            synonyms=("count",),
        ),
    ],
)

RESULT_DTYPES: Mapping[str, WordRow[ResultDtype]] = _rows(
    ResultDtype, [WordRow("float32", "single precision", ("f4",)), WordRow("float64", "double precision", ("f8",))]
)


@dataclass(frozen=True, slots=True)
class GroupingFieldRow:
    """A field of the catalog that experiments can be grouped by.

    Attributes
    ----------
    column : str
        Column of the view ``experiments``.
    null_label : str or None
        Label of the group of experiments without a value, which comes first; None if they are left out.
    label_prefix : str
        Precedes the value in a group's label.
    """

    name: GroupingField
    words: str
    column: str
    null_label: str | None = None
    label_prefix: str = ""
    synonyms: tuple[str, ...] = ()


GROUPING_FIELDS: Mapping[str, GroupingFieldRow] = _rows(
    GroupingField,
    [
        GroupingFieldRow(
            "primary_structure", "primary injection structure", "primary_structure", synonyms=("structure",)
        ),
        GroupingFieldRow(
            "line",
            "transgenic line",
            "transgenic_line",
            null_label="wild-type",
            synonyms=("transgenic_line", "mouse_line"),
        ),
        GroupingFieldRow("sex", "sex", "sex", synonyms=("gender",)),
        GroupingFieldRow(
            "product", "Allen product id", "product_id", label_prefix="product ", synonyms=("product_id",)
        ),
        GroupingFieldRow(
            "injected_hemisphere", "injected hemisphere", "injected_hemisphere", synonyms=("hemisphere", "side")
        ),
        GroupingFieldRow("strain", "strain", "strain"),
    ],
)


@dataclass(frozen=True, slots=True)
class BinMethodRow:
    """How coordinate bins are made."""

    name: BinMethod
    words: str
    synonyms: tuple[str, ...] = ()


BIN_METHODS: Mapping[str, BinMethodRow] = _rows(
    BinMethod,
    [
        BinMethodRow("equal_width", "bins of equal width"),
        BinMethodRow("quantile", "bins with about equal numbers of experiments", ("quantiles",)),
        BinMethodRow("edges", "bins between given edges"),
    ],
)

# -- comparisons ------------------------------------------------------------------------------------------------------

Covariate = Literal["injection_volume", "injection_ap", "injection_dv", "injection_ml"]
ComparisonMap = Literal["difference", "t", "p_permutation", "p_max_t", "p_cluster", "p_tfce"]
ComparisonOrder = Literal["p", "effect_size", "difference"]


@dataclass(frozen=True, slots=True)
class CovariateRow:
    """A property of experiments that a comparison can take into account.

    Attributes
    ----------
    axis : Axis or None
        Axis of an injection coordinate; None for other properties.
    """

    name: Covariate
    words: str
    unit: str
    axis: Axis | None = None
    synonyms: tuple[str, ...] = ()


COVARIATES: Mapping[str, CovariateRow] = _rows(
    Covariate,
    [
        CovariateRow("injection_volume", "injection volume", "mm3", synonyms=("volume",)),
        CovariateRow("injection_ap", "AP injection coordinate", "um", "AP", ("ap",)),
        CovariateRow("injection_dv", "DV injection coordinate", "um", "DV", ("dv",)),
        CovariateRow("injection_ml", "ML injection coordinate", "um", "ML", ("ml",)),
    ],
)


@dataclass(frozen=True, slots=True)
class ComparisonMapRow:
    """A map of a comparison: one value for each voxel, without groups.

    Attributes
    ----------
    has_unit : bool
        Whether it has the unit of the volumes.
    is_probability : bool
        Whether values lie in [0, 1].
    cluster : ClusterStatistic or None
        The method for which it exists; None for all.
    """

    name: ComparisonMap
    words: str
    has_unit: bool = False
    is_probability: bool = False
    cluster: ClusterStatistic | None = None
    synonyms: tuple[str, ...] = ()


COMPARISON_MAPS: Mapping[str, ComparisonMapRow] = _rows(
    ComparisonMap,
    [
        ComparisonMapRow("difference", "mean of the first group minus mean of the second", has_unit=True),
        ComparisonMapRow("t", "t statistic of the difference"),
        ComparisonMapRow("p_permutation", "two-sided p by permutation, not corrected", is_probability=True),
        ComparisonMapRow(
            "p_max_t",
            "two-sided p by permutation, corrected for all tested voxels by the maximum statistic",
            is_probability=True,
        ),
        ComparisonMapRow(
            "p_cluster",
            "p of the extent of the cluster, corrected for all clusters",
            is_probability=True,
            cluster="extent",
        ),
        ComparisonMapRow(
            "p_tfce", "p of threshold-free cluster enhancement, corrected", is_probability=True, cluster="tfce"
        ),
    ],
)

COMPARISON_ORDERS: Mapping[str, WordRow[ComparisonOrder]] = _rows(
    ComparisonOrder,
    [
        WordRow("p", "smallest p by permutation first, then the largest effect", ("p_permutation",)),
        WordRow("effect_size", "largest absolute effect size first", ("effect",)),
        WordRow("difference", "largest absolute difference first"),
    ],
)

# -- catalog ----------------------------------------------------------------------------------------------------------

SnapshotContent = Literal["structures", "experiments", "unionizes"]
ExperimentSourceKind = Literal["api", "csv", "csv_2016", "bundle"]
OntologySourceKind = Literal["api", "file", "csv", "bundle", "older"]
UnionizePart = Literal["injection", "projection"]
Sex = Literal["M", "F"]


@dataclass(frozen=True, slots=True)
class SnapshotContentRow:
    """What a snapshot of Allen's data contains.

    Attributes
    ----------
    subject : str
        As in the record of activities.
    is_complete : bool
        Whether a snapshot is complete, so that the newest one is current.
    """

    name: SnapshotContent
    words: str
    subject: str
    is_complete: bool
    synonyms: tuple[str, ...] = ()


SNAPSHOT_CONTENTS: Mapping[str, SnapshotContentRow] = _rows(
    SnapshotContent,
    [
        SnapshotContentRow("structures", "the structure ontology", "structures", is_complete=True),
        SnapshotContentRow("experiments", "a list of experiments", "experiments", is_complete=True),
        SnapshotContentRow("unionizes", "unionize tables", "unionize tables", is_complete=False),
    ],
)


@dataclass(frozen=True, slots=True)
class ExperimentSourceKindRow:
    """A kind of experiment list; the rows go from the most trusted kind to the least.

    Attributes
    ----------
    methods : str
        Origin of the list, for the methods text of a citation.
    fills_gaps : bool
        Whether its values replace missing values of a more trusted list, because both use the same registration.
    is_historic : bool
        Whether its coordinates are of an older registration, so that it is never the current list.
    is_partial : bool
        Whether it has some experiments only, so that a missing one says nothing. Its experiments are current until the
        store has a complete list.
    """

    name: ExperimentSourceKind
    words: str
    methods: str
    fills_gaps: bool = False
    is_historic: bool = False
    is_partial: bool = False
    synonyms: tuple[str, ...] = ()


EXPERIMENT_SOURCE_KINDS: Mapping[str, ExperimentSourceKindRow] = _rows(
    ExperimentSourceKind,
    [
        ExperimentSourceKindRow("api", "ApiConnectivity or the source search of the Allen API", "Allen API"),
        ExperimentSourceKindRow(
            "csv",
            "CSV export of the Allen web site in CCFv3 coordinates",
            "CSV export of the Allen web site",
            fills_gaps=True,
        ),
        ExperimentSourceKindRow(
            "csv_2016",
            "CSV export of 2016 in the older registration",
            "CSV export of the Allen web site, 2016",
            is_historic=True,
        ),
        ExperimentSourceKindRow(
            "bundle", "experiments of an imported dataset version", "imported bundle", is_partial=True
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class OntologySourceKindRow:
    """A kind of stored ontology.

    Attributes
    ----------
    is_current : bool
        Whether it is the current ontology until another one is ingested. Other kinds are only used for structures that
        no such ontology has.
    """

    name: OntologySourceKind
    words: str
    is_current: bool
    synonyms: tuple[str, ...] = ()


ONTOLOGY_SOURCE_KINDS: Mapping[str, OntologySourceKindRow] = _rows(
    OntologySourceKind,
    [
        OntologySourceKindRow("api", "structure graph of the Allen API", is_current=True),
        OntologySourceKindRow("file", "structure graph in a JSON file", is_current=True),
        OntologySourceKindRow("csv", "CSV file, whose acronyms and names lack their commas", is_current=False),
        OntologySourceKindRow("bundle", "ontology of the store that exported an imported version", is_current=False),
        OntologySourceKindRow("older", "ontology that was older than the current one when ingested", is_current=False),
    ],
)

SEXES: Mapping[str, WordRow[Sex]] = _rows(Sex, [WordRow("M", "male", ("male",)), WordRow("F", "female", ("female",))])


@dataclass(frozen=True, slots=True)
class UnionizePartRow:
    """A half of an experiment's unionize table: rows inside or outside the injection site."""

    name: UnionizePart
    words: str
    is_injection: bool
    synonyms: tuple[str, ...] = ()


UNIONIZE_PARTS: Mapping[str, UnionizePartRow] = _rows(
    UnionizePart,
    [
        UnionizePartRow("injection", "rows inside the injection site", is_injection=True),
        UnionizePartRow("projection", "rows outside the injection site", is_injection=False),
    ],
)

# -- datasets ---------------------------------------------------------------------------------------------------------

DatasetStanding = Literal[
    "computed",
    "imported, checked",
    "imported, trusted",
    "imported, not checked",
    "imported, not reproducible",
    "local",
]


@dataclass(frozen=True, slots=True)
class DatasetStandingRow:
    """Whether a dataset version was computed in this store or imported, and whether an imported one was checked.

    Attributes
    ----------
    can_answer : bool
        Whether `Store.aggregate` may return the version instead of computing the average.
    in_catalog : bool
        Whether versions of a catalog have it.
    """

    name: DatasetStanding
    words: str
    can_answer: bool = False
    in_catalog: bool = True
    synonyms: tuple[str, ...] = ()


DATASET_STANDINGS: Mapping[str, DatasetStandingRow] = _rows(
    DatasetStanding,
    [
        DatasetStandingRow("computed", "computed in this store", can_answer=True),
        DatasetStandingRow("imported, checked", "imported; recomputed here with the same result", can_answer=True),
        DatasetStandingRow("imported, trusted", "imported, not checked here; a user marked it as trusted"),
        DatasetStandingRow("imported, not checked", "imported, not checked: not recomputed here"),
        DatasetStandingRow(
            "imported, not reproducible", "imported, not reproducible: recomputed here with a different result"
        ),
        DatasetStandingRow(
            "local",
            "computed on this computer from a store on a server, which does not have it",
            can_answer=True,
            in_catalog=False,
        ),
    ],
)

# -- administration ---------------------------------------------------------------------------------------------------

JournalMode = Literal["rollback", "wal"]
ObjectKind = Literal["volume", "annotation", "template", "version"]


OBJECT_KINDS: Mapping[str, WordRow[ObjectKind]] = _rows(
    ObjectKind,
    [
        WordRow("volume", "volume"),
        WordRow("annotation", "annotation"),
        WordRow("template", "average template"),
        WordRow("version", "dataset version"),
    ],
)

TrashReason = Literal["deleted", "replaced", "duplicate", "orphan", "damaged"]

TRASH_REASONS: Mapping[str, WordRow[TrashReason]] = _rows(
    TrashReason,
    [
        WordRow("deleted", "a user deleted the dataset version"),
        WordRow("replaced", "another file took its place"),
        WordRow("duplicate", "another process had stored the same object"),
        WordRow("orphan", "the catalog does not name it"),
        WordRow("damaged", "it differs from what was stored"),
    ],
)

GarbageKind = Literal["orphan", "temporary", "trash", "leftover", "claims", "changes"]

GARBAGE_KINDS: Mapping[str, WordRow[GarbageKind]] = _rows(
    GarbageKind,
    [
        WordRow("orphan", "files that the catalog does not name; they move to the trash"),
        WordRow("temporary", "temporary files of processes that have ended; they are deleted"),
        WordRow("trash", "files whose days in the trash have passed; they are deleted"),
        WordRow("leftover", "records in the trash without a file; they are deleted"),
        WordRow("claims", "expired claims of downloads; their rows are deleted"),
        WordRow("changes", "counted changes of the catalog; their rows are deleted"),
    ],
)

Action = Literal[
    "created",
    "synced",
    "ingested",
    "fetched",
    "adopted",
    "computed",
    "exported",
    "cited",
    "imported",
    "tagged",
    "untagged",
    "deleted",
    "excluded",
    "included",
    "saved",
    "trusted",
    "configured",
    "upgraded",
    "downgraded",
    "stamped",
    "granted",
    "verified",
    "repaired",
    "collected",
    "evicted",
    "backed_up",
    "restored",
    "untrashed",
    "moved",
    "attached",
    "broke",
    "issued",
    "revoked",
]

ACTIONS: Mapping[str, WordRow[Action]] = _rows(
    Action,
    [
        WordRow("created", "created the store"),
        WordRow("synced", "updated the catalog from the Allen API"),
        WordRow("ingested", "stored a list, ontology, table, annotation or template from a file"),
        WordRow("fetched", "downloaded volumes"),
        WordRow("adopted", "copied a cache folder"),
        WordRow("computed", "computed a dataset version"),
        WordRow("exported", "exported a dataset version for the first time"),
        WordRow("cited", "cited a dataset version for the first time"),
        WordRow("imported", "imported a dataset version"),
        WordRow("tagged", "tagged a dataset version"),
        WordRow("untagged", "removed a tag"),
        WordRow("deleted", "deleted a dataset version"),
        WordRow("excluded", "put experiments on the exclusion list"),
        WordRow("included", "took experiments off the exclusion list"),
        WordRow("saved", "saved a selection"),
        WordRow("trusted", "marked an imported version as trusted"),
        WordRow("configured", "changed a setting of the store"),
        WordRow("upgraded", "upgraded the schema"),
        WordRow("downgraded", "downgraded the schema"),
        WordRow("stamped", "set the schema revision without a migration"),
        WordRow("granted", "granted access to the database"),
        WordRow("verified", "verified the store"),
        WordRow("repaired", "repaired the store"),
        WordRow("collected", "moved unused files to the trash, or purged the trash"),
        WordRow("evicted", "removed volumes to stay within a quota"),
        WordRow("backed_up", "took a snapshot of the store"),
        WordRow("restored", "restored the store from a backup"),
        WordRow("untrashed", "restored objects from the trash"),
        WordRow("moved", "moved the catalog to another database"),
        WordRow("attached", "attached a folder to the database"),
        WordRow("broke", "removed claims of another process"),
        WordRow("issued", "issued a token for clients of a server"),
        WordRow("revoked", "revoked a token of a server"),
    ],
)

AccessScope = Literal["read", "sql"]


@dataclass(frozen=True, slots=True)
class AccessScopeRow:
    """What a token of a server permits.

    Attributes
    ----------
    name : AccessScope
    words : str
    includes : tuple of AccessScope
        The scope itself and those that it includes.
    """

    name: AccessScope
    words: str
    includes: tuple[AccessScope, ...]
    synonyms: tuple[str, ...] = ()


ACCESS_SCOPES: Mapping[str, AccessScopeRow] = _rows(
    AccessScope,
    [
        AccessScopeRow("read", "everything except SQL queries", ("read",)),
        AccessScopeRow("sql", "everything, including SQL queries", ("read", "sql")),
    ],
)

JOURNAL_MODES: Mapping[str, WordRow[JournalMode]] = _rows(
    JournalMode,
    [
        WordRow("rollback", "SQLite's rollback journal: readers and writers wait for each other", ("delete",)),
        WordRow("wal", "SQLite's write-ahead log: only writers wait, and only for each other"),
    ],
)

SchemaAction = Literal["created", "upgraded", "downgraded", "stamped"]

SCHEMA_ACTIONS: Mapping[str, WordRow[SchemaAction]] = _rows(
    SchemaAction,
    [
        WordRow("created", "created the schema"),
        WordRow("upgraded", "ran migrations to a later revision"),
        WordRow("downgraded", "ran migrations to an earlier revision"),
        WordRow("stamped", "set the revision without a migration"),
    ],
)

# -- settings and checks of the environment ----------------------------------------------------------------------------

SettingName = Literal[
    "store",
    "api_url",
    "download_url",
    "netrc",
    "http_hosts",
    "log_file",
    "log_level",
    "log_format",
    "progress",
    "group",
    "file_mode",
    "directory_mode",
    "trash_days",
    "sql_timeout",
    "max_connections",
    "fetch_workers",
    "cache",
    "cache_max_bytes",
]
SettingType = Literal[
    "path",
    "url",
    "hosts",
    "log_level",
    "log_format",
    "progress",
    "group",
    "file_mode",
    "directory_mode",
    "days",
    "seconds",
    "size",
    "connections",
]
SettingPlace = Literal["argument", "environment", "store.toml", "user file", "system file", "default"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
ProgressDisplay = Literal["auto", "on", "off"]

LOG_LEVELS: Mapping[str, WordRow[LogLevel]] = _rows(
    LogLevel,
    [
        WordRow("debug", "everything"),
        WordRow("info", "commands, waits and everything below"),
        WordRow("warning", "retries, failed downloads, warnings and everything below"),
        WordRow("error", "errors"),
    ],
)

LOG_FORMATS: Mapping[str, WordRow[LogFormat]] = _rows(
    LogFormat, [WordRow("text", "one line for each record"), WordRow("json", "one JSON object for each record")]
)

PROGRESS_DISPLAYS: Mapping[str, WordRow[ProgressDisplay]] = _rows(
    ProgressDisplay,
    [
        WordRow("auto", "in notebooks and terminals"),
        WordRow("on", "always"),
        WordRow("off", "never"),
    ],
)

SETTING_PLACES: Mapping[str, WordRow[SettingPlace]] = _rows(
    SettingPlace,
    [
        WordRow("argument", "an argument or an option of the command line"),
        WordRow("environment", "an environment variable"),
        WordRow("store.toml", "the store's description, for all users of the store"),
        WordRow("user file", "the user's configuration file"),
        WordRow("system file", "the configuration file of this computer"),
        WordRow("default", "the default"),
    ],
)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting.

    Attributes
    ----------
    type : SettingType
    words : str
        What it sets.
    default : str, int, float or None
        None if nothing is set by default, or the default depends on the platform.
    option : str or None
        The option of the command line that sets it for one command.
    variable : str or None
        The environment variable.
    in_store, in_files : bool
        Whether it may be set in ``store.toml``, and in the configuration files of users and computers.
    """

    name: SettingName
    type: SettingType
    words: str
    default: str | int | float | None = None
    option: str | None = None
    variable: str | None = None
    in_store: bool = False
    in_files: bool = False
    synonyms: tuple[str, ...] = ()


SETTINGS: Mapping[str, SettingRow] = _rows(
    SettingName,
    [
        SettingRow("store", "path", "the folder or address of the store", None, "--store", "BSV_STORE", in_files=True),
        SettingRow(
            "api_url",
            "url",
            "the address of the Allen API",
            "https://api.brain-map.org",
            "--api-url",
            "BSV_STORE_API_URL",
            in_store=True,
            in_files=True,
        ),
        SettingRow(
            "download_url",
            "url",
            "the address of Allen's file server",
            "https://download.alleninstitute.org",
            "--download-url",
            "BSV_STORE_DOWNLOAD_URL",
            in_store=True,
            in_files=True,
        ),
        SettingRow(
            "netrc", "path", "the netrc file with passwords for mirrors", None, None, "BSV_STORE_NETRC", in_files=True
        ),
        SettingRow(
            "http_hosts",
            "hosts",
            "the hosts whose stores may be read over http, without encryption",
            None,
            None,
            "BSV_STORE_HTTP_HOSTS",
            in_files=True,
        ),
        SettingRow("log_file", "path", "the log file", None, "--log-file", "BSV_STORE_LOG_FILE", in_files=True),
        SettingRow(
            "log_level",
            "log_level",
            "the lowest level of the records in the log",
            "info",
            "--log-level",
            "BSV_STORE_LOG_LEVEL",
            in_files=True,
        ),
        SettingRow(
            "log_format",
            "log_format",
            "the format of the log",
            "text",
            "--log-format",
            "BSV_STORE_LOG_FORMAT",
            in_files=True,
        ),
        SettingRow(
            "progress", "progress", "where progress bars are shown", "auto", None, "BSV_STORE_PROGRESS", in_files=True
        ),
        SettingRow("group", "group", "the group of all files and folders", None, None, None, in_store=True),
        SettingRow("file_mode", "file_mode", "the permissions of files", "0664", None, None, in_store=True),
        SettingRow("directory_mode", "directory_mode", "the permissions of folders", "2775", None, None, in_store=True),
        SettingRow(
            "trash_days", "days", "the time that files stay in the trash, in days", 30, None, None, in_store=True
        ),
        SettingRow(
            "sql_timeout",
            "seconds",
            "the timeout of `bsv-store sql`, in seconds",
            60.0,
            "--timeout",
            None,
            in_store=True,
        ),
        SettingRow(
            "max_connections",
            "connections",
            "the connections to one host that all runs on a store share",
            16,
            None,
            None,
            in_store=True,
        ),
        SettingRow(
            "fetch_workers",
            "connections",
            "the number of simultaneous downloads of a run",
            4,
            "--workers",
            None,
            in_store=True,
            in_files=True,
        ),
        SettingRow(
            "cache", "path", "the folder of the cache of remote stores", None, None, "BSV_STORE_CACHE", in_files=True
        ),
        SettingRow(
            "cache_max_bytes",
            "size",
            "the size above which the least recently used files leave the cache",
            20_000_000_000,
            None,
            "BSV_STORE_CACHE_MAX_BYTES",
            in_files=True,
        ),
    ],
)

DoctorOutcome = Literal["ok", "note", "warning", "fault"]
DoctorArea = Literal["store", "folder", "database", "environment", "upstream"]
DoctorCheck = Literal[
    "chosen_store",
    "settings",
    "store_file",
    "file_system",
    "user",
    "umask",
    "write",
    "rename",
    "hard_link",
    "fsync",
    "locks",
    "setgid",
    "permissions",
    "file_clock",
    "space",
    "inodes",
    "connection",
    "latency",
    "server_version",
    "server_settings",
    "database_clock",
    "privileges",
    "schema",
    "same_store",
    "journal",
    "python",
    "packages",
    "hdf5",
    "sqlite",
    "compiled_loop",
    "proxy",
    "api",
    "file_server",
]

DOCTOR_OUTCOMES: Mapping[str, WordRow[DoctorOutcome]] = _rows(
    DoctorOutcome,
    [
        WordRow("ok", "works"),
        WordRow("note", "not a fault, or could not be tried"),
        WordRow("warning", "works, but with a risk"),
        WordRow("fault", "does not work"),
    ],
)


@dataclass(frozen=True, slots=True)
class DoctorCheckRow:
    """A check of the environment of a store.

    Attributes
    ----------
    area : DoctorArea
    words : str
        What is checked.
    """

    name: DoctorCheck
    area: DoctorArea
    words: str
    synonyms: tuple[str, ...] = ()


DOCTOR_CHECKS: Mapping[str, DoctorCheckRow] = _rows(
    DoctorCheck,
    [
        DoctorCheckRow("chosen_store", "store", "which folder is the store, and why"),
        DoctorCheckRow("settings", "store", "the settings and where they come from"),
        DoctorCheckRow("store_file", "store", "store.toml can be read and is valid"),
        DoctorCheckRow("file_system", "folder", "the kind of file system"),
        DoctorCheckRow("user", "folder", "who the user is, and what the user may do in the folder"),
        DoctorCheckRow("umask", "folder", "the umask of the user"),
        DoctorCheckRow("write", "folder", "files can be written and read back"),
        DoctorCheckRow("rename", "folder", "a rename replaces a file"),
        DoctorCheckRow("hard_link", "folder", "hard links can be created"),
        DoctorCheckRow("fsync", "folder", "files and folders can be flushed to the disk"),
        DoctorCheckRow("locks", "folder", "a SQLite lock of one process stops another"),
        DoctorCheckRow("setgid", "folder", "new files get the group of the folder"),
        DoctorCheckRow("permissions", "folder", "group and permissions of the store's folders"),
        DoctorCheckRow("file_clock", "folder", "the clock of the file server agrees"),
        DoctorCheckRow("space", "folder", "free disk space"),
        DoctorCheckRow("inodes", "folder", "free inodes"),
        DoctorCheckRow("connection", "database", "the database can be reached"),
        DoctorCheckRow("latency", "database", "the time of a query"),
        DoctorCheckRow("server_version", "database", "the version of the database"),
        DoctorCheckRow("server_settings", "database", "the settings of the database"),
        DoctorCheckRow("database_clock", "database", "the clock of the database agrees"),
        DoctorCheckRow("privileges", "database", "what the account may do"),
        DoctorCheckRow("schema", "database", "the schema is the one of this version"),
        DoctorCheckRow("same_store", "database", "folder and database belong together"),
        DoctorCheckRow("journal", "database", "the journal of SQLite"),
        DoctorCheckRow("python", "environment", "the version of Python"),
        DoctorCheckRow("packages", "environment", "the versions of required packages"),
        DoctorCheckRow("hdf5", "environment", "the versions of HDF5 and h5py"),
        DoctorCheckRow("sqlite", "environment", "the version of SQLite"),
        DoctorCheckRow("compiled_loop", "environment", "the compiled loop of averages is installed"),
        DoctorCheckRow("proxy", "upstream", "proxies and certificates"),
        DoctorCheckRow("api", "upstream", "the Allen API can be reached"),
        DoctorCheckRow("file_server", "upstream", "Allen's file server can be reached"),
    ],
)

VerifyDepth = Literal["quick", "deep", "decode"]

VERIFY_DEPTHS: Mapping[str, WordRow[VerifyDepth]] = _rows(
    VerifyDepth,
    [
        WordRow("quick", "presence, size, type and permissions of every file"),
        WordRow("deep", "every byte of every file, and every row of the catalog"),
        WordRow("decode", "as deep, and every volume decoded and compared with the catalog"),
    ],
)
"""How thoroughly objects are verified; each depth includes the ones before it."""

FindingKind = Literal[
    "missing",
    "wrong_size",
    "wrong_type",
    "unreadable",
    "damaged_file",
    "damaged_content",
    "implausible",
    "wrong_permissions",
    "damaged_catalog",
    "broken_reference",
    "inconsistent_rows",
    "wrong_fingerprint",
    "orphan",
    "foreign_file",
    "temporary",
    "contradictory_table",
    "changed_inputs",
    "outdated_annotation",
]


@dataclass(frozen=True, slots=True)
class FindingKindRow:
    """A kind of finding of `verify`.

    Attributes
    ----------
    words : str
        What is wrong, for tables.
    is_damage : bool
        Whether the store is not as it should be. Other findings are for information.
    meaning : str
        One sentence, for the documentation.
    """

    name: FindingKind
    words: str
    is_damage: bool
    meaning: str
    synonyms: tuple[str, ...] = ()


FINDING_KINDS: Mapping[str, FindingKindRow] = _rows(
    FindingKind,
    [
        FindingKindRow("missing", "missing", True, "A file that the catalog lists does not exist."),
        FindingKindRow("wrong_size", "wrong size", True, "A file does not have the recorded size."),
        FindingKindRow("wrong_type", "wrong type", True, "A path of a file is a folder, a symbolic link or a device."),
        FindingKindRow(
            "unreadable", "unreadable", True, "A file cannot be read: its permissions or the disk prevent it."
        ),
        FindingKindRow("damaged_file", "damaged file", True, "The bytes of a file are not the ones that were stored."),
        FindingKindRow(
            "damaged_content",
            "damaged content",
            True,
            "The bytes are as recorded, but the decoded content is not the recorded one.",
        ),
        FindingKindRow(
            "implausible", "implausible", True, "A volume contradicts the catalog or other volumes of its experiment."
        ),
        FindingKindRow(
            "wrong_permissions",
            "wrong permissions",
            True,
            "A file or folder has fewer permissions than the store gives, so that other users may be locked out.",
        ),
        FindingKindRow(
            "damaged_catalog", "damaged catalog", True, "Rows of the database differ from what was stored, or are lost."
        ),
        FindingKindRow(
            "broken_reference", "broken reference", True, "A row refers to another one that does not exist or match."
        ),
        FindingKindRow("inconsistent_rows", "inconsistent rows", True, "Rows of the database contradict each other."),
        FindingKindRow(
            "wrong_fingerprint",
            "wrong fingerprint",
            True,
            "The recorded recipe and inputs of a dataset version do not have its fingerprint.",
        ),
        FindingKindRow(
            "orphan", "orphan", False, "A file of the store that the catalog does not list, as after an aborted run."
        ),
        FindingKindRow(
            "foreign_file", "foreign file", False, "A file in the store's folders that is not a file of it."
        ),
        FindingKindRow("temporary", "temporary", False, "A temporary file that an aborted run left."),
        FindingKindRow(
            "contradictory_table",
            "contradictory table",
            False,
            "Columns or rows of a stored unionize table do not follow from the others, as they do in Allen's tables.",
        ),
        FindingKindRow(
            "changed_inputs",
            "changed inputs",
            False,
            "Volumes of which a version is the average have been replaced or removed since.",
        ),
        FindingKindRow(
            "outdated_annotation",
            "outdated annotation",
            False,
            "An annotation was derived from a finer one that the store no longer has.",
        ),
    ],
)

RepairAction = Literal[
    "set_permissions", "restore_copy", "record", "fetch", "derive", "rebuild", "correct", "drop", "none"
]

REPAIR_ACTIONS: Mapping[str, WordRow[RepairAction]] = _rows(
    RepairAction,
    [
        WordRow("set_permissions", "set the permissions of the store"),
        WordRow("restore_copy", "restore it from a copy of the same bytes in the store"),
        WordRow("record", "check the file that the catalog does not list, and record it"),
        WordRow("fetch", "download it again"),
        WordRow("derive", "derive it again from the finer annotation"),
        WordRow("rebuild", "compute it again from its recorded inputs"),
        WordRow("correct", "correct the row"),
        WordRow("drop", "remove the row, because there is no file"),
        WordRow("none", "not repaired automatically"),
    ],
)

# -- acquisition ------------------------------------------------------------------------------------------------------

OwnerState = Literal["alive", "ended", "unknown"]
CacheLayout = Literal["bsv", "allensdk"]
AnnotationOutcome = Literal["fetched", "recovered", "checked", "present", "added", "replaced"]
AnnotationOrigin = Literal["allen", "like_allen", "other", "unchecked"]

OWNER_STATES: Mapping[str, WordRow[OwnerState]] = _rows(
    OwnerState,
    [
        WordRow("alive", "the process runs"),
        WordRow("ended", "the process has certainly ended: its claims are taken over at once"),
        WordRow("unknown", "the process cannot be seen from here: its claims expire"),
    ],
)

CACHE_LAYOUTS: Mapping[str, WordRow[CacheLayout]] = _rows(
    CacheLayout,
    [
        WordRow("bsv", "Brain Street View", ("brain_street_view",)),
        WordRow("allensdk", "AllenSDK"),
    ],
)

ANNOTATION_OUTCOMES: Mapping[str, WordRow[AnnotationOutcome]] = _rows(
    AnnotationOutcome,
    [
        WordRow("fetched", "fetched"),
        WordRow("recovered", "recovered from an interrupted run"),
        WordRow("checked", "already present, now compared with Allen's"),
        WordRow("present", "already present"),
        WordRow("added", "added"),
        WordRow("replaced", "added in place of another one"),
    ],
)

TemplateOutcome = Literal["fetched", "recovered", "present", "added", "replaced"]

TEMPLATE_OUTCOMES: Mapping[str, WordRow[TemplateOutcome]] = _rows(
    TemplateOutcome,
    [
        WordRow("fetched", "fetched"),
        WordRow("recovered", "recovered from an interrupted run"),
        WordRow("present", "already present"),
        WordRow("added", "added"),
        WordRow("replaced", "added in place of another one"),
    ],
)

TemplateDtype = Literal["uint16", "float32"]


@dataclass(frozen=True, slots=True)
class TemplateDtypeRow:
    """A type of the numbers of stored templates.

    Attributes
    ----------
    name : TemplateDtype
    words : str
        For messages.
    code : str
        NumPy's code, little-endian.
    synonyms : tuple of str
        Other spellings that are accepted.
    """

    name: TemplateDtype
    words: str
    code: str
    synonyms: tuple[str, ...] = ()


TEMPLATE_DTYPES: Mapping[str, TemplateDtypeRow] = _rows(
    TemplateDtype,
    [
        TemplateDtypeRow("uint16", "integers from 0 to 65,535, as in Allen's files", "<u2"),
        TemplateDtypeRow("float32", "numbers with fractions", "<f4"),
    ],
)

# -- plausibility of volumes ------------------------------------------------------------------------------------------

PlausibilityCheck = Literal[
    "values",
    "amount",
    "hemisphere",
    "position",
    "structures",
    "energies",
    "coverage",
    "other_kinds",
    "other_spacings",
]


@dataclass(frozen=True, slots=True)
class PlausibilityCheckRow:
    """A check of a volume against its kind, the catalog, or other volumes of its experiment.

    Attributes
    ----------
    words : str
        The compared quantity.
    tolerance : float
        Largest deviation that is not a contradiction.
    usual : float
        Largest deviation expected of the correct volume; used to decide between two volumes within the tolerance.
    deviation : str
        Definition of the deviation.
    measured : str
        Deviations of real volumes.
    is_independent : bool
        Whether the check depends on the catalog only, not on other volumes or the kind.
    """

    name: PlausibilityCheck
    words: str
    tolerance: float
    usual: float
    deviation: str
    measured: str
    is_independent: bool
    synonyms: tuple[str, ...] = ()


PLAUSIBILITY_CHECKS: Mapping[str, PlausibilityCheckRow] = _rows(
    PlausibilityCheck,
    [
        PlausibilityCheckRow(
            name="values",
            words="the distribution of the values",
            tolerance=0.0,
            usual=0.0,
            deviation="1 if outside the bounds of the kind, else 0",
            measured="0 for the 7 real volumes",
            is_independent=False,
        ),
        PlausibilityCheckRow(
            name="amount",
            words="the sum of the volume, times the voxel volume and 1.1025, and the volume in the catalog",
            tolerance=0.1,
            usual=0.002,
            deviation=(
                "relative difference; allows for signal outside the brain, which the tables do not include, and for "
                "voxels at its surface"
            ),
            measured=(
                "3e-8 to 8e-4 for three injection densities, 2e-4 for the projection density of 158375425; the "
                "injection volumes are equal in the lists of 2019 and 2020 and in 40 tables"
            ),
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="hemisphere",
            words="the fraction of the sum in the injected hemisphere",
            tolerance=0.25,
            usual=0.01,
            deviation="amount by which it falls below the fraction in the catalog, or below 0.5 if that is unknown",
            measured="the fraction is 0.95 for the projection of 158375425 and 0.72 to 0.98 in 40 real tables",
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="position",
            words="the distance of the injection coordinate from the nearest voxel of the injection",
            tolerance=400.0,
            usual=100.0,
            deviation="um",
            measured="0 for the injection densities of three experiments",
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="structures",
            words="the signal in the largest structures, by hemisphere, and in the unionize table",
            tolerance=0.3,
            usual=0.05,
            deviation=(
                "difference of the two fractions of the signal, relative to the larger one, that the voxels at the "
                "border of the structure cannot explain"
            ),
            measured=(
                "2e-4 for the root of 158375425, the only table with a projection density; 0 between real grids of "
                "25 um and their means over 100 um with an annotation at 25 um, 0.05 with one at 100 um"
            ),
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="energies",
            words="the energy in the largest structures, by hemisphere, and in the unionize table",
            tolerance=0.5,
            usual=0.05,
            deviation="as for structures",
            measured="not measured: no projection energy was available",
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="coverage",
            words="the fraction of structures with valid data, by hemisphere, and in the unionize table",
            tolerance=0.1,
            usual=0.015,
            deviation="difference of the two fractions",
            measured=(
                "not measured for a mask and its table, which were never available together; up to 0.02 between the "
                "means of real masks over 100 um and 25 um"
            ),
            is_independent=True,
        ),
        PlausibilityCheckRow(
            name="other_kinds",
            words="the other volumes of the experiment",
            tolerance=0.01,
            usual=1e-06,
            deviation="fraction of the signal that exceeds what another volume allows",
            measured="0 for the four kinds of 158375425",
            is_independent=False,
        ),
        PlausibilityCheckRow(
            name="other_spacings",
            words="the same kind at another spacing",
            tolerance=0.1,
            usual=0.002,
            deviation="relative difference of the sums of the hemispheres",
            measured="not measured: no kind was available at two spacings",
            is_independent=False,
        ),
    ],
)
"""The tolerances are much wider than the deviations of real volumes, because users cannot override a refusal, few real
volumes could be measured, and labs also store grids that they made or simplified under the ids of real experiments."""

ANNOTATION_ORIGINS: Mapping[str, WordRow[AnnotationOrigin]] = _rows(
    AnnotationOrigin,
    [
        WordRow("allen", "Allen's annotation of 2017"),
        WordRow("like_allen", "structures match Allen's annotation of 2017 in position, content differs"),
        WordRow("other", "not Allen's"),
        WordRow("unchecked", "not compared with Allen's"),
    ],
)
"""How an annotation relates to Allen's of 2017, most trusted first."""

# -- figures ----------------------------------------------------------------------------------------------------------

Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class ThemeRow:
    """The colors of a figure.

    Attributes
    ----------
    background, ink, muted, line : str
        Background; titles and labels; notes; outlines of structures.
    no_data : str
        Voxels without data, as opposed to 0.
    warning : str
        Warnings, and nothing else.
    signal : str
        Matplotlib's color map for values from 0.
    difference : str
        Matplotlib's color map for values of both signs.
    """

    name: Theme
    words: str
    background: str
    ink: str
    muted: str
    line: str
    no_data: str
    warning: str
    signal: str
    difference: str
    synonyms: tuple[str, ...] = ()


THEMES: Mapping[str, ThemeRow] = _rows(
    Theme,
    [
        ThemeRow(
            name="light",
            words="on white, for papers",
            background="#ffffff",
            ink="#1a1a1a",
            muted="#6b7280",
            line="#6b7280",
            no_data="#c3c8d0",
            warning="#b42318",
            signal="magma_r",
            difference="RdBu_r",
        ),
        ThemeRow(
            name="dark",
            words="on black, for slides",
            background="#0b0d10",
            ink="#f3f4f6",
            muted="#9aa4b2",
            line="#9aa4b2",
            no_data="#4b5563",
            warning="#ff8a80",
            signal="inferno",
            difference="berlin",
        ),
    ],
)


# -- published tables -------------------------------------------------------------------------------------------------

PublishedTable = Literal["knox_2019_table_1", "allensdk_notebook", "oh_2014"]


@dataclass(frozen=True, slots=True)
class PublishedTableRow:
    """Published counts that ``reproduce`` compares with the catalog.

    Attributes
    ----------
    words : str
        What is counted.
    citation : str
        Where the counts were published.
    source : str
        Where they, and the lists of experiments behind them, can be read.
    """

    name: PublishedTable
    words: str
    citation: str
    source: str
    synonyms: tuple[str, ...] = ()


PUBLISHED_TABLES: Mapping[str, PublishedTableRow] = _rows(
    PublishedTable,
    [
        PublishedTableRow(
            "knox_2019_table_1",
            "wild-type experiments by major division, without 63 that the authors excluded",
            "Knox JE et al. (2019). High-resolution data-driven model of the mouse connectome. Network Neuroscience "
            "3(1), 217-236. doi:10.1162/netn_a_00066",
            "Table 1; docs/experiments_exclude.json and docs/experiments_included.json in "
            "https://github.com/AllenInstitute/mouse_connectivity_models",
            ("knox_2019", "knox"),
        ),
        PublishedTableRow(
            "allensdk_notebook",
            "experiments that AllenSDK's notebook on mouse connectivity counts",
            "Allen Institute for Brain Science. AllenSDK, notebook mouse_connectivity.",
            "https://allensdk.readthedocs.io/en/latest/_static/examples/nb/mouse_connectivity.html",
            ("allensdk",),
        ),
        PublishedTableRow(
            "oh_2014",
            "wild-type injections of the first connectome",
            "Oh SW et al. (2014). A mesoscale connectome of the mouse brain. Nature 508, 207-214. "
            "doi:10.1038/nature13186",
            "Supplementary Table 2",
            ("oh",),
        ),
    ],
)

# What determines the color of injection sites.
InjectionColor = Literal["group", "structure", "line"]
# The order of rows and columns of the matrix heat map.
MatrixOrder = Literal["ontology", "cluster"]
MatrixScale = Literal["linear", "log"]
# How signal is drawn in the 3-D view.
SignalStyle = Literal["surface", "points"]

INJECTION_COLORS: Mapping[str, WordRow[InjectionColor]] = _rows(
    InjectionColor,
    [
        WordRow("group", "group of a dataset version or of a grouping", ("groups",)),
        WordRow("structure", "primary injection structure, in Allen's colors", ("structures", "region")),
        WordRow("line", "transgenic line", ("lines",)),
    ],
)
MATRIX_ORDERS: Mapping[str, WordRow[MatrixOrder]] = _rows(
    MatrixOrder,
    [
        WordRow("ontology", "order of the ontology, with separators between divisions"),
        WordRow("cluster", "similar rows and columns side by side (average linkage of correlations)", ("clustered",)),
    ],
)
MATRIX_SCALES: Mapping[str, WordRow[MatrixScale]] = _rows(
    MatrixScale,
    [WordRow("linear", "linear from 0"), WordRow("log", "logarithmic; 0 has the color of the lowest value")],
)
SIGNAL_STYLES: Mapping[str, WordRow[SignalStyle]] = _rows(
    SignalStyle,
    [
        WordRow("surface", "surfaces of equal signal", ("surfaces", "isosurface")),
        WordRow("points", "points in the voxels with signal", ("point",)),
    ],
)

# -- statistical tests ------------------------------------------------------------------------------------------------

TwoSampleStatistic = Literal["welch", "student"]
EffectSize = Literal["hedges_g", "cohens_d"]
ClusterStatistic = Literal["none", "extent", "tfce"]


@dataclass(frozen=True, slots=True)
class TwoSampleStatisticRow:
    """A statistic that compares two groups.

    Attributes
    ----------
    words : str
    methods : str
        As in the methods section of a paper.
    allows_covariates : bool
    """

    name: TwoSampleStatistic
    words: str
    methods: str
    allows_covariates: bool
    synonyms: tuple[str, ...] = ()


TWO_SAMPLE_STATISTICS: Mapping[str, TwoSampleStatisticRow] = _rows(
    TwoSampleStatistic,
    [
        TwoSampleStatisticRow(
            "welch", "Welch's t, for groups of unequal variance", "Welch's t test", False, ("unequal",)
        ),
        TwoSampleStatisticRow(
            "student", "Student's t, with the pooled variance", "Student's t test", True, ("pooled",)
        ),
    ],
)


@dataclass(frozen=True, slots=True)
class EffectSizeRow:
    """A standardized difference of two means.

    Attributes
    ----------
    title : str
        As in the heading of a column or the label of an axis.
    symbol : str
        As in a narrow table.
    """

    name: EffectSize
    words: str
    title: str
    symbol: str
    synonyms: tuple[str, ...] = ()


EFFECT_SIZES: Mapping[str, EffectSizeRow] = _rows(
    EffectSize,
    [
        EffectSizeRow(
            "hedges_g",
            "difference in pooled standard deviations, corrected for small samples",
            "Hedges' g",
            "g",
            ("hedges", "g"),
        ),
        EffectSizeRow("cohens_d", "difference in pooled standard deviations", "Cohen's d", "d", ("cohen", "d")),
    ],
)
CLUSTER_STATISTICS: Mapping[str, WordRow[ClusterStatistic]] = _rows(
    ClusterStatistic,
    [
        WordRow("none", "single voxels only"),
        WordRow("extent", "number of voxels of a cluster above a threshold of t", ("cluster_extent", "size")),
        WordRow("tfce", "threshold-free cluster enhancement"),
    ],
)

Plane = Literal["coronal", "sagittal", "horizontal"]
ColorScale = Literal["linear", "log", "power"]


@dataclass(frozen=True, slots=True)
class PlaneRow:
    """An orientation of planes, and how they are drawn.

    Attributes
    ----------
    across : Axis
        The axis along which the position of a plane is given.
    right, down : Axis
        The axes that point to the right and down in a figure: the left hemisphere is on the left, anterior is up or
        on the left.
    """

    name: Plane
    words: str
    across: Axis
    right: Axis
    down: Axis
    synonyms: tuple[str, ...] = ()


PLANES: Mapping[str, PlaneRow] = _rows(
    Plane,
    [
        PlaneRow("coronal", "coronal planes, dorsal up", "AP", "ML", "DV", synonyms=("frontal",)),
        PlaneRow("sagittal", "sagittal planes, anterior on the left", "ML", "AP", "DV"),
        PlaneRow("horizontal", "horizontal planes, anterior up", "DV", "ML", "AP", synonyms=("axial", "transverse")),
    ],
)

COLOR_SCALES: Mapping[str, WordRow[ColorScale]] = _rows(
    ColorScale,
    [
        WordRow("linear", "colors proportional to the values"),
        WordRow("log", "colors proportional to the logarithm of the values", ("logarithmic",)),
        WordRow("power", "colors proportional to a power of the values, which shows weak signal", ("gamma",)),
    ],
)
