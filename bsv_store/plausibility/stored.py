"""Check stored volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import DamagedFileError
from bsv_store.html import card, paragraph, table
from bsv_store.plausibility.judge import Plausibility, Verdict
from bsv_store.progress import Progress, shown_progress
from bsv_store.text import number_of
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.files import refresh_command

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

_BATCH = 500


@dataclass(frozen=True, slots=True)
class VolumeProblem:
    """A stored volume that is damaged, or contradicts the catalog or other volumes of its experiment.

    Attributes
    ----------
    experiment_id : int
    kind : VolumeKind
    spacing_um : int
    source : str
        URL or file name of its origin.
    problem : str
        Description of the damage, or each contradiction with both figures.
    """

    experiment_id: int
    kind: VolumeKind
    spacing_um: int
    source: str
    problem: str


@dataclass(frozen=True, slots=True)
class VolumeCheckReport:
    """Result of checking stored volumes.

    Attributes
    ----------
    checked : int
        Number of volumes checked.
    kind_only : int
        Number of these that were compared only with the bounds of their kind, because the store has nothing else to
        compare them with.
    problems : tuple of VolumeProblem
        Sorted by experiment, kind and spacing.
    """

    checked: int
    kind_only: int
    problems: tuple[VolumeProblem, ...]

    def _repr_html_(self) -> str:
        rows = [[str(each.experiment_id), each.kind, f"{each.spacing_um} um", each.problem] for each in self.problems]
        found = table(["experiment", "kind", "spacing", "problem"], rows)
        return card("Check of volumes", paragraph(self.summary()), found, kind="", notes=self.remedies())

    def summary(self) -> str:
        """The result in one sentence."""
        alone = f", {self.kind_only} of them only against the bounds of their kind" if self.kind_only else ""
        return f"{number_of(self.checked, 'volume')} checked{alone}, {number_of(len(self.problems), 'problem')} found."

    def remedies(self) -> tuple[str, ...]:
        """The commands that download the volumes with problems again, one for each kind and spacing."""
        ids: dict[tuple[VolumeKind, int], list[int]] = {}
        for problem in self.problems:
            ids.setdefault((problem.kind, problem.spacing_um), []).append(problem.experiment_id)
        return tuple(refresh_command(each, kind=kind, spacing_um=spacing) for (kind, spacing), each in ids.items())


def check_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Sequence[int] | None = None,
    *,
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    progress: Progress | None = None,
) -> VolumeCheckReport:
    """See :meth:`bsv_store.store.volumes.Volumes.check`."""
    progress = shown_progress(progress)
    with database.reading() as connection:
        rows = connection.execute(
            select(StoredVolume.experiment_id, StoredVolume.kind, StoredVolume.spacing_um).order_by(
                StoredVolume.experiment_id, StoredVolume.kind, StoredVolume.spacing_um
            )
        ).all()
    wanted: dict[int, list[tuple[VolumeKind, int]]] = {}
    selected = None if experiment_ids is None else set(experiment_ids)
    for experiment_id, name, spacing in rows:
        if (selected is None or experiment_id in selected) and kind in (None, name) and spacing_um in (None, spacing):
            wanted.setdefault(experiment_id, []).append((VOLUME_KINDS[name].name, spacing))
    judge = Plausibility(database, files, others="all")
    checked = kind_only = 0
    problems: list[VolumeProblem] = []
    progress.start(sum(map(len, wanted.values())), "checking volumes")
    try:
        ids = list(wanted)
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
            judge.learn(batch)
            for experiment_id in batch:
                for name, spacing in wanted[experiment_id]:
                    result = _judged(database, judge, experiment_id, name, spacing)
                    progress.advance()
                    if result is None:
                        # Deleted meanwhile.
                        continue
                    file, verdict = result
                    checked += 1
                    if isinstance(verdict, DamagedFileError):
                        text = verdict.message
                    else:
                        text = verdict.text
                        kind_only += len(verdict.findings) == 1 and not text
                    if text:
                        problems.append(VolumeProblem(experiment_id, name, spacing, file.source, text))
            judge.forget(batch)
    finally:
        progress.finish()
    return VolumeCheckReport(checked, kind_only, tuple(problems))


def _judged(
    database: Database, judge: Plausibility, experiment_id: int, kind: VolumeKind, spacing_um: int
) -> tuple[VolumeFile, Verdict | DamagedFileError] | None:
    """A stored volume and the verdict on it; None if it was deleted meanwhile."""
    file = _stored(database, experiment_id, kind, spacing_um)
    while file is not None:
        try:
            return file, judge.judge_stored(file)
        except DamagedFileError as error:
            # Another process may have replaced it, and moved the file to the trash.
            current = _stored(database, experiment_id, kind, spacing_um)
            if current is not None and current.path == file.path:
                return file, error
            file = current
    return None


def _stored(database: Database, experiment_id: int, kind: VolumeKind, spacing_um: int) -> VolumeFile | None:
    with database.reading() as connection:
        return find_volumes(connection, [experiment_id], kind=kind, spacing_um=spacing_um).get(experiment_id)
