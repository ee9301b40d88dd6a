"""The expected content of a store and its selections, in plain dictionaries, for `test_state_machine`.

The model knows the synthetic atlas. It uses no code of the library that selects; `tests.reliability.model_answers` has
the averages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store import Selection
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, SyntheticExperiment
from bsv_store_synthetic.experiments import FIRST_ID

Key = tuple[Any, ...]
"""Such as ``("volume", "projection_density", 9100000001)``."""
Facts = dict[Key, Any]
Edition = int

# Each case of an injection: both hemispheres, wild type and two lines, on both sides, on the midline.
NUMBERS = (0, 1, 2, 3, 4, 7, 17, 18)
IDS = tuple(FIRST_ID + number for number in NUMBERS)
# The others appear later.
FIRST_IDS = IDS[:-2]
EDITIONS: tuple[Edition, ...] = (0, 1)
KINDS: tuple[VolumeKind, ...] = ("projection_density", "injection_fraction", "data_mask")
LINE = "Synl5-Cre_SY100"

_ATLASES = {edition: SyntheticAtlas(seed=edition, experiments=24) for edition in EDITIONS}
_ONTOLOGY = _ATLASES[0].ontology
_PARENTS = {each.id: each.parent_structure_id for each in _ONTOLOGY.structures}
_BY_ACRONYM = {each.acronym: each.id for each in _ONTOLOGY.structures}
_ROOT = 997


class Upstream(SyntheticAtlas):
    """What Allen offers: some experiments, each in one of two editions that differ in everything but the mouse."""

    editions: dict[int, Edition]

    def __init__(self) -> None:
        super().__init__(seed=0, experiments=24)
        object.__setattr__(self, "editions", dict.fromkeys(FIRST_IDS, 0))

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """See `SyntheticAtlas`, as of all others."""
        return tuple(sorted(self.editions))

    def __contains__(self, experiment_id: object) -> bool:
        return experiment_id in self.editions

    def experiment(self, experiment_id: int) -> SyntheticExperiment:
        return _ATLASES[self.editions[experiment_id]].experiment(experiment_id)

    def unionize(self, experiment_id: int) -> Any:
        return _ATLASES[self.editions[experiment_id]].unionize(experiment_id)

    def volume(self, experiment_id: int, kind: VolumeKind = "projection_density") -> NDArray[np.float32]:
        return _ATLASES[self.editions[experiment_id]].volume(experiment_id, kind)


# -- the atlas --------------------------------------------------------------------------------------------------------


def annotation() -> NDArray[Any]:
    """The structure id of each voxel, shape (132, 80, 114)."""
    return _ATLASES[0].annotation


def structure_id(acronym: str) -> int:
    """The id of a structure."""
    return _BY_ACRONYM[acronym]


def truth(experiment_id: int, edition: Edition) -> SyntheticExperiment:
    """An edition of an experiment."""
    return _ATLASES[edition].experiment(experiment_id)


def volume_of(experiment_id: int, edition: Edition, kind: VolumeKind) -> NDArray[np.float32]:
    """The volume of an edition of an experiment, shape (132, 80, 114)."""
    return _ATLASES[edition].volume(experiment_id, kind)


@cache
def array_sha256(experiment_id: int, edition: Edition, kind: VolumeKind) -> str:
    """Hash of the values of a volume, little-endian in C order."""
    array = np.ascontiguousarray(volume_of(experiment_id, edition, kind), dtype="<f4")
    return hashlib.sha256(array.tobytes()).hexdigest()


@cache
def editions_by_sha256() -> Mapping[str, Edition]:
    """The edition of each volume by its hash."""
    return {array_sha256(i, edition, kind): edition for i in IDS for edition in EDITIONS for kind in KINDS}


@cache
def injected_volumes(experiment_id: int, edition: Edition) -> tuple[float, float, float]:
    """The root's projection volume inside the injection: left, right, both; mm3."""
    rows = {
        row.hemisphere_id: row.projection_volume
        for row in _ATLASES[edition].unionize(experiment_id)
        if row.structure_id == _ROOT and row.is_injection
    }
    return rows.get(1, 0.0), rows.get(2, 0.0), rows[3]


