"""Whether a version would come out the same today, and what has changed since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from bsv_store.averaging.inputs import ALGORITHM_VERSION, gather_inputs
from bsv_store.catalog.database.models import Dataset
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.datasets.history.changes import MemberChanges, Side, compare_members
from bsv_store.datasets.table import find_version, read_version
from bsv_store.errors import InputError
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles

_NOTHING = MemberChanges((), (), ())


@dataclass(frozen=True, slots=True)
class StaleReport:
    """What has changed since a version was made.

    Attributes
    ----------
    ref : str
    is_stale : bool
        Whether the same question has another answer now, or none.
    members : MemberChanges
        Experiments that would enter, leave, or go in differently.
    reasons : tuple of str
        What else has changed, such as the algorithm, or why there would be no answer.
    """

    ref: str
    is_stale: bool
    members: MemberChanges
    reasons: tuple[str, ...]


def stale_report(database: Database, files: StoreFiles, ref: str) -> StaleReport:
    """What has changed since a version was made; no volume file is opened.

    Raises
    ------
    UnknownDatasetError
        If the store does not have the version.
    """
    version = find_version(database, files, ref)
    with database.reading() as connection:
        return _report(connection, version)


def stale_reports(database: Database, files: StoreFiles) -> tuple[StaleReport, ...]:
    """What has changed since the latest version of each dataset was made, by name; those without a change included."""
    with database.reading() as connection:
        newest = select(VersionRow.dataset_id, func.max(VersionRow.number).label("number"))
        latest = newest.group_by(VersionRow.dataset_id).subquery()
        query = (
            select(VersionRow.id)
            .join(latest, (VersionRow.dataset_id == latest.c.dataset_id) & (VersionRow.number == latest.c.number))
            .join(Dataset, Dataset.id == VersionRow.dataset_id)
        )
        versions = [read_version(connection, files, identifier) for identifier in connection.scalars(query).all()]
        # In Python: the databases sort text by different rules.
        return tuple(_report(connection, version) for version in sorted(versions, key=lambda version: version.name))


def _report(connection: Connection, version: DatasetVersion) -> StaleReport:
    reasons = []
    if version.algorithm_version != ALGORITHM_VERSION:
        reasons.append(f"the algorithm was version {version.algorithm_version}, now it is {ALGORITHM_VERSION}")
    members = _NOTHING
    # Under the policy 'error' missing data would end the comparison; left out, they are named one by one.
    lenient = replace(version.recipe, missing="leave_out")
    try:
        inputs = gather_inputs(connection, lenient)
    except InputError as error:
        reasons.append(f"no answer now: {error.message}")
        return StaleReport(version.ref, True, members, tuple(reasons))
    members = compare_members(Side.of_version(version), Side.of_inputs(inputs))
    before = {left.experiment_id: left.reason for left in version.left_out}
    now = {left.experiment_id: left.reason for left in inputs.left_out}
    gained = sorted(identifier for identifier in now if before.get(identifier) != now[identifier])
    if gained and not members:
        reasons.append(f"left out now, or for another reason: {listed_ids(gained)}")
    if not members and not reasons and replace(inputs, recipe=version.recipe).fingerprint() != version.fingerprint:
        reasons.append("bin edges, centers, masks, or the list of experiments that were left out")
    return StaleReport(version.ref, bool(members or reasons), members, tuple(reasons))
