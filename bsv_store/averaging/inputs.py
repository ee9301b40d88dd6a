"""The inputs of an average: experiments, groups, volumes, divisors, and the experiments that are left out.

They are read in one short transaction, so that they describe one state of the catalog. No volume file is opened: the
recorded hashes identify the content.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

import numpy as np

from bsv_store.averaging.comparison.design import (
    CovariateValues,
    check_design,
    check_groups,
    known_covariates,
    unknown_covariate,
)
from bsv_store.averaging.comparison.structure_values import StructureValues, compared_structures, read_values
from bsv_store.averaging.grouping.assignment import Assignment, Group, LeftOut, assign, source_acronyms
from bsv_store.averaging.grouping.facts import ExperimentFacts, experiment_facts
from bsv_store.averaging.grouping.grouping import uses_regions
from bsv_store.averaging.grouping.membership import read_membership
from bsv_store.averaging.members import (
    Member,
    in_order,
)
from bsv_store.averaging.recipe import Recipe
from bsv_store.averaging.recorded import RecordedInputs
from bsv_store.catalog.animal_weights import animal_weights
from bsv_store.catalog.ingest.hemisphere import sides_in_tables
from bsv_store.catalog.missing import NO_ROWS, excluded_reasons, leave_out, nothing_left, without_volume
from bsv_store.catalog.normalization import Divisor, divisors, without_divisor
from bsv_store.catalog.selection.commands import sync_command
from bsv_store.catalog.selection.resolve import resolve_with_exclusions
from bsv_store.catalog.structures import ancestry as read_ancestry
from bsv_store.catalog.structures import find_structures
from bsv_store.catalog.tables.frames import uncovered_among
from bsv_store.catalog.unionize_seals import check_unionizes
from bsv_store.catalog.verify import check_selected, check_selecting
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import RecipeError
from bsv_store.text import listed_ids
from bsv_store.vocabulary import HEMISPHERE_RULES, MEASURED_HEMISPHERES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from bsv_store.averaging.grouping.assignment import Ancestry
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.vocabulary import Covariate, DivisorSource, Hemisphere, VolumeKind
    from bsv_store.volumes.library import VolumeFile

WITHOUT_TABLE = "the unionize table is not in the store"
WITHOUT_SIDE = "the injected hemisphere is not known"
"""Reasons why experiments are left out of a comparison by structure."""

WITHOUT_WEIGHT = f"the share of the injection volume inside its source is not known {NO_ROWS}"
WEIGHT_ZERO = "no part of the injection volume lies inside its source, so its weight is 0"
"""Reasons why experiments are left out of an average weighted by injection overlap."""

ALGORITHM_VERSION = 2
"""Part of every fingerprint. Increased when the same inputs would give other numbers."""


@dataclass(frozen=True, slots=True)
class MemberInput:
    """A member of a group with its files.

    Attributes
    ----------
    group : int
        From 0.
    volume : VolumeFile
    divisor : float
        1 = not normalized.
    injected : {'left', 'right'} or None
        The injected hemisphere, if the hemisphere rule needs it.
    exclude, weights : VolumeFile or None
        Injection fraction and data mask, if the recipe uses them.
    divisor_source : {'list'} or None
        'list' if the divisor is from the experiment list; None otherwise.
    weight : float or None
        Weight of the experiment, above 0, if the recipe weights experiments.
    """

    experiment_id: int
    group: int
    volume: VolumeFile
    divisor: float = 1.0
    injected: Hemisphere | None = None
    exclude: VolumeFile | None = None
    weights: VolumeFile | None = None
    divisor_source: DivisorSource | None = None
    weight: float | None = None

    def files(self) -> tuple[VolumeFile, ...]:
        """The files that are read for this member: volume, exclusion mask, weights."""
        return tuple(file for file in (self.volume, self.exclude, self.weights) if file is not None)

    @property
    def member(self) -> Member:
        """What is recorded of this member."""
        return Member(
            self.experiment_id,
            self.group,
            divisor=self.divisor,
            injected_hemisphere=self.injected,
            array_sha256=_hash(self.volume),
            injection_fraction_sha256=_hash(self.exclude),
            data_mask_sha256=_hash(self.weights),
            divisor_source=self.divisor_source,
            weight=self.weight,
        )


def _hash(file: VolumeFile | None) -> str | None:
    return None if file is None else file.layout.array_sha256


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that determines the numbers of a version.

    Attributes
    ----------
    groups : tuple of Group
    members : tuple of MemberInput
        Ascending by experiment id, the order in which they are added; empty for a comparison by structure.
    left_out : tuple of LeftOut
        Ascending by experiment id.
    covariates : mapping of covariate to tuple of float
        Of the recipe's comparison; values in the order of the members.
    table : StructureValues or None
        The members and values of a comparison by structure.
    """

    recipe: Recipe
    groups: tuple[Group, ...]
    members: tuple[MemberInput, ...]
    left_out: tuple[LeftOut, ...]
    covariates: CovariateValues = field(default_factory=dict)
    table: StructureValues | None = None

    def files(self) -> list[VolumeFile]:
        """The files that are read for all members."""
        return [file for member in self.members for file in member.files()]

    def experiments(self) -> tuple[Member, ...]:
        """All selected experiments, ascending by id: the members and those left out."""
        placed = (each.member for each in self.members) if self.table is None else self.table.members
        return in_order([*placed, *(Member(left.experiment_id, reason=left.reason) for left in self.left_out)])

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights in the order of the members; empty unless the recipe weights experiments."""
        return tuple(member.weight for member in self.members if member.weight is not None)

    def recorded(self) -> RecordedInputs:
        """The recorded form of these inputs, without the files."""
        structures = () if self.table is None else self.table.structures
        return RecordedInputs(
            self.recipe, self.groups, self.experiments(), ALGORITHM_VERSION, self.covariates, structures
        )

    def in_first_group(self) -> NDArray[np.bool_]:
        """Whether each member is in the first group, shape (members,)."""
        members = self.members if self.table is None else self.table.members
        return np.array([member.group == 0 for member in members])

    def to_json(self) -> str:
        """Canonical JSON of `RecordedInputs.to_dict`, whose hash is the fingerprint."""
        return self.recorded().to_json()

    def fingerprint(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal: equal for equal recipes over equal inputs."""
        return self.recorded().fingerprint()