@cache
def overlap(experiment_id: int, edition: Edition, structure_id: int) -> float:
    """The share of the injection inside a structure, 0 to 1."""
    inside = sum(
        row.projection_volume
        for row in _ATLASES[edition].unionize(experiment_id)
        if row.structure_id == structure_id and row.is_injection and row.hemisphere_id == 3
    )
    return inside / injected_volumes(experiment_id, edition)[2]


@cache
def projected_volume(experiment_id: int, edition: Edition, acronym: str) -> float:
    """The projection volume outside the injection in a structure, both hemispheres; mm3."""
    return sum(
        row.projection_volume
        for row in _ATLASES[edition].unionize(experiment_id)
        if row.structure_id == _BY_ACRONYM[acronym] and not row.is_injection and row.hemisphere_id == 3
    )


def lineage(structure_id: int) -> Iterator[int]:
    """A structure and its ancestors, nearest first."""
    current: int | None = structure_id
    while current is not None:
        yield current
        current = _PARENTS[current]


# -- experiments in a state -------------------------------------------------------------------------------------------


class Refused(Exception):  # noqa: N818 (not an error of the tests)
    """The store must answer with an `InputError`."""


def listed(facts: Facts) -> dict[int, tuple[Edition, bool]]:
    """Edition of each experiment in the list, and whether it is withdrawn."""
    return {key[1]: value for key, value in facts.items() if key[0] == "listed"}


def excluded(facts: Facts) -> dict[int, str]:
    """The exclusion list."""
    return {key[1]: value for key, value in facts.items() if key[0] == "excluded"}


def record(facts: Facts, experiment_id: int) -> SyntheticExperiment:
    """An experiment as in the list."""
    return truth(experiment_id, facts["listed", experiment_id][0])


def injected_side(facts: Facts, experiment_id: int) -> Literal["left", "right"]:
    """The larger side of the injection, by the unionize table, else by the coordinate."""
    edition = facts.get(("table", experiment_id))
    left, right = (0.0, 0.0) if edition is None else injected_volumes(experiment_id, edition)[:2]
    if left != right:
        return "left" if left > right else "right"
    return "left" if record(facts, experiment_id).injection_ml < 5_700 else "right"


def minor_share(facts: Facts, experiment_id: int) -> float:
    """The share of the injection on the smaller side; 0 if it is not known."""
    edition = facts.get(("table", experiment_id))
    if edition is None:
        return 0.0
    left, right, _ = injected_volumes(experiment_id, edition)
    return min(left, right) / (left + right)


def divisor(facts: Facts, experiment_id: int) -> tuple[float, str | None]:
    """The injection volume, and 'list' if it is that of the list."""
    edition = facts.get(("table", experiment_id))
    if edition is not None:
        return injected_volumes(experiment_id, edition)[2], None
    return record(facts, experiment_id).injection_volume, "list"


def is_consistent(facts: Facts, experiment_id: int, edition: Edition) -> bool:
    """Whether nothing in the store contradicts an edition of an experiment."""
    known = [value for key, value in facts.items() if key[0] in ("table", "volume") and key[-1] == experiment_id]
    known.append(facts["listed", experiment_id][0])
    return set(known) == {edition}


