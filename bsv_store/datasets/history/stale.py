"""Changes in the store since a version was computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from bsv_store.averaging.inputs import ALGORITHM_VERSION, gather_inputs
from bsv_store.catalog.missing import without_volume
from bsv_store.catalog.volumes import find_volumes
from bsv_store.datasets.history.changes import MemberChanges, Membership, compare_members
from bsv_store.datasets.table import latest_versions, read_version
from bsv_store.errors import InputError, MissingDataError, StoreError
from bsv_store.html import card, preformatted
from bsv_store.text import listed_ids
from bsv_store.vocabulary import DATASET_STANDINGS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.vocabulary import DatasetStanding
    from bsv_store.volumes.files import StoreFiles

StaleState = Literal["current", "stale", "inputs missing"]

_NOTHING = MemberChanges((), (), ())


@dataclass(frozen=True, slots=True)
class StaleReport:
    """The changes in the store since a version was computed.

    Attributes
    ----------
    ref : str
    is_stale : bool
        Whether the recipe would now have a different result, or none.
    state : {'current', 'stale', 'inputs missing'}
        'inputs missing' if the version was imported and the store does not have the data to compare it with.
    standing : DatasetStanding or None
        Whether it was computed here or imported, and whether an imported one was checked; None if it cannot be read.
    members : MemberChanges
        Experiments that would enter, leave or change.
    reasons : tuple of str
        Other changes, such as the algorithm, or why there would be no result.
    """

    ref: str
    is_stale: bool
    state: StaleState
    standing: DatasetStanding | None
    members: MemberChanges
    reasons: tuple[str, ...]

    def _repr_html_(self) -> str:
        facts = [
            ("State", self.state),
            ("Standing", None if self.standing is None else DATASET_STANDINGS[self.standing].words),
        ]
        changes = [preformatted(str(self.members))] if self.members else []
        return card(self.ref, *changes, kind="changes since it was computed", facts=facts, notes=self.reasons)

    @classmethod
    def of(cls, version: DatasetVersion, state: StaleState, members: MemberChanges, reasons: list[str]) -> StaleReport:
        """The report about a version."""
        return cls(version.ref, state == "stale", state, version.origin.standing, members, tuple(reasons))


def stale_report(database: Database, version: DatasetVersion) -> StaleReport:
    """The changes since a version was computed; see `Datasets.stale`."""
    with database.reading() as connection:
        return _report(connection, version)


def stale_reports(database: Database, files: StoreFiles) -> tuple[StaleReport, ...]:
    """The changes since the latest version of each dataset was computed, by name; unchanged versions are included."""
    with database.reading() as connection:
        # Sorted in Python, since the databases sort text differently.
        return tuple(_latest_report(database, connection, files, *each) for each in sorted(latest_versions(connection)))


def _latest_report(
    database: Database, connection: Connection, files: StoreFiles, name: str, number: int, identifier: int
) -> StaleReport:
    try:
        version = read_version(database, connection, files, identifier)
    except StoreError as error:
        # One version that cannot be read must not hide the others.
        return StaleReport(f"{name}@{number}", True, "stale", None, _NOTHING, (error.message,))
    return _report(connection, version)


def _report(connection: Connection, version: DatasetVersion) -> StaleReport:
    reasons = []
    if version.algorithm_version != ALGORITHM_VERSION:
        reasons.append(f"the algorithm was version {version.algorithm_version}, now it is {ALGORITHM_VERSION}")
    members = _NOTHING
    # The policy 'error' would stop at missing data; 'leave_out' lists each experiment.
    lenient = replace(version.recipe, missing="leave_out")
    try:
        inputs = gather_inputs(connection, lenient)
    except InputError as error:
        if not version.origin.can_answer:
            # A selection may be empty because it asks for volumes that the store does not have.
            message = error.message if isinstance(error, MissingDataError) else _missing(connection, version)
            if message is not None:
                return StaleReport.of(version, "inputs missing", members, [*reasons, f"not known: {message}"])
        reasons.append(f"no result now: {error.message}")
        return StaleReport.of(version, "stale", members, reasons)
    members = compare_members(Membership.of_version(version), Membership.of_inputs(inputs))
    if not version.origin.can_answer and members.left and not (members.entered or members.changed):
        message = _missing(connection, version)
        if message is not None:
            return StaleReport.of(version, "inputs missing", members, [*reasons, f"not known: {message}"])
    before = {left.experiment_id: left.reason for left in version.left_out}
    now = {left.experiment_id: left.reason for left in inputs.left_out}
    gained = sorted(identifier for identifier in now if before.get(identifier) != now[identifier])
    if gained and not members:
        reasons.append(f"left out now, or for another reason: {listed_ids(gained)}")
    if not members and not reasons and replace(inputs, recipe=version.recipe).fingerprint() != version.fingerprint:
        what = "masks, weights, covariates" if version.recipe.has_voxels else "covariates, structures"
        reasons.append(f"bin edges, centers, {what}, or the list of experiments that are left out")
    return StaleReport.of(version, "stale" if members or reasons else "current", members, reasons)


def _missing(connection: Connection, version: DatasetVersion) -> str | None:
    """Description of the inputs of a version that are missing from the store; None if there are none."""
    recipe = version.recipe
    ids = [member.experiment_id for member in version.experiments if member.group is not None]
    try:
        for kind in recipe.kinds:
            found = find_volumes(connection, ids, kind=kind, spacing_um=recipe.spacing_um)
            absent = [each for each in ids if each not in found]
            without_volume(recipe.selection, absent, kind=kind, spacing_um=recipe.spacing_um, missing="error")
        gather_inputs(connection, replace(recipe, missing="error"))
    except MissingDataError as error:
        return error.message
    except InputError:
        return None
    return None
