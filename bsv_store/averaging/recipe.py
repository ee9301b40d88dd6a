"""The question that a dataset version answers, as a value with one canonical text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from bsv_store.averaging.grouping.grouping import Grouping, NoGrouping, grouping_from_json
from bsv_store.averaging.hemisphere import BilateralPolicy, HemisphereRule, bilateral_policy, hemisphere_rule
from bsv_store.averaging.kernel.accumulator import checked_dtype, checked_statistics
from bsv_store.averaging.kernel.statistics import Statistic
from bsv_store.catalog.selection.selection import Selection
from bsv_store.check import text
from bsv_store.errors import RecipeError
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import VolumeKind, volume_kind

Normalization = Literal["none", "injection_volume"]
MissingPolicy = Literal["error", "leave_out"]
ResultDtype = Literal["float32", "float64"]

NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)
MISSING_POLICIES: tuple[MissingPolicy, ...] = get_args(MissingPolicy)
RECIPE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Which experiments are averaged, how, into which groups. Names may be written with hyphens.

    Attributes
    ----------
    selection : Selection
    kind : VolumeKind
    spacing_um : int
        10, 25, 50 or 100.
    grouping : Grouping
    normalize : {'none', 'injection_volume'}
        'injection_volume' divides each volume by its injection volume in mm3.
    hemisphere_rule : HemisphereRule
        What becomes of the two hemispheres, see `HemisphereRule`.
    bilateral_rule : {'larger_side', 'error', 'leave_out'}
        What becomes of experiments injected on both sides where the hemisphere rule needs one side.
    exclude_injection : bool
        Do not count voxels that the injection site touches (injection fraction above 0).
    weight_by_data_mask : bool
        Weight every voxel by the fraction of it that has data.
    statistics : tuple of {'mean', 'sd', 'sem', 'min', 'max', 'n'}
        The mean always comes with them.
    missing : {'error', 'leave_out'}
        What becomes of experiments that lack a volume or an injection volume, or whose injected side is not known.
    dtype : {'float32', 'float64'}
        Of the result; sums are float64 in any case.

    Raises
    ------
    RecipeError, InputError
        On anything unknown, with the valid values.
    """

    selection: Selection
    kind: VolumeKind = "projection_density"
    spacing_um: int = 100
    grouping: Grouping = field(default_factory=NoGrouping)
    normalize: Normalization = "none"
    hemisphere_rule: HemisphereRule = "none"
    bilateral_rule: BilateralPolicy = "larger_side"
    exclude_injection: bool = False
    weight_by_data_mask: bool = False
    statistics: tuple[Statistic, ...] = ("mean",)
    missing: MissingPolicy = "error"
    dtype: ResultDtype = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.selection, Selection):
            raise RecipeError(f"{self.selection!r} is not a Selection", hint="Build one with bsv_store.Selection.")
        if not isinstance(self.grouping, Grouping):
            raise RecipeError(
                f"{self.grouping!r} is not a grouping", hint="Use by_coordinate, by_region, by_field or crossed."
            )
        Grid(self.spacing_um)
        checked: dict[str, Any] = {
            "kind": volume_kind(text("kind", self.kind, such_as="projection_density", error=RecipeError)),
            "normalize": _one_of("normalization", self.normalize, NORMALIZATIONS),
            "hemisphere_rule": hemisphere_rule(self.hemisphere_rule),
            "bilateral_rule": bilateral_policy(self.bilateral_rule),
            "statistics": checked_statistics(self.statistics),
            "missing": _one_of("policy for missing data", self.missing, MISSING_POLICIES),
            "dtype": checked_dtype(self.dtype).name,
        }
        for name in ("exclude_injection", "weight_by_data_mask"):
            if not isinstance(getattr(self, name), bool):
                raise RecipeError(f"{name} is {getattr(self, name)!r}", hint="It is true or false.")
        for name, value in checked.items():
            # The one place where a value is set on a frozen object: spellings become one canonical form.
            object.__setattr__(self, name, value)

    @property
    def kinds(self) -> tuple[VolumeKind, ...]:
        """The kinds of volumes that go in, masks included."""
        return needed_kinds(
            self.kind, exclude_injection=self.exclude_injection, weight_by_data_mask=self.weight_by_data_mask
        )

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain JSON values."""
        values: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        values["selection"] = self.selection.to_dict()
        values["grouping"] = self.grouping.to_dict()
        values["statistics"] = list(self.statistics)
        values["recipe_version"] = RECIPE_VERSION
        return values

    def to_json(self) -> str:
        """Canonical JSON: equal recipes give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str | Mapping[str, Any]) -> Recipe:
        """The recipe that :meth:`to_json` or :meth:`to_dict` gave.

        Raises
        ------
        RecipeError
            If this is no recipe, or one with unknown or missing parts.
        """
        values = _as_object(text)
        version = values.pop("recipe_version", RECIPE_VERSION)
        if version != RECIPE_VERSION:
            raise RecipeError(
                f"the recipe has the version {version!r}; this version of bsv-store knows {RECIPE_VERSION}",
                hint="Upgrade the package: pip install --upgrade bsv-store",
            )
        known = [part.name for part in fields(cls)]
        unknown = sorted(set(values).difference(known))
        if unknown:
            raise RecipeError(f"a recipe has no part {unknown[0]!r}", hint=f"Parts are {', '.join(known)}.")
        if "selection" not in values:
            raise RecipeError("the recipe has no selection", hint="Say which experiments to average.")
        try:
            values["selection"] = Selection.from_dict(values["selection"])
            if "grouping" in values:
                values["grouping"] = grouping_from_json(values["grouping"])
            if "statistics" in values:
                values["statistics"] = tuple(values["statistics"])
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise RecipeError(f"the recipe has a part of the wrong type: {error}") from error


def needed_kinds(
    kind: str, *, exclude_injection: bool = False, weight_by_data_mask: bool = False
) -> tuple[VolumeKind, ...]:
    """The kinds of volumes that a recipe with these parts needs of every experiment.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    masks: list[VolumeKind] = []
    if exclude_injection:
        masks.append("injection_fraction")
    if weight_by_data_mask:
        masks.append("data_mask")
    return tuple(dict.fromkeys([volume_kind(kind), *masks]))


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _one_of(what: str, value: Any, valid: Iterable[str]) -> str:
    name = value.replace("-", "_") if isinstance(value, str) else value
    if name not in valid:
        raise RecipeError(f"there is no {what} {value!r}", hint=f"Valid values are {', '.join(valid)}.")
    return str(name)


def _as_object(text: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(text, str):
        return dict(text)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RecipeError(f"this recipe is not JSON: {text[:200]!r}") from error
    if not isinstance(value, dict):
        raise RecipeError(f"this recipe is not a JSON object: {text[:200]!r}")
    return value
