"""What `repair` does about each finding: the plan, and the report of the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bsv_store.html import text_card
from bsv_store.maintenance.catalog_checks import LAST_NUMBER, VOLUME_USE
from bsv_store.maintenance.findings import Finding
from bsv_store.maintenance.object_checks import ref_of_key
from bsv_store.text import ids_option, number_of
from bsv_store.vocabulary import FINDING_KINDS, REPAIR_ACTIONS, FindingKind, RepairAction
from bsv_store.volumes.files import refresh_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bsv_store.maintenance.verify_report import VerifyReport
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.template import TemplateFile

StepOutcome = Literal["planned", "done", "failed", "left"]

# The bytes in the store are not the recorded ones, or are not there.
BYTES_LOST: frozenset[FindingKind] = frozenset({"missing", "wrong_size", "wrong_type", "damaged_file"})
# The bytes are as recorded, but the content or the row is wrong.
CONTENT_WRONG: frozenset[FindingKind] = frozenset({"damaged_content", "implausible"})
ROW_WRONG: frozenset[FindingKind] = frozenset({"damaged_catalog", "inconsistent_rows"})


@dataclass(frozen=True, slots=True)
class RepairStep:
    """A finding, and what is done about it.

    Attributes
    ----------
    object : str
        Key of the object, see ``Finding``.
    path : str or None
        Of its file.
    finding : FindingKind
    problem : str
    action : RepairAction
    how : str
        The same as a command or in words, for those who want to do it themselves.
    outcome : {'planned', 'done', 'failed', 'left'}
        'left' if there is no automatic repair.
    result : str or None
        What was done, or why it failed.
    """

    object: str
    path: str | None
    finding: FindingKind
    problem: str
    action: RepairAction
    how: str
    outcome: StepOutcome = "planned"
    result: str | None = None

    def done(self, result: str | None = None) -> RepairStep:
        """The step after it was carried out."""
        return replace(self, outcome="done", result=result)

    def failed(self, result: str) -> RepairStep:
        """The step after it failed."""
        return replace(self, outcome="failed", result=result)

    def __str__(self) -> str:
        words = f"{self.object}: {FINDING_KINDS[self.finding].words}: {REPAIR_ACTIONS[self.action].words}"
        return f"{words}: {self.outcome}" + (f" ({self.result})" if self.result else "")


@dataclass(frozen=True, slots=True)
class RepairReport:
    """Result of repairing a store, or the plan.

    Attributes
    ----------
    steps : tuple of RepairStep
    before : VerifyReport
        The verification from which the plan was made.
    after : VerifyReport or None
        The verification of what was repaired; None for a plan.
    """

    steps: tuple[RepairStep, ...]
    before: VerifyReport
    after: VerifyReport | None

    @property
    def left(self) -> tuple[Finding, ...]:
        """The damage that is left: for a plan, what it does not repair."""
        if self.after is not None:
            return self.after.damage
        unplanned = {(step.object, step.finding) for step in self.steps if step.action == "none"}
        return tuple(each for each in self.before.damage if (each.object, each.kind) in unplanned)

    def why_left(self, finding: Finding) -> str:
        """Why a problem that is left was not repaired, and what to do."""
        for step in self.steps:
            if step.object == finding.object and step.result is not None and step.outcome == "failed":
                return step.result
        return finding.remedy

    def summary(self) -> str:
        """The result in one sentence."""
        if self.after is None:
            planned = sum(step.action != "none" for step in self.steps)
            if not self.steps:
                return "Nothing to repair."
            return f"{number_of(planned, 'repair')} planned, {len(self.steps) - planned:,} not automatic."
        done = sum(step.outcome == "done" for step in self.steps)
        failed = sum(step.outcome == "failed" for step in self.steps)
        return f"{number_of(done, 'repair')} done, {failed:,} failed, {number_of(len(self.left), 'problem')} left."

    def _repr_html_(self) -> str:
        return text_card("Repair", str(self))

    def __str__(self) -> str:
        left = [f"left: {each}: {self.why_left(each)}" for each in self.left]
        return "\n".join([self.summary(), *map(str, self.steps), *left])


def plan_steps(
    findings: Iterable[Finding],
    *,
    copies: Mapping[str, str],
    annotations: Mapping[str, AnnotationFile],
    templates: Mapping[str, TemplateFile],
    drop_missing: bool,
    adopt_results: bool = False,
) -> list[RepairStep]:
    """One step for each finding that means damage, or that `repair` can do something about.

    Parameters
    ----------
    findings : iterable of Finding
    copies : mapping of str to str
        Path of a file with the recorded bytes of an object, by the key of the object.
    annotations : mapping of str to AnnotationFile
        The annotations in the catalog, by key.
    templates : mapping of str to TemplateFile
        The templates in the catalog, by key.
    drop_missing : bool
        Whether rows without a file are removed if all else fails.
    adopt_results : bool
        Whether results without a version are recorded.
    """
    steps = []
    found = list(findings)
    # What is wrong with the file of a volume cannot be told from a damaged row: its bytes may be the right ones.
    doubtful = {each.object for each in found if each.kind in ROW_WRONG and each.object.startswith("volume/")}
    for each in found:
        if each.object in doubtful and each.kind in ROW_WRONG | BYTES_LOST | CONTENT_WRONG | {"orphan"}:
            action, how = _of_row(each)
        elif adopt_results and each.kind == "orphan" and is_result(each.object):
            action, how = "record", "compute it again from the inputs in the file, and record it if it is the same"
        else:
            action, how = _action(each, copies, annotations, templates)
        if action == "none" and not each.is_damage:
            continue
        if drop_missing and each.kind in BYTES_LOST and not each.object.startswith("unionizes/"):
            how = f"{how}; if that fails, remove the row"
        steps.append(RepairStep(each.object, each.path, each.kind, each.problem, action, how))
    return steps


def is_result(key: str) -> bool:
    """Whether a finding is about a result without a version."""
    return key.startswith("result/")


def _action(
    finding: Finding,
    copies: Mapping[str, str],
    annotations: Mapping[str, AnnotationFile],
    templates: Mapping[str, TemplateFile],
) -> tuple[RepairAction, str]:
    kind, name = finding.kind, finding.object.partition("/")[0]
    if kind == "wrong_permissions":
        return "set_permissions", f"chmod {finding.path}"
    if kind == "orphan" and name == "volume":
        return "record", f"check {finding.path} and record it"
    if kind == "orphan" and name == "annotation":
        return "fetch", f"bsv-store sync annotation --spacing {finding.object.partition('/')[2]}"
    if kind == "orphan" and name == "template":
        return "fetch", f"bsv-store sync template --spacing {finding.object.partition('/')[2]}"
    if kind in BYTES_LOST and finding.object in copies:
        return "restore_copy", f"copy {copies[finding.object]}"
    if name == "volume":
        return _of_volume(finding)
    if name == "annotation":
        return _of_annotation(finding, annotations.get(finding.object))
    if name == "template":
        return _of_template(finding, templates.get(finding.object))
    if name == "version" and kind in BYTES_LOST | {"damaged_content"}:
        return "rebuild", f"bsv-store dataset rebuild {ref_of_key(finding.object)}"
    if name == "unionizes" and kind == "damaged_catalog":
        return "fetch", f"bsv-store sync unionizes --refresh {ids_option([finding.object.partition('/')[2]])}"
    if name == "dataset" and finding.problem.startswith(LAST_NUMBER):
        return "correct", "raise the number to that of the newest version"
    if finding.object == VOLUME_USE and kind == "broken_reference":
        return "correct", "remove the rows of volumes that do not exist"
    return "none", finding.remedy


def _of_volume(finding: Finding) -> tuple[RepairAction, str]:
    return ("fetch", _fetch(finding)) if finding.kind in BYTES_LOST | CONTENT_WRONG else ("none", finding.remedy)


def _of_row(finding: Finding) -> tuple[RepairAction, str]:
    return "record", f"record the file if it is intact, else {_fetch(finding)}"


def _fetch(finding: Finding) -> str:
    _, kind, spacing_um, experiment_id = finding.object.split("/")
    return refresh_command([int(experiment_id)], kind=kind, spacing_um=int(spacing_um))


def _of_annotation(finding: Finding, stored: AnnotationFile | None) -> tuple[RepairAction, str]:
    spacing_um = finding.object.partition("/")[2]
    if finding.kind == "outdated_annotation" or (
        stored is not None and stored.derived_from_um is not None and finding.kind in BYTES_LOST | CONTENT_WRONG
    ):
        return "derive", "derive it again from the finer annotation in the store"
    if finding.kind in BYTES_LOST | CONTENT_WRONG:
        if stored is not None and not is_address(stored.source):
            return "none", f"it was read from a file: bsv-store ingest annotation --replace FILE (was {stored.source})"
        return "fetch", f"bsv-store sync annotation --spacing {spacing_um} --refresh"
    return "none", finding.remedy


def _of_template(finding: Finding, stored: TemplateFile | None) -> tuple[RepairAction, str]:
    if finding.kind not in BYTES_LOST | CONTENT_WRONG:
        return "none", finding.remedy
    if stored is not None and not is_address(stored.source):
        return "none", f"it was read from a file: bsv-store ingest template --replace FILE (was {stored.source})"
    return "fetch", f"bsv-store sync template --spacing {finding.object.partition('/')[2]} --refresh"


def is_address(source: str) -> bool:
    """Whether the origin of an object is an address, not a file."""
    return source.startswith(("http://", "https://"))