def check_recipe_inputs(connection: Connection, recipe: Recipe, experiment_ids: Collection[int]) -> None:
    """Check that the rows of the catalog that an average of some experiments reads are undamaged.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    """
    leaves = _leaves(recipe)
    check_selecting(connection, leaves)
    check_selected(connection, experiment_ids, leaves=leaves, kinds=recipe.kinds, spacing_um=recipe.spacing_um)


def _leaves(recipe: Recipe) -> list[Criteria]:
    return [leaf for selection in recipe.selections for leaf in selection.leaves()]


def gather_inputs(
    connection: Connection,
    recipe: Recipe,
    *,
    unusable: Mapping[int, str] | None = None,
) -> Inputs:
    """The inputs of a recipe in the current state of the catalog.

    Experiments are grouped first; only those in a group need data. If some are left out because data are missing, the
    others are grouped again, so that edges and centers describe the members.

    Parameters
    ----------
    unusable : mapping of int to str, optional
        Further experiments to leave out, with the reasons.

    Raises
    ------
    MissingDataError
        If data are missing and the recipe does not leave such experiments out, or no experiment remains.
    RecipeError
        If an injection is bilateral and the recipe's rule is 'error', no experiment belongs to a group, or the groups
        cannot be compared and the recipe has a comparison.
    EmptySelectionError
        If no experiment is selected.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection or grouping names something that the catalog does not have.
    DamagedCatalogError
        If rows of the catalog that the inputs depend on differ from what was stored.
    """
    leaves = _leaves(recipe)
    check_selecting(connection, leaves)
    selected, excluded = resolve_with_exclusions(connection, recipe.selection)
    check_selected(connection, selected, leaves=leaves, kinds=recipe.kinds, spacing_um=recipe.spacing_um)
    experiments = experiment_facts(connection, selected)
    ancestry = read_ancestry(connection) if uses_regions(recipe.grouping) else {}
    membership = read_membership(connection, recipe.grouping, allow_empty=recipe.comparison is None)
    # Reasons are part of the fingerprint: a changed exclusion list gives a new version.
    reasons = {**excluded_reasons(excluded), **(unusable or {})}
    required = _RequiredData(connection, recipe, _sources(connection, recipe, experiments, ancestry))
    while True:
        remaining = [each for each in experiments if each.experiment_id not in reasons]
        if not remaining:
            raise nothing_left(
                recipe.selection,
                reasons,
                absent=required.absent_kind,
                spacing_um=recipe.spacing_um,
                without_rows=required.without_rows if recipe.has_voxels else list(reasons),
                other_way=_fetching(recipe),
            )
        assignment = assign(recipe.grouping, remaining, ancestry, membership)
        placed = assignment.group_of()
        missing = required.missing([each for each in remaining if each.experiment_id in placed])
        if not placed:
            raise RecipeError(
                f"none of the experiments ({len(remaining):,}) belongs to a group; {_first_reason(assignment)}",
                hint="Coordinates and edges are in um, regions are acronyms.",
            )
        if not missing:
            break
        reasons.update(missing)
    table = required.table(placed)
    members = [] if table is not None else [required.member(each, group) for each, group in sorted(placed.items())]
    left_out = [*assignment.left_out, *(LeftOut(each, reason) for each, reason in reasons.items())]
    left_out.sort(key=lambda left: left.experiment_id)
    covariates = required.covariates(sorted(placed))
    inputs = Inputs(recipe, assignment.groups, tuple(members), tuple(left_out), covariates, table)
    if recipe.comparison is not None:
        check_groups(assignment.groups, left_out)
        check_design(inputs.in_first_group(), covariates)
    return inputs


