"""The inputs of a version as its rows record them, and checks that these rows are undamaged.

The fingerprint of a version is the hash of its recipe, groups and members, so it protects their rows as a seal would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.averaging.grouping.grouping import coordinates_of
from bsv_store.averaging.members import members_to_json, without_weights
from bsv_store.averaging.recorded import RecordedInputs, recorded_groups
from bsv_store.datasets.groups import groups_of
from bsv_store.errors import DamagedCatalogError, FormatError

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.grouping import CoordinateGrouping
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.averaging.members import Member
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.share.source import VersionSource


def content_of_rows(version: VersionSource) -> dict[str, Any]:
    """The inputs as the catalog recorded them: everything that the arrays depend on."""
    groups = [{"label": group.label, "ranges": _ranges_of(version, group)} for group in version.groups]
    return {"groups": groups, **members_to_json(version.experiments)}


def _ranges_of(version: VersionSource, group: GroupInfo) -> list[dict[str, Any]]:
    edges = (
        (group.lower, group.upper, group.center),
        (group.second_lower, group.second_upper, group.second_center),
    )
    factors = zip(coordinates_of(version.recipe.grouping), edges, strict=False)
    return [
        {
            "axis": factor.axis,
            "lower_um": _as_given(lower, factor),
            "upper_um": _as_given(upper, factor),
            "center_um": center,
        }
        for factor, (lower, upper, center) in factors
    ]


def _as_given(edge: float | None, factor: CoordinateGrouping) -> float | None:
    """The edge as the recipe has it: -0.0, which SQLite stores as 0.0, has another fingerprint."""
    return next((given for given in factor.edges or () if given == edge), edge)


def has_fingerprint(version: VersionSource) -> bool | None:
    """Whether recipe, groups and members have the recorded fingerprint.

    None if the rows are only a part of what it was computed from. The values of covariates and the structures of a
    comparison are in the result file only; so are the ranges of a second axis and the hashes of masks of versions from
    before schema revision 0003, and the weights of experiments of versions from before revision 0021.
    """
    recipe = version.recipe
    if recipe.structure_comparison is not None or (recipe.comparison is not None and recipe.comparison.covariates):
        return None
    if lacks_weights(version) or _is_of_early_schema(version):
        return None
    if any(
        (group.number, group.n) != (number, len(group.experiment_ids)) for number, group in enumerate(version.groups)
    ):
        return False
    try:
        groups = recorded_groups(content_of_rows(version)["groups"], version.experiments)
    except FormatError:
        return False
    recorded = RecordedInputs(recipe, groups, version.experiments, version.algorithm_version)
    return recorded.fingerprint() == version.fingerprint


def lacks_weights(version: VersionSource) -> bool:
    """Whether the rows lack the weights of a weighted version, as those from before schema revision 0021 do.

    Damage would remove them from single rows only.
    """
    return version.recipe.weight_by != "none" and all(member.weight is None for member in version.experiments)


def as_recorded(version: VersionSource, members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Members with or without their weights, as the rows of a version have them, to be compared with these."""
    return without_weights(members) if lacks_weights(version) else members


def _is_of_early_schema(version: VersionSource) -> bool:
    """Whether the columns of revision 0003 are empty in all rows; damage would empty them in single rows only."""
    lacks_ranges = len(version.axes) > 1 and all(
        (group.second_lower, group.second_upper, group.second_center) == (None, None, None) for group in version.groups
    )
    members = [member for member in version.experiments if member.group is not None]
    lacks_masks = (
        version.recipe.exclude_injection and all(member.injection_fraction_sha256 is None for member in members)
    ) or (version.recipe.weight_by_data_mask and all(member.data_mask_sha256 is None for member in members))
    return bool(version.groups) and (lacks_ranges or lacks_masks)


def require_undamaged(version: VersionSource) -> None:
    """Check that the rows of a version have its fingerprint.

    Raises
    ------
    DamagedCatalogError
        If they do not.
    """
    if has_fingerprint(version) is False:
        raise _damaged(version)


def require_inputs(version: VersionSource, inputs: Inputs) -> None:
    """Check that the rows of a version agree with gathered inputs that have its fingerprint.

    Not checked for versions from before schema revision 0003, whose rows are only a part of the inputs.

    Raises
    ------
    DamagedCatalogError
        If they do not.
    """
    if _is_of_early_schema(version):
        return
    found = version.recipe, version.groups, version.experiments
    if found != (inputs.recipe, groups_of(inputs), as_recorded(version, inputs.experiments())):
        raise _damaged(version)


def _damaged(version: VersionSource) -> DamagedCatalogError:
    return DamagedCatalogError(
        f"the catalog is damaged: recipe, groups or members of {version.ref} are not the ones that were stored",
        hint="Restore the database from a backup, or delete the version and compute it again, which gives it the next "
        f"number: bsv-store dataset delete {version.ref}",
    )
