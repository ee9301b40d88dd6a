"""Checks of a volume against its kind, the catalog, and other volumes of the same experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bsv_store.plausibility.anatomy import ROOT, Divisions, Sides, Sums
from bsv_store.plausibility.evidence import ExperimentEvidence
from bsv_store.plausibility.facts import PIXELS_PER_VOXEL_VOLUME, GridFacts
from bsv_store.vocabulary import AXES, HEMISPHERES, PLAUSIBILITY_CHECKS, VOLUME_KINDS, PlausibilityCheck, VolumeKind

# Factors for signal outside the brain, which is in the volume but not in the unionize table, if the store has no
# annotation: 4 % of the projection density of 158375425, 0.1 % of the injection density of 122642490.
_OUTSIDE_PROJECTION = 3.0
_OUTSIDE_INJECTION = 1.25
# Structures with a smaller fraction of the signal are not compared.
_LARGE_PART = 0.05
# Fraction of the signal in the 100 um voxels at the border of a structure that may belong to its neighbor, by the
# spacing of the annotation. Measured on real grids of 25 um: up to 0.17 if the annotation is sampled at the center of
# the voxels, up to 0.71 at their corner, which is all that an annotation at 100 um has.
_ACROSS_BORDER = {25: 0.5, 50: 0.5, 100: 1.0}
# 1 mm3. In smaller structures, the voxels of 100 um differ too much from the volume.
_LARGE_STRUCTURE_VOXELS = 1000
SITE_KINDS: tuple[VolumeKind, ...] = ("injection_density", "projection_density", "injection_fraction")
_ALL = 1 - 1e-6
_SLACK = 1e-4


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes
    ----------
    check : PlausibilityCheck
    deviation : float
        As defined by ``PlausibilityCheckRow.deviation``.
    text : str
        Sentence with both figures.
    other : tuple of (VolumeKind, int) or None
        Kind and spacing of the other volume, if the check compares two volumes.
    """

    check: PlausibilityCheck
    deviation: float
    text: str
    other: tuple[VolumeKind, int] | None = None

    @property
    def agrees(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.deviation <= PLAUSIBILITY_CHECKS[self.check].tolerance

    @property
    def is_independent(self) -> bool:
        """Whether the check depends on the catalog only."""
        return PLAUSIBILITY_CHECKS[self.check].is_independent


def catalog_findings(
    facts: GridFacts, evidence: ExperimentEvidence | None, divisions: Divisions | None
) -> tuple[Finding, ...]:
    """Compare a volume with its kind and the catalog.

    Parameters
    ----------
    facts : GridFacts
    evidence : ExperimentEvidence or None
        None if the experiment is not in the catalog.
    divisions : Divisions or None
        None if the store has no annotation.
    """
    found = [_values(facts)]
    if evidence is not None and found[0].agrees:
        found += _injection(facts, evidence, divisions) if VOLUME_KINDS[facts.kind].site == "injection" else []
        found += _table(facts, evidence, divisions) if VOLUME_KINDS[facts.kind].site == "projection" else []
        found += _coverage(facts, evidence, divisions) if VOLUME_KINDS[facts.kind].site == "tissue" else []
        found += _hemisphere(facts, evidence) if VOLUME_KINDS[facts.kind].site != "tissue" else []
    return tuple(found)


def other_findings(facts: GridFacts, others: Sequence[GridFacts]) -> tuple[Finding, ...]:
    """Compare a volume with other volumes of the experiment, which are assumed to be correct."""
    found: list[Finding] = []
    for other in others:
        if other.kind == facts.kind and other.spacing_um != facts.spacing_um:
            found += _spacings(facts, other)
        elif other.kind != facts.kind and other.spacing_um == facts.spacing_um:
            found += _kinds(facts, other)
    return (*found, *_site(facts, others))


def _values(facts: GridFacts) -> Finding:
    row = VOLUME_KINDS[facts.kind]
    low, high = row.mean_bounds
    if facts.peak == 0:
        text = f"it has no voxels above 0{f', and {facts.no_data} without data' if facts.no_data else ''}"
    elif facts.peak <= row.peak_above:
        text = f"its highest value is {facts.peak:.4g}; for a {row.words} it must be above {row.peak_above:g}"
    elif not (facts.mean <= high and (facts.mean >= low or facts.no_data)):
        text = f"its mean over the grid is {facts.mean:.4g}; for a {row.words} it must be between {low:g} and {high:g}"
    elif facts.ones_share < row.ones_at_least:
        text = (
            f"{facts.ones_share:.1%} of its voxels above 0 are 1; for a {row.words} it must be at least "
            f"{row.ones_at_least:.0%}"
        )
    else:
        return Finding("values", 0.0, f"its mean over the grid is {facts.mean:.4g}, its highest value {facts.peak:.4g}")
    return Finding("values", 1.0, text)


def _injection(facts: GridFacts, evidence: ExperimentEvidence, divisions: Divisions | None) -> Iterator[Finding]:
    if VOLUME_KINDS[facts.kind].sums_to == "injection_volume" and evidence.injection_volumes:
        found = facts.volume_mm3(facts.total)
        low = found / _OUTSIDE_INJECTION
        if divisions is not None and evidence.signal:
            low, _ = _brain_range(facts, divisions.sums(facts), divisions)
        # Sources may disagree, for example if one is older; the closest one is used.
        source, stated = min(evidence.injection_volumes.items(), key=lambda item: abs(item[1] - found))
        deviation = _excess(found, low, stated, has_no_data=facts.no_data > 0)
        yield Finding("amount", deviation, f"its injection volume is {found:.4g} mm3, but {stated:.4g} mm3 in {source}")
    if evidence.point is not None and not facts.no_data:
        distance = facts.distance_um(evidence.point)
        point = ", ".join(f"{name} {um}" for name, um in zip(AXES, evidence.point, strict=True))
        yield Finding(
            "position",
            distance,
            f"its nearest voxel above 0 is {distance:,.0f} um from the injection coordinate ({point} um)",
        )


def _excess(most: float, least: float, stated: float, *, has_no_data: bool) -> float:
    """Relative distance of the stated amount from the range [least, most].

    ``most`` must reach the stated amount (unless voxels have no data), ``least`` must not exceed it.
    """
    below = 0.0 if has_no_data else max(0.0, 1 - most / stated)
    return max(below, least / stated - 1, 0.0)


def _brain_range(facts: GridFacts, sums: Sums, divisions: Divisions) -> tuple[float, float]:
    """The least and the largest volume in mm3 that the signal in the brain can have: its surface is uncertain."""
    brain, surface = sum(sums.inside[ROOT]), sum(sums.at_border[ROOT])
    uncertain = _ACROSS_BORDER[divisions.spacing_um] * surface
    return facts.volume_mm3(brain - uncertain), facts.volume_mm3(brain + uncertain)


def _table(facts: GridFacts, evidence: ExperimentEvidence, divisions: Divisions | None) -> Iterator[Finding]:
    """Compare with the unionize table. For an energy, only the distribution, because its unit is not certain."""
    is_density = VOLUME_KINDS[facts.kind].sums_to == "projection_volume"
    table = evidence.signal if is_density else evidence.intensity
    if ROOT not in table or sum(table[ROOT]) == 0:
        return
    stated = sum(table[ROOT])
    sums = divisions.sums(facts) if divisions is not None else None
    if is_density:
        whole = facts.volume_mm3(facts.total)
        if sums is None or divisions is None:
            deviation = _excess(whole, whole / _OUTSIDE_PROJECTION, stated, has_no_data=facts.no_data > 0)
            text = f"its total projection volume is {whole:.4g} mm3, but {stated:.4g} mm3 in the unionize table"
        else:
            brain = facts.volume_mm3(sum(sums.inside[ROOT]))
            least, most = _brain_range(facts, sums, divisions)
            deviation = _excess(most, least, stated, has_no_data=facts.no_data > 0)
            text = (
                f"its total projection volume in the brain is {brain:.4g} mm3 ({divisions.source}), but "
                f"{stated:.4g} mm3 in the unionize table"
            )
        yield Finding("amount", deviation, text)
    if sums is not None and divisions is not None and not facts.no_data and sum(sums.inside[ROOT]) > 0:
        yield from _structures(sums, table, divisions, "structures" if is_density else "energies")


def _structures(
    sums: Sums, table: Mapping[str, Sides], divisions: Divisions, check: PlausibilityCheck
) -> Iterator[Finding]:
    """Compare the fractions of the signal. What is in voxels at the border of a structure may belong to its neighbor.

    So the tolerance is wider for small and thin structures, for signal that follows a border, and if the annotation is
    coarse.
    """
    brain, stated_brain = sum(sums.inside[ROOT]), sum(table[ROOT])
    worst: Finding | None = None
    for name in (ROOT, *divisions.present):
        for side, hemisphere in enumerate(HEMISPHERES):
            part = sums.inside[name][side] / brain
            stated = table.get(name, (0.0, 0.0))[side] / stated_brain
            largest = max(part, stated)
            if largest < _LARGE_PART:
                continue
            uncertain = _ACROSS_BORDER[divisions.spacing_um] * sums.at_border[name][side] / brain
            deviation = max(0.0, abs(part - stated) - uncertain) / largest
            if worst is None or deviation > worst.deviation:
                text = (
                    f"{part:.1%} of its signal is in {name}, {hemisphere} ({divisions.source}), but {stated:.1%} in "
                    "the unionize table"
                )
                worst = Finding(check, deviation, text)
    if worst is not None:
        yield worst


def _coverage(facts: GridFacts, evidence: ExperimentEvidence, divisions: Divisions | None) -> Iterator[Finding]:
    """Compare a data mask with the volumes with valid data in the unionize table.

    ``sum_pixels`` counts the pixels of a structure that have valid data, inside and outside the injection site. So the
    mean of the mask in a structure is the sum of the two, times the volume of a pixel, divided by the whole volume of
    the structure. In 40 real tables, the largest such volume of each structure of at least 1 mm3 is 0.988 to 1.012
    times that of Allen's annotation at 25 um, and real masks are means of a mask of 10 um voxels that are 0 or 1.
    Most of the brain is valid in every experiment, and where it is not, both sides often end at the same section:
    therefore a mirrored mask is rarely found.
    """
    if divisions is None or not evidence.valid or facts.no_data:
        return
    inside = divisions.sums(facts).inside
    worst: Finding | None = None
    for name in (ROOT, *divisions.parts):
        for side, hemisphere in enumerate(HEMISPHERES):
            voxels = divisions.voxels[name][side]
            if voxels < _LARGE_STRUCTURE_VOXELS:
                continue
            whole = divisions.volumes[name][side] * PIXELS_PER_VOXEL_VOLUME
            covered, stated = inside[name][side] / voxels, evidence.valid.get(name, (0.0, 0.0))[side] / whole
            deviation = abs(covered - min(1.0, stated))
            if worst is None or deviation > worst.deviation:
                text = (
                    f"{covered:.1%} of {name}, {hemisphere} ({divisions.source}), has valid data, but "
                    f"{min(1.0, stated):.1%} in the unionize table"
                )
                worst = Finding("coverage", deviation, text)
    if worst is not None:
        yield worst


def _hemisphere(facts: GridFacts, evidence: ExperimentEvidence) -> Iterator[Finding]:
    if evidence.hemisphere is None or facts.no_data:
        return
    side = list(HEMISPHERES).index(evidence.hemisphere)
    expected, source = 0.5, f"(according to {evidence.hemisphere_source})"
    sides = evidence.injection_sides
    if VOLUME_KINDS[facts.kind].site == "projection":
        sides = evidence.signal.get(ROOT)
    if sides is not None and sum(sides) > 0:
        expected = sides[side] / sum(sides)
        source = f"(in the unionize table {expected:.1%})"
    share = facts.share(evidence.hemisphere)
    yield Finding(
        "hemisphere",
        max(0.0, expected - share),
        f"{share:.1%} of its signal is in the {evidence.hemisphere} hemisphere, the injected one {source}",
    )


def _spacings(facts: GridFacts, other: GridFacts) -> Iterator[Finding]:
    if facts.no_data or other.no_data or other.total == 0:
        return
    deviation = sum(abs(a - b) for a, b in zip(facts.sides, other.sides, strict=True)) / other.total
    left, right = facts.sides
    other_left, other_right = other.sides
    yield Finding(
        "other_spacings",
        deviation,
        f"its sums over the hemispheres are {left:.4g} (left) and {right:.4g} (right), in voxels of 100 um; those of "
        f"the {other.kind} at {other.spacing_um} um in the store are {other_left:.4g} and {other_right:.4g}",
        (other.kind, other.spacing_um),
    )


def _kinds(facts: GridFacts, other: GridFacts) -> Iterator[Finding]:
    """Compare two kinds at one spacing. The roles depend on the kinds, not on which volume is being checked."""
    for part, whole in ((facts, other), (other, facts)):
        row, words = VOLUME_KINDS[part.kind], VOLUME_KINDS[whole.kind].words
        if whole.no_data or part.total == 0:
            continue
        wrong = []
        if whole.kind in row.below:
            above = part.amounts - whole.at(part.index) - _SLACK
            wrong.append((float(above[above > 0].sum()), f"is above the {words}"))
        if whole.kind in row.within:
            wrong.append((float(part.amounts[whole.at(part.index) == 0].sum()), f"is where the {words} is 0"))
        for amount, where in wrong:
            deviation = amount / part.total
            yield Finding(
                "other_kinds",
                deviation,
                f"{deviation:.3%} of the {row.words} {where} ({_stored(other)})",
                (other.kind, other.spacing_um),
            )


def _site(facts: GridFacts, others: Sequence[GridFacts]) -> Iterator[Finding]:
    """Inside the injection site, where the fraction is 1, the two densities are equal."""
    of_kind = {one.kind: one for one in others if one.spacing_um == facts.spacing_um} | {facts.kind: facts}
    if facts.kind not in SITE_KINDS or any(kind not in of_kind for kind in SITE_KINDS):
        return
    injection, projection, fraction = (of_kind[kind] for kind in SITE_KINDS)
    full = fraction.index[fraction.amounts >= _ALL]
    total = float(injection.at(full).sum())
    if injection.no_data or projection.no_data or not total:
        return
    deviation = float(np.abs(injection.at(full) - projection.at(full)).sum()) / total
    other = projection if facts is injection else injection
    yield Finding(
        "other_kinds",
        deviation,
        f"where the injection fraction is 1, injection density and projection density differ by {deviation:.3%} "
        f"({_stored(other)})",
        (other.kind, other.spacing_um),
    )


def _stored(other: GridFacts) -> str:
    return f"compared with the {other.kind} at {other.spacing_um} um in the store"
