"""How the two groups of a recipe are compared by structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from bsv_store.averaging.comparison.comparison import (
    checked_covariates,
    checked_draws,
    checked_seed,
    checked_test,
)
from bsv_store.catalog.hemispheres import checked_hemispheres
from bsv_store.check import boolean, choice, several, whole_number
from bsv_store.errors import InputError, RecipeError
from bsv_store.statistics.features import checked_share
from bsv_store.text import shown
from bsv_store.vocabulary import (
    EFFECT_SIZES,
    MEASURES,
    Covariate,
    EffectSize,
    Measure,
    MeasuredHemisphere,
    TwoSampleStatistic,
)

BY: Final = "structure"
"""The value of the key ``by`` in the JSON form; comparisons by voxel do not have the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureComparison:
    """A test of the difference between the two groups of a recipe in each structure, from the unionize tables.

    Attributes
    ----------
    targets : tuple of int or None
        Ids of the structures; None = those of the set.
    structure_set : int or None
        Allen's id of a structure set, if there are no targets; None = the summary structures.
    within : int or None
        Id of a structure; only structures inside it.
    include_sources, include_fiber_tracts : bool
        Whether injected structures, and fiber tracts and ventricles, are among those of the set.
    measure : Measure
    hemisphere : tuple of MeasuredHemisphere
        Each structure is tested in each of them.
    test : TwoSampleStatistic
    effect_size : EffectSize
    covariates : tuple of Covariate
        Properties of the experiments that are taken into account by the Freedman-Lane procedure.
    permutations : int
        Number of permutations. If there are fewer distinct ones, each is computed once.
    bootstrap : int
        Number of draws for the interval of the difference.
    confidence : float
        Of the interval.
    seed : int
        Of the random permutations and draws.

    Raises
    ------
    RecipeError, InputError
        If a part is not valid; the hint lists the valid values.
    """

    targets: tuple[int, ...] | None = None
    structure_set: int | None = None
    within: int | None = None
    include_sources: bool = False
    include_fiber_tracts: bool = False
    measure: Measure = "normalized_projection_volume"
    hemisphere: tuple[MeasuredHemisphere, ...] = ("both",)
    test: TwoSampleStatistic = "welch"
    effect_size: EffectSize = "hedges_g"
    covariates: tuple[Covariate, ...] = ()
    permutations: int = 10_000
    bootstrap: int = 10_000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        covariates = checked_covariates(self.covariates)
        checked = {
            "targets": _checked_targets(self.targets, self.structure_set),
            "structure_set": _checked_id("structure_set", self.structure_set),
            "within": _checked_id("within", self.within),
            "include_sources": boolean("include_sources", self.include_sources),
            "include_fiber_tracts": boolean("include_fiber_tracts", self.include_fiber_tracts),
            "measure": choice("measure", self.measure, MEASURES).name,
            "hemisphere": checked_hemispheres(self.hemisphere),
            "test": checked_test(self.test, covariates),
            "effect_size": choice("effect_size", self.effect_size, EFFECT_SIZES).name,
            "covariates": covariates,
            "permutations": checked_draws("permutations", self.permutations),
            "bootstrap": checked_draws("bootstrap", self.bootstrap),
            "confidence": checked_share("confidence", self.confidence),
            "seed": checked_seed(self.seed),
        }
        for name, value in checked.items():
            # The object is frozen; this is the only place that sets a value.
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values."""
        values: dict[str, Any] = {part.name: getattr(self, part.name) for part in fields(self)}
        for name in ("targets", "hemisphere", "covariates"):
            values[name] = None if values[name] is None else list(values[name])
        return {"by": BY, **values}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> StructureComparison:
        """The comparison from the result of `to_dict`.

        Raises
        ------
        RecipeError, InputError
            If this is not a valid comparison, or one with unknown parts.
        """
        values = {name: part for name, part in value.items() if name != "by"}
        known = [part.name for part in fields(cls)]
        unknown = sorted(str(name) for name in set(values).difference(known))
        if unknown:
            raise RecipeError(
                f"a comparison by structure has no part {shown(unknown[0])}", hint=f"Parts are {', '.join(known)}."
            )
        return cls(**values)


def structure_comparison(
    *,
    include_sources: bool,
    include_fiber_tracts: bool,
    measure: Measure,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere],
    test: TwoSampleStatistic | None,
    effect_size: EffectSize,
    covariates: Covariate | Sequence[Covariate],
    permutations: int,
    bootstrap: int,
    confidence: float,
    seed: int,
) -> StructureComparison:
    """The comparison with these options of `Store.compare_structures`; its structures are not chosen yet.

    Raises
    ------
    RecipeError, InputError
        If an option is not valid.
    """
    names = checked_covariates(covariates)
    return StructureComparison(
        include_sources=include_sources,
        include_fiber_tracts=include_fiber_tracts,
        measure=measure,
        hemisphere=checked_hemispheres(hemisphere),
        test=checked_test(test, names),
        effect_size=effect_size,
        covariates=names,
        permutations=permutations,
        bootstrap=bootstrap,
        confidence=confidence,
        seed=seed,
    )


def _checked_targets(targets: Sequence[int] | None, structure_set: int | None) -> tuple[int, ...] | None:
    if targets is None:
        return None
    if structure_set is not None:
        raise InputError("structures and structure_set cannot both be given", hint="Use only one of them.")
    ids = [whole_number("targets", each, least=1) for each in several("targets", targets, such_as="[672, 549]")]
    if not ids:
        raise InputError(
            "targets must not be empty", hint="Name one or more, or leave it out for the summary structures."
        )
    return tuple(sorted(set(ids)))


def _checked_id(name: str, value: int | None) -> int | None:
    return None if value is None else whole_number(name, value, least=1)
