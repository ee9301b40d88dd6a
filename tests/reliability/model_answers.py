"""The expected averages of `test_state_machine`, in plain NumPy.

Written from the rules of docs/averages.md. Uses no code of the library that selects, groups, normalizes or averages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store import Selection, by_coordinate, by_field, by_region, by_selection, crossed, no_grouping
from bsv_store.vocabulary import VolumeKind
from tests.averaging.reference import statistics_of
from tests.reliability.model import (
    Edition,
    Facts,
    Leaf,
    Part,
    Refused,
    annotation,
    divisor,
    injected_side,
    left_out_by_exclusion,
    lineage,
    minor_share,
    overlap,
    record,
    selected,
    structure_id,
    volume_of,
)

# Of the groups by region.
REGIONS = ("VIS", "MOp", "VISp")
GROUPINGS: Mapping[str, Callable[[], Any]] = {
    "none": no_grouping,
    "ap": lambda: by_coordinate("AP", bins=3),
    "ml": lambda: by_coordinate("ML", bins=2, method="quantile"),
    "edges": lambda: by_coordinate("AP", edges=[2_000, 7_800, 9_000, 12_000]),
    "region": lambda: by_region({"visual": [REGIONS[0]], "motor": [REGIONS[1]], "primary": [REGIONS[2]]}),
    "side": lambda: by_field("injected_hemisphere"),
    "line": lambda: by_field("line"),
    "selections": lambda: by_selection(
        {"left": Selection(injected_hemisphere="left"), "large right": Selection(injected_hemisphere="right")}
    ),
    "crossed": lambda: crossed(by_coordinate("AP", bins=2), by_field("injected_hemisphere")),
}


@dataclass(frozen=True)
class Question:
    """A recipe."""

    part: Part
    grouping: str = "none"
    kind: VolumeKind = "projection_density"
    normalize: Literal["none", "injection_volume"] = "none"
    hemisphere_rule: Literal["none", "subtract_contralateral", "flip_to_right", "flip_to_left", "fold_ipsilateral"] = (
        "none"
    )
    bilateral_rule: Literal["larger_side", "error", "leave_out"] = "larger_side"
    exclude_injection: bool = False
    weight_by_data_mask: bool = False
    weight_by: Literal["none", "injection_overlap"] = "none"
    statistics: tuple[str, ...] = ("mean",)
    missing: Literal["error", "leave_out"] = "error"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `Store.aggregate`."""
        given = {name: value for name, value in vars(self).items() if name not in ("part", "grouping")}
        return {**given, "selection": self.part.selection(), "group_by": GROUPINGS[self.grouping]()}

    @property
    def kinds(self) -> tuple[VolumeKind, ...]:
        """The kinds of volumes that are read, the averaged one first."""
        masks: list[VolumeKind] = ["injection_fraction"] if self.exclude_injection else []
        if self.weight_by_data_mask:
            masks.append("data_mask")
        return tuple(dict.fromkeys((self.kind, *masks)))


@dataclass(frozen=True)
class Member:
    """An experiment in a group, and what is read of it."""

    id: int
    group: int
    volumes: tuple[tuple[VolumeKind, Edition], ...]
    divisor: float = 1.0
    divisor_source: str | None = None
    side: Literal["left", "right"] | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Inputs:
    """Everything that determines an answer.

    Attributes
    ----------
    groups : tuple
        For each group the ranges (lower edge, upper edge, center) of its coordinates.
    members : tuple of Member
    left_out : tuple of (int, str)
    """

    groups: tuple[tuple[tuple[float | None, float | None, float | None], ...], ...]
    members: tuple[Member, ...]
    left_out: tuple[tuple[int, str], ...]


def gather(facts: Facts, question: Question, *, lenient: bool = False) -> Inputs:
    """The inputs of a question in a state.

    Raises
    ------
    Refused
        If there is no answer.
    """
    ids = selected(facts, question.part)
    if not ids:
        raise Refused("nothing selected")
    reasons = {each: f"excluded: {why}" for each, why in left_out_by_exclusion(facts, question.part).items()}
    missing = "leave_out" if lenient else question.missing
    while True:
        remaining = [each for each in ids if each not in reasons]
        if not remaining:
            raise Refused("all left out")
        groups, places, unplaced = _grouped(facts, question.grouping, remaining)
        if not places:
            raise Refused("nothing in a group")
        new = {
            each: why
            for each, group in places.items()
            if (why := _lacking(facts, question, each, _source(facts, question, each, group), missing)) is not None
        }
        if not new:
            break
        reasons.update(new)
    members = tuple(_member(facts, question, each, places[each]) for each in sorted(places))
    return Inputs(groups, members, tuple(sorted({**unplaced, **reasons}.items())))


