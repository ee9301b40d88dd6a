"""Verdicts on volumes: whether they contradict the catalog, and which of two volumes it supports better."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bsv_store.errors import DamagedFileError, ImplausibleVolumeError
from bsv_store.plausibility.anatomy import Divisions, read_divisions
from bsv_store.plausibility.checks import SITE_KINDS, Finding, catalog_findings, other_findings
from bsv_store.plausibility.evidence import ExperimentEvidence, read_evidence
from bsv_store.plausibility.facts import GridFacts, stored_facts
from bsv_store.text import ids_option
from bsv_store.vocabulary import PLAUSIBILITY_CHECKS, VOLUME_KINDS, VolumeKind
from bsv_store.volumes.files import refresh_command
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings on one volume.

    Attributes
    ----------
    experiment_id : int
    kind : VolumeKind
    spacing_um : int
    findings : tuple of Finding
        Results of the checks for which the data were available.
    is_mirrored : bool
        Whether the volume has problems, but none with left and right exchanged.
    """

    experiment_id: int
    kind: VolumeKind
    spacing_um: int
    findings: tuple[Finding, ...]
    is_mirrored: bool = False

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that contradict the volume."""
        return tuple(finding for finding in self.findings if not finding.agrees)

    @property
    def text(self) -> str:
        """Each contradiction with both figures, and their likely cause; empty if there are none."""
        parts = [finding.text for finding in self.problems]
        return "; ".join([*parts, "left and right seem to be exchanged"] if self.is_mirrored else parts)

    @property
    def independent(self) -> int:
        """Number of checks against the catalog if all agree, otherwise -1."""
        found = [finding for finding in self.findings if finding.is_independent]
        return len(found) if all(finding.agrees for finding in found) and not self.is_invalid else -1

    @property
    def is_invalid(self) -> bool:
        """Whether the values cannot be those of the kind."""
        return any(finding.check == "values" and not finding.agrees for finding in self.findings)

    def raise_if_implausible(self, what: str) -> None:
        """Raise if the volume contradicts the catalog or other volumes of its experiment.

        Parameters
        ----------
        what : str
            Name of the file or reply, for the error.

        Raises
        ------
        ImplausibleVolumeError
            If there are contradictions; the message states both figures of each.
        """
        if self.problems:
            raise ImplausibleVolumeError(
                f"{what} is not plausible as the {self.kind} at {self.spacing_um} um of experiment "
                f"{self.experiment_id}: {self.text}",
                hint=self._hint(),
            )

    def better_than(self, stored: Verdict) -> str | None:
        """Reason why this volume should replace a stored one; None if it should not."""
        if self.problems:
            return None
        if stored.problems:
            return stored.problems[0].text
        earlier = {(finding.check, finding.other): finding for finding in stored.findings}
        reason = None
        for finding in self.findings:
            other = earlier.get((finding.check, finding.other))
            if other is None:
                continue
            usual = PLAUSIBILITY_CHECKS[finding.check].usual
            if finding.deviation > usual >= other.deviation:
                return None
            if other.deviation > usual >= finding.deviation:
                reason = reason or other.text
        return reason

    def summary(self) -> str:
        """Description of the checks that were made."""
        names = list(dict.fromkeys(finding.check for finding in self.findings))
        return ", ".join(PLAUSIBILITY_CHECKS[name].words for name in names)

    def _hint(self) -> str:
        if self.is_invalid:
            return "The file is damaged or of another kind. Copy it again from its source."
        if any(finding.is_independent for finding in self.problems):
            return (
                "The file was changed or is of another experiment, or the catalog is outdated. Update the catalog: "
                f"bsv-store sync unionizes --refresh {ids_option([self.experiment_id])}"
            )
        others = dict.fromkeys(finding.other for finding in self.problems if finding.other is not None)
        volumes = [(self.kind, self.spacing_um), *others]
        commands = [refresh_command([self.experiment_id], kind=kind, spacing_um=um) for kind, um in volumes]
        return "One of the two is wrong. Download both again: " + "\n".join(commands)


class Plausibility:
    """The judge of one run. What it reads from the catalog is kept; `judge` may be called from any thread.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    others : {'all', 'sparse', 'none'}
        Which stored volumes of the same experiment are compared. At 100 um, reading a dense volume, such as a data
        mask, takes twice as long as reading the checked volume from its source.
    """

    def __init__(
        self, database: Database, files: StoreFiles, *, others: Literal["all", "sparse", "none"] = "sparse"
    ) -> None:
        self._database = database
        self._files = files
        self._encodings = {"all": ("sparse", "dense"), "sparse": ("sparse",), "none": ()}[others]
        self._evidence: dict[int, ExperimentEvidence] = {}
        self._divisions: Divisions | None = None
        self._has_divisions = False

    def learn(self, experiment_ids: Collection[int]) -> None:
        """Read what the catalog knows about these experiments, unless that was done before.

        If one of them has a unionize table, the annotation is read too, once. Only this method accesses the database:
        call it from the thread that does.

        Raises
        ------
        DamagedFileError
            If the file of the annotation differs from what was published.
        """
        wanted = [i for i in experiment_ids if i not in self._evidence]
        if not wanted:
            return
        with self._database.reading() as connection:
            found = read_evidence(connection, wanted)
        if not self._has_divisions and any(each.signal for each in found.values()):
            self._divisions = read_divisions(self._database, self._files)
            self._has_divisions = True
        self._evidence |= found

    def record(self, file: VolumeFile) -> None:
        """Add a stored volume to the cached facts."""
        known = self._evidence.get(file.experiment_id)
        if known is not None:
            same = (file.kind, file.spacing_um)
            volumes = (*(one for one in known.volumes if (one.kind, one.spacing_um) != same), file)
            self._evidence[file.experiment_id] = replace(known, volumes=volumes)

    def forget(self, experiment_ids: Collection[int]) -> None:
        """Remove experiments from the cache."""
        for experiment_id in experiment_ids:
            self._evidence.pop(experiment_id, None)

    def judge(self, experiment_id: int, facts: GridFacts) -> Verdict:
        """Compare a volume with the facts about its experiment, which `learn` must have read.

        Another volume of the experiment is ignored if it contradicts the catalog itself, or if fewer checks against the
        catalog support it than the checked volume.
        """
        evidence = self._evidence.get(experiment_id)
        if evidence is None:
            return Verdict(experiment_id, facts.kind, facts.spacing_um, catalog_findings(facts, None, None))
        verdict = self._verdict(experiment_id, facts, evidence)
        if not verdict.problems or verdict.is_invalid:
            return verdict
        return replace(verdict, is_mirrored=not self._verdict(experiment_id, facts.mirrored(), evidence).problems)

    def _verdict(self, experiment_id: int, facts: GridFacts, evidence: ExperimentEvidence) -> Verdict:
        own = Verdict(experiment_id, facts.kind, facts.spacing_um, self._of_catalog(facts, evidence))
        others = [] if own.is_invalid else self._others(facts, evidence)
        found = other_findings(facts, others)
        if any(not finding.agrees for finding in found):
            others = [one for one in others if self._is_trusted(one, evidence, own.independent)]
            found = other_findings(facts, others)
        return Verdict(experiment_id, facts.kind, facts.spacing_um, own.findings + found)

    def judge_stored(self, file: VolumeFile) -> Verdict:
        """Compare a published volume with the facts about its experiment, which `learn` must have read.

        Raises
        ------
        DamagedFileError
            If the file is missing or differs in any bit from what was published.
        """
        return self.judge(file.experiment_id, stored_facts(self._files, file))

    def _of_catalog(self, facts: GridFacts, evidence: ExperimentEvidence) -> tuple[Finding, ...]:
        return catalog_findings(facts, evidence, self._divisions)

    def _others(self, facts: GridFacts, evidence: ExperimentEvidence) -> list[GridFacts]:
        """The comparable volumes. Large ones are read only if the checked volume is as large."""
        found = []
        for file in evidence.volumes:
            is_other = (file.kind, file.spacing_um) != (facts.kind, facts.spacing_um)
            if (
                is_other
                and file.layout.encoding in self._encodings
                and _is_comparable(facts, file.kind, file.spacing_um)
            ):
                try:
                    found.append(stored_facts(self._files, file))
                except DamagedFileError:
                    # `volume check` reports the damage when it checks that volume.
                    continue
        return found

    def _is_trusted(self, other: GridFacts, evidence: ExperimentEvidence, independent: int) -> bool:
        verdict = Verdict(evidence.experiment_id, other.kind, other.spacing_um, self._of_catalog(other, evidence))
        return verdict.independent >= max(0, independent)


def _is_comparable(facts: GridFacts, kind: VolumeKind, spacing_um: int) -> bool:
    if kind == facts.kind:
        return Grid(spacing_um).size <= max(Grid(facts.spacing_um).size, Grid(50).size)
    row, other = VOLUME_KINDS[facts.kind], VOLUME_KINDS[kind]
    is_related = kind in row.below + row.within or facts.kind in other.below + other.within
    return spacing_um == facts.spacing_um and (is_related or {kind, facts.kind} <= set(SITE_KINDS))