def _fetching(recipe: Recipe) -> str:
    """A sentence for hints about fetching the inputs with the average; '' for comparisons, which cannot."""
    if recipe.comparison is not None:
        return ""
    return "Or average with `bsv-store aggregate --fetch`, which fetches them first (in Python: store.fetch_inputs)."


def _sources(
    connection: Connection, recipe: Recipe, experiments: Sequence[ExperimentFacts], ancestry: Ancestry
) -> dict[int, tuple[int, ...]]:
    """The ids of the structures that are the source of each experiment; empty without ``weight_by``."""
    if recipe.weight_by == "none":
        return {}
    acronyms = source_acronyms(recipe.grouping, experiments, ancestry)
    rows = find_structures(connection, sorted({each for source in acronyms.values() for each in source}))
    id_of = {row.acronym: row.id for row in rows}
    return {each: tuple(id_of[acronym] for acronym in source) for each, source in acronyms.items()}


def _first_reason(assignment: Assignment) -> str:
    first = min(assignment.left_out, key=lambda left: left.experiment_id)
    return f"{first.experiment_id}: {first.reason}"


class _RequiredData:
    """The data of experiments that the recipe needs in addition to their facts, looked up once for each experiment."""

    def __init__(self, connection: Connection, recipe: Recipe, sources: Mapping[int, tuple[int, ...]]) -> None:
        self.recipe = recipe
        self._connection = connection
        self._sources = sources
        self._weights: dict[int, float] = {}
        self._rule = HEMISPHERE_RULES[recipe.hemisphere_rule]
        self._volumes: dict[VolumeKind, dict[int, VolumeFile]] = {kind: {} for kind in recipe.kinds}
        self._divisors: dict[int, Divisor] | None = None
        self._sides: dict[int, Hemisphere | None] = {}
        names = () if recipe.comparison is None else recipe.comparison.covariates
        self._covariates: dict[Covariate, dict[int, float]] = {name: {} for name in names}
        self._known: set[int] = set()
        self._comparison = recipe.structure_comparison
        self._needs_measured_side = self._comparison is not None and any(
            MEASURED_HEMISPHERES[side].is_relative for side in self._comparison.hemisphere
        )

    def missing(self, experiments: Sequence[ExperimentFacts]) -> dict[int, str]:
        """The reason for each experiment that is left out.

        Raises
        ------
        MissingDataError, RecipeError
            If the recipe makes this an error.
        """
        self._look_up(experiments)
        ids = [each.experiment_id for each in experiments]
        reasons: dict[int, str] = {}
        # Only the first reason of an experiment is recorded.
        for found in (
            self._without_volume(ids),
            self._without_table(ids),
            self._without_divisor(ids),
            self._without_weight(ids),
            self._without_side(ids),
            self._bilateral(experiments),
            self._without_covariate(ids),
        ):
            reasons = {**found, **reasons}
        return reasons

    @property
    def absent_kind(self) -> VolumeKind | None:
        """The first kind of volumes that one of the experiments so far does not have."""
        return next((kind for kind, found in self._volumes.items() if not self._known <= found.keys()), None)

    @property
    def without_rows(self) -> list[int]:
        """The experiments so far without unionize rows for their divisor or weight, ascending."""
        found = set() if self._divisors is None else self._known - self._divisors.keys()
        return sorted(found if self.recipe.weight_by == "none" else found | (self._known - self._weights.keys()))

    def member(self, experiment_id: int, group: int) -> MemberInput:
        """The input of an experiment whose data are complete."""
        volumes = {kind: found[experiment_id] for kind, found in self._volumes.items()}
        divisor = Divisor(1.0) if self._divisors is None else self._divisors[experiment_id]
        return MemberInput(
            experiment_id,
            group,
            volumes[self.recipe.kind],
            divisor=divisor.value,
            injected=self._sides.get(experiment_id),
            exclude=volumes["injection_fraction"] if self.recipe.exclude_injection else None,
            weights=volumes["data_mask"] if self.recipe.weight_by_data_mask else None,
            divisor_source=divisor.source,
            weight=self._weights.get(experiment_id),
        )

    def table(self, group_of: Mapping[int, int]) -> StructureValues | None:
        """The values of experiments whose data are complete; None unless the recipe compares by structure."""
        if self._comparison is None:
            return None
        structures = compared_structures(self._connection, self._comparison, sorted(group_of))
        return read_values(self._connection, self._comparison, structures, group_of)

    def covariates(self, experiment_ids: Sequence[int]) -> CovariateValues:
        """The covariates of experiments whose data are complete, in their order."""
        return {name: tuple(known[each] for each in experiment_ids) for name, known in self._covariates.items()}

    def _look_up(self, experiments: Sequence[ExperimentFacts]) -> None:
        new = [each for each in experiments if each.experiment_id not in self._known]
        ids = [each.experiment_id for each in new]
        self._known.update(ids)
        for kind, found in self._volumes.items():
            found.update(find_volumes(self._connection, ids, kind=kind, spacing_um=self.recipe.spacing_um))
        found_divisors = divisors(self._connection, self.recipe.normalize, ids)
        if found_divisors is not None:
            self._divisors = {**(self._divisors or {}), **found_divisors}
        self._weights.update(self._look_up_weights(ids))
        for name, values in known_covariates(self._connection, tuple(self._covariates), new).items():
            self._covariates[name].update(values)
        if self._rule.needs_side or self._needs_measured_side:
            self._sides.update({each.experiment_id: each.injected_hemisphere for each in new})

    def _look_up_weights(self, ids: Sequence[int]) -> dict[int, float]:
        sources = {each: self._sources[each] for each in ids if each in self._sources}
        found = animal_weights(self._connection, self.recipe.weight_by, sources)
        if found is None:
            return {}
        structures = {structure for source in sources.values() for structure in source}
        check_unionizes(self._connection, structures, "injection", experiment_ids=ids)
        return found

    def _without_volume(self, ids: Sequence[int]) -> dict[int, str]:
        recipe, reasons = self.recipe, dict[int, str]()
        for kind, found in self._volumes.items():
            absent = [each for each in ids if each not in found]
            left = without_volume(
                recipe.selection,
                absent,
                kind=kind,
                spacing_um=recipe.spacing_um,
                missing=recipe.missing,
                other_way=_fetching(recipe),
            )
            reasons = {**left, **reasons}
        return reasons

    def _without_table(self, ids: Sequence[int]) -> dict[int, str]:
        if self._comparison is None:
            return {}
        missing = self.recipe.missing
        # A table that is missing from the records of which are there would be left out of the comparison.
        check_unionizes(self._connection, [], "projection", experiment_ids=ids)
        absent = uncovered_among(self._connection, ids, "projection")
        sync = f"Sync the unionize tables: {sync_command(self.recipe.selection, absent)}" if absent else ""
        reasons = leave_out(absent, WITHOUT_TABLE, missing=missing, hint=sync)
        if not self._needs_measured_side:
            return reasons
        sideless = [each for each in ids if self._sides[each] is None and each not in reasons]
        hint = "Choose the hemisphere both, left or right (--hemisphere) to include them."
        return {**leave_out(sideless, WITHOUT_SIDE, missing=missing, hint=hint), **reasons}

    def _without_divisor(self, ids: Sequence[int]) -> dict[int, str]:
        found = self._divisors
        if found is None:
            return {}
        recipe = self.recipe
        return without_divisor(found, recipe.selection, ids, normalize=recipe.normalize, missing=recipe.missing)

    def _without_weight(self, ids: Sequence[int]) -> dict[int, str]:
        if self.recipe.weight_by == "none":
            return {}
        absent = [each for each in ids if each not in self._weights]
        sync = f"Sync the unionize tables: {sync_command(self.recipe.selection, absent)}" if absent else ""
        reasons = leave_out(absent, WITHOUT_WEIGHT, missing=self.recipe.missing, hint=sync)
        # A weight of 0 is known, so no data are missing.
        return {**reasons, **dict.fromkeys((each for each in ids if self._weights.get(each) == 0), WEIGHT_ZERO)}

    def _without_side(self, ids: Sequence[int]) -> dict[int, str]:
        if not self._rule.needs_side:
            return {}
        absent = [each for each in ids if self._sides[each] is None]
        found_by_sync = absent and sides_in_tables(self._connection, absent)
        hint = "Use the hemisphere rule 'none' (--hemisphere-rule none)."
        if found_by_sync:
            hint = f"Sync the unionize tables: {sync_command(self.recipe.selection, found_by_sync)}"
        return leave_out(absent, WITHOUT_SIDE, missing=self.recipe.missing, hint=hint)

    def _without_covariate(self, ids: Sequence[int]) -> dict[int, str]:
        reasons = dict[int, str]()
        for name, known in self._covariates.items():
            absent = [each for each in ids if each not in known]
            left = leave_out(
                absent, unknown_covariate(name), missing=self.recipe.missing, hint=f"Leave out the covariate {name}."
            )
            reasons = {**left, **reasons}
        return reasons

    def _bilateral(self, experiments: Sequence[ExperimentFacts]) -> dict[int, str]:
        recipe, rule = self.recipe, self.recipe.bilateral_rule
        found = [each for each in experiments if self._rule.needs_side and each.is_bilateral]
        if rule == "larger_side" or not found:
            return {}
        if rule == "error":
            raise RecipeError(
                f"the hemisphere rule {recipe.hemisphere_rule!r} needs one injected side; injected on both sides: "
                f"{listed_ids(each.experiment_id for each in found)}",
                hint="Use bilateral_rule='larger_side' or bilateral_rule='leave_out'.",
            )
        if rule == "leave_out":
            reason = "injected on both sides ({:.1%} of the injection on the smaller one)"
            return {each.experiment_id: reason.format(each.minor_share) for each in found}
        assert_never(rule)