# -- selections -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf:
    """Criteria, as of `Selection`."""

    injected_in: str | None = None
    line: str | None = None
    injected_hemisphere: Literal["left", "right"] | None = None
    min_injection_volume: float | None = None
    projecting_to: str | None = None
    with_volume: VolumeKind | None = None
    with_unionizes: bool | None = None
    ids: tuple[int, ...] | None = None
    exclude_ids: tuple[int, ...] | None = None
    include_withdrawn: bool = False
    include_excluded: bool = False

    def selection(self) -> Selection:
        """The same for the store."""
        given = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        if self.with_unionizes is False:
            given["with_unionizes"] = False
        if self.projecting_to is not None:
            given["target_threshold"] = 0.05
        return Selection(**given)

    def leaves(self) -> Iterator[Leaf]:
        """The criteria of all parts."""
        yield self

    def named(self) -> set[int]:
        """The ids that must not be on the exclusion list."""
        return set() if self.include_excluded else set(self.ids or ()) - set(self.exclude_ids or ())

    def with_excluded(self) -> Leaf:
        """The same, whatever is on the exclusion list."""
        return replace(self, include_excluded=True)

    def __contains__(self, at: tuple[Facts, int]) -> bool:
        facts, identifier = at
        if self.ids is None and not self.include_withdrawn and facts["listed", identifier][1]:
            return False
        if self.ids is None and not self.include_excluded and ("excluded", identifier) in facts:
            return False
        return all(self._judge(facts, identifier))

    def _judge(self, facts: Facts, identifier: int) -> Iterator[bool]:
        found = record(facts, identifier)
        if self.ids is not None:
            yield identifier in self.ids
        if self.exclude_ids is not None:
            yield identifier not in self.exclude_ids
        if self.injected_in is not None:
            yield _BY_ACRONYM[self.injected_in] in lineage(found.primary_structure_id)
        if self.line is not None:
            yield found.is_wild_type if self.line == "wild-type" else self.line in [each.name for each in found.lines]
        if self.injected_hemisphere is not None:
            yield injected_side(facts, identifier) == self.injected_hemisphere
        if self.min_injection_volume is not None:
            yield found.injection_volume >= self.min_injection_volume
        if self.with_volume is not None:
            yield ("volume", self.with_volume, identifier) in facts
        if self.with_unionizes is not None:
            yield (("table", identifier) in facts) == self.with_unionizes
        if self.projecting_to is not None:
            edition = facts.get(("table", identifier))
            yield edition is not None and projected_volume(identifier, edition, self.projecting_to) > 0.05


@dataclass(frozen=True)
class Combined:
    """Two selections, combined by an operator of `Selection`."""

    operator: Literal["|", "&", "-"]
    first: Leaf
    second: Leaf

    def selection(self) -> Selection:
        """The same for the store."""
        first, second = self.first.selection(), self.second.selection()
        return first | second if self.operator == "|" else first & second if self.operator == "&" else first - second

    def leaves(self) -> Iterator[Leaf]:
        """The criteria of all parts."""
        yield from (self.first, self.second)

    def named(self) -> set[int]:
        """The ids that must not be on the exclusion list."""
        return self.first.named() | (set() if self.operator == "-" else self.second.named())

    def with_excluded(self) -> Combined:
        """The same, whatever is on the exclusion list."""
        return replace(self, first=self.first.with_excluded(), second=self.second.with_excluded())

    def __contains__(self, at: tuple[Facts, int]) -> bool:
        first, second = at in self.first, at in self.second
        return first or second if self.operator == "|" else first and second == (self.operator == "&")


Part = Leaf | Combined


def selected(facts: Facts, part: Part) -> tuple[int, ...]:
    """The ids of the selected experiments, ascending.

    Raises
    ------
    Refused
        If it names an experiment that the store does not have, or one on the exclusion list.
    """
    known = listed(facts)
    for leaf in part.leaves():
        if not known.keys() >= {*(leaf.ids or ()), *(leaf.exclude_ids or ())}:
            raise Refused("unknown experiment")
    if part.named() & excluded(facts).keys():
        raise Refused("excluded experiment")
    return tuple(sorted(each for each in known if (facts, each) in part))


def left_out_by_exclusion(facts: Facts, part: Part) -> dict[int, str]:
    """The experiments that only the exclusion list removes, with its reasons."""
    if all(leaf.include_excluded or leaf.ids is not None for leaf in part.leaves()):
        return {}
    reasons = excluded(facts)
    more = {each for each in listed(facts) if (facts, each) in part.with_excluded()} - set(selected(facts, part))
    return {each: reasons[each] for each in sorted(more) if each in reasons}
