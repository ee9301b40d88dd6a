"""The inputs that a version was made from, found again: from its file, or from what the catalog records."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from bsv_store.averaging.grouping.assignment import CoordinateRange, Group, LeftOut
from bsv_store.averaging.inputs import Inputs, MemberInput, gather_inputs
from bsv_store.catalog.selection.commands import fetch_command
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import DamagedFileError, InputError, MissingDataError
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.records import GroupInfo
    from bsv_store.datasets.stored import StoredVersion
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.library import VolumeFile


def recorded_content(version: StoredVersion) -> dict[str, Any] | None:
    """What the result file says went in; None if the file is damaged."""
    try:
        with version.open() as file:
            value: dict[str, Any] = json.loads(file["inputs"].asstr()[()])
            return value
    except DamagedFileError:
        # To put this right is what a rebuild is for.
        return None


def recorded_inputs(connection: Connection, version: StoredVersion, content: dict[str, Any] | None) -> Inputs:
    """The inputs of a version, from its file, else as they are now if they are the same, else from the catalog."""
    if content is not None:
        return _from_content(connection, version.recipe, content)
    with contextlib.suppress(InputError):
        # Without an answer now: what went in then is recorded all the same.
        current = gather_inputs(connection, version.recipe)
        if current.fingerprint() == version.fingerprint:
            return current
    return _from_content(connection, version.recipe, _content_of_rows(version))


def _content_of_rows(version: StoredVersion) -> dict[str, Any]:
    """What the catalog records of the inputs: all that the arrays depend on."""
    members = [
        {
            "experiment_id": member.experiment_id,
            "group": member.group,
            "divisor": member.divisor,
            "injected": member.injected_hemisphere,
            "volume": member.array_sha256,
            "exclude": member.injection_fraction_sha256,
            "weights": member.data_mask_sha256,
        }
        for member in version.experiments
        if member.group is not None
    ]
    groups = [{"label": group.label, "ranges": _ranges_of(version, group)} for group in version.groups]
    left_out = [{"experiment_id": left.experiment_id, "reason": left.reason} for left in version.left_out]
    return {"groups": groups, "members": members, "left_out": left_out}


def _ranges_of(version: StoredVersion, group: GroupInfo) -> list[dict[str, Any]]:
    edges = (
        (group.lower, group.upper, group.center),
        (group.second_lower, group.second_upper, group.second_center),
    )
    return [
        {"axis": axis, "lower_um": lower, "upper_um": upper, "center_um": center}
        for axis, (lower, upper, center) in zip(version.axes, edges, strict=False)
    ]


def _from_content(connection: Connection, recipe: Recipe, content: Mapping[str, Any]) -> Inputs:
    entries = content["members"]
    roles: dict[str, VolumeKind] = {"volume": recipe.kind}
    if recipe.exclude_injection:
        roles["exclude"] = "injection_fraction"
    if recipe.weight_by_data_mask:
        roles["weights"] = "data_mask"
    found = {role: _volumes(connection, recipe, entries, role, kind) for role, kind in roles.items()}
    ids: dict[int, list[int]] = {}
    for entry in entries:
        ids.setdefault(entry["group"], []).append(entry["experiment_id"])
    groups = tuple(
        Group(
            number,
            group["label"],
            tuple(ids.get(number, [])),
            tuple(CoordinateRange(**part) for part in group["ranges"]),
        )
        for number, group in enumerate(content["groups"])
    )
    members = tuple(
        MemberInput(
            entry["experiment_id"],
            entry["group"],
            divisor=entry["divisor"],
            injected=entry["injected"],
            **{role: volumes[entry["experiment_id"]] for role, volumes in found.items()},
        )
        for entry in entries
    )
    return Inputs(recipe, groups, members, tuple(LeftOut(**left) for left in content["left_out"]))


def _volumes(
    connection: Connection, recipe: Recipe, entries: Sequence[Mapping[str, Any]], role: str, kind: VolumeKind
) -> dict[int, VolumeFile]:
    """The volumes of a role that went in, by experiment id.

    Raises
    ------
    MissingDataError
        If the store no longer has them.
    """
    ids = [entry["experiment_id"] for entry in entries]
    found = find_volumes(connection, ids, kind=kind, spacing_um=recipe.spacing_um)
    absent = [identifier for identifier in ids if identifier not in found]
    if absent:
        raise MissingDataError(
            f"the {kind} that went in is no longer in the store: {listed_ids(absent)}",
            hint=f"Bring it back: {fetch_command(recipe.selection, absent, kind=kind, spacing_um=recipe.spacing_um)}",
        )
    # Early schemas did not record the hashes of masks; where the file is damaged too, today's masks must do.
    recorded = {entry["experiment_id"]: entry.get(role) for entry in entries}
    replaced = [each for each in ids if recorded[each] not in (None, found[each].layout.array_sha256)]
    if replaced:
        raise MissingDataError(
            f"the {kind} that went in has been replaced by another: {listed_ids(replaced)}",
            hint="The version cannot be computed again; `bsv-store dataset stale` says what has changed.",
        )
    return found