def _source(facts: Facts, question: Question, identifier: int, group: int) -> int:
    """The id of the structure whose share of the injection is the weight of an experiment."""
    if question.grouping == "region":
        return structure_id(REGIONS[group])
    return record(facts, identifier).primary_structure_id


def _lacking(facts: Facts, question: Question, identifier: int, source: int, missing: str) -> str | None:
    for kind in question.kinds:
        if ("volume", kind, identifier) not in facts:
            if missing == "error":
                raise Refused(f"no {kind}")
            return f"no {kind}"
    if question.weight_by != "none":
        edition = facts.get(("table", identifier))
        if edition is None:
            if missing == "error":
                raise Refused("no weight")
            return "no weight"
        if overlap(identifier, edition, source) == 0:
            return "weight 0"
    if question.hemisphere_rule != "none" and minor_share(facts, identifier) >= 0.01:
        if question.bilateral_rule == "error":
            raise Refused("bilateral")
        if question.bilateral_rule == "leave_out":
            return f"bilateral {minor_share(facts, identifier):.1%}"
    return None


def _member(facts: Facts, question: Question, identifier: int, group: int) -> Member:
    volumes = tuple((kind, facts["volume", kind, identifier]) for kind in question.kinds)
    made = Member(identifier, group, volumes)
    if question.normalize != "none":
        value, source = divisor(facts, identifier)
        made = replace(made, divisor=value, divisor_source=source)
    if question.hemisphere_rule != "none":
        made = replace(made, side=injected_side(facts, identifier))
    if question.weight_by != "none":
        edition = facts["table", identifier]
        made = replace(made, weight=overlap(identifier, edition, _source(facts, question, identifier, group)))
    return made


_Groups = tuple[tuple[tuple[float | None, float | None, float | None], ...], ...]


def _grouped(facts: Facts, name: str, ids: list[int]) -> tuple[_Groups, dict[int, int], dict[int, str]]:
    """The ranges of the groups, the group of each experiment, and the reasons of those that are in none."""
    known: dict[str, list[Callable[..., Any]]] = {
        "none": [_one],
        "ap": [lambda *at: _bins(*at, axis="ap", count=3)],
        "ml": [lambda *at: _bins(*at, axis="ml", count=2, quantile=True)],
        "edges": [lambda *at: _bins(*at, axis="ap", edges=(2_000.0, 7_800.0, 9_000.0, 12_000.0))],
        "region": [_regions],
        "side": [_sides],
        "line": [_lines],
        "selections": [_sides_as_selections],
        "crossed": [lambda *at: _bins(*at, axis="ap", count=2), _sides],
    }
    made = [each(facts, ids) for each in known[name]]
    keeps_empty = len(made) == 1 and made[0].keeps_empty
    places = {each: tuple(factor.places[each] for factor in made) for each in ids}
    members: dict[tuple[Any, ...], list[int]] = {}
    if keeps_empty:
        members = {(number,): [] for number in range(made[0].count)}
    unplaced = {}
    for each, place in places.items():
        if any(isinstance(part, str) for part in place):
            unplaced[each] = "; ".join(part for part in place if isinstance(part, str))
        else:
            members.setdefault(place, []).append(each)
    ordered = sorted(members)
    groups = tuple(
        tuple(
            _range(facts, factor, part, members[place])
            for factor, part in zip(made, place, strict=True)
            if factor.axis is not None
        )
        for place in ordered
    )
    if not any(members.values()):
        return groups, {}, unplaced
    return groups, {each: number for number, place in enumerate(ordered) for each in members[place]}, unplaced


@dataclass
class _Factor:
    places: dict[int, int | str]
    count: int
    keeps_empty: bool = False
    axis: str | None = None
    edges: tuple[float, ...] | None = None


def _coordinate(facts: Facts, identifier: int, axis: str) -> float:
    return float(getattr(record(facts, identifier), f"injection_{axis}"))


def _range(
    facts: Facts, factor: _Factor, number: int, members: list[int]
) -> tuple[float | None, float | None, float | None]:
    assert factor.axis is not None
    values = [_coordinate(facts, each, factor.axis) for each in members]
    center = sum(values) / len(values) if values else None
    lower, upper = (None, None) if factor.edges is None else factor.edges[number : number + 2]
    return lower, upper, center


def _one(_facts: Facts, ids: list[int]) -> _Factor:
    return _Factor(dict.fromkeys(ids, 0), 1)


def _bins(
    facts: Facts,
    ids: list[int],
    *,
    axis: str,
    count: int = 0,
    quantile: bool = False,
    edges: tuple[float, ...] | None = None,
) -> _Factor:
    values = {each: _coordinate(facts, each, axis) for each in ids}
    is_given = edges is not None
    if edges is None:
        known = sorted(values.values())
        if known[0] == known[-1]:
            return _Factor(dict.fromkeys(ids, 0), 1, axis=axis)
        if quantile:
            found = np.unique(np.quantile(known, [number / count for number in range(count + 1)]))
        else:
            found = np.linspace(known[0], known[-1], count + 1)
        edges = tuple(found.tolist())
    places: dict[int, int | str] = {}
    for each, value in values.items():
        inside = [number for number, lower in enumerate(edges[:-1]) if lower <= value]
        if not inside or value > edges[-1]:
            places[each] = f"{axis} {value} outside"
        else:
            places[each] = inside[-1]
    return _Factor(places, len(edges) - 1, keeps_empty=is_given, axis=axis, edges=edges)


def _regions(facts: Facts, ids: list[int]) -> _Factor:
    groups = {structure_id(acronym): number for number, acronym in enumerate(REGIONS)}
    places: dict[int, int | str] = {}
    for each in ids:
        found = record(facts, each)
        inside = [groups[above] for above in lineage(found.primary_structure_id) if above in groups]
        places[each] = inside[0] if inside else f"{found.primary_structure_acronym} in no region"
    return _Factor(places, len(REGIONS), keeps_empty=True)


def _sides(facts: Facts, ids: list[int]) -> _Factor:
    names = sorted({injected_side(facts, each) for each in ids})
    return _Factor({each: names.index(injected_side(facts, each)) for each in ids}, len(names))


def _sides_as_selections(facts: Facts, ids: list[int]) -> _Factor:
    inside = {side: selected(facts, Leaf(injected_hemisphere=side)) for side in ("left", "right")}
    places: dict[int, int | str] = {}
    for each in ids:
        found = [number for number, side in enumerate(("left", "right")) if each in inside[side]]
        places[each] = found[0] if found else "in no selection"
    return _Factor(places, 2, keeps_empty=True)


def _lines(facts: Facts, ids: list[int]) -> _Factor:
    def line(identifier: int) -> str:
        # Sorts before every name.
        return "/".join(each.name for each in record(facts, identifier).lines if each.type_name != "wild type")

    names = sorted({line(each) for each in ids})
    return _Factor({each: names.index(line(each)) for each in ids}, len(names))


# -- answers ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def sample() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Voxels that are compared: linear index, position of the mirrored voxel in this list, whether it lies right."""
    shape = 132, 80, 114
    brain = np.flatnonzero(annotation())
    drawn = np.random.default_rng(0).choice(brain, 4_000, replace=False)
    ap, dv, ml = np.unravel_index(drawn, shape)
    index = np.unique(np.concatenate([drawn, np.ravel_multi_index((ap, dv, shape[2] - 1 - ml), shape)]))
    ap, dv, ml = np.unravel_index(index, shape)
    mirrored = np.ravel_multi_index((ap, dv, shape[2] - 1 - ml), shape)
    return index, np.searchsorted(index, mirrored), ml >= shape[2] // 2


@cache
def sampled(experiment_id: int, edition: Edition, kind: VolumeKind) -> NDArray[np.float64]:
    """The compared voxels of a volume."""
    return volume_of(experiment_id, edition, kind).reshape(-1)[sample()[0]].astype(np.float64)


@lru_cache(maxsize=512)
def answer(question: Question, inputs: Inputs) -> dict[str, NDArray[np.float64]]:
    """The statistics at the compared voxels, each of shape (groups, voxels)."""
    made = []
    for group in range(len(inputs.groups)):
        pairs = [_processed(question, each) for each in inputs.members if each.group == group]
        made.append(statistics_of(pairs, sample()[0].shape))
    return {name: np.array([each[name] for each in made]) for name in made[0]}


def _processed(question: Question, member: Member) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and weights of an experiment, 0 where it is not counted."""
    _, mirror, is_right = sample()
    editions = dict(member.volumes)
    values = sampled(member.id, editions[question.kind], question.kind) / member.divisor
    weights = np.full(len(values), 1.0 if member.weight is None else member.weight)
    if question.exclude_injection:
        fraction = sampled(member.id, editions["injection_fraction"], "injection_fraction")
        values = np.where(fraction > 0, np.nan, values)
    if question.weight_by_data_mask:
        weights = sampled(member.id, editions["data_mask"], "data_mask")
    rule, side = question.hemisphere_rule, member.side
    if rule == "subtract_contralateral":
        difference = values - values[mirror]
        values = np.where(is_right == (side == "right"), difference, np.where(np.isnan(difference), np.nan, 0))
        weights = np.minimum(weights, weights[mirror])
    elif (rule in ("flip_to_right", "fold_ipsilateral") and side == "left") or (
        rule == "flip_to_left" and side == "right"
    ):
        values, weights = values[mirror], weights[mirror]
    is_counted = (weights > 0) & ~np.isnan(values)
    return np.where(is_counted, values, 0), np.where(is_counted, weights, 0)
