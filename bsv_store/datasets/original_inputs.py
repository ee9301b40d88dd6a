"""The inputs that a version was computed from: from its result file, or from what the catalog recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bsv_store.averaging.comparison.structure_values import ComparedStructure, recorded_values, structures_from_json
from bsv_store.averaging.grouping.assignment import Group, LeftOut
from bsv_store.averaging.inputs import Inputs, MemberInput, check_recipe_inputs, gather_inputs
from bsv_store.averaging.members import Member, members_from_json
from bsv_store.averaging.recorded import recorded_groups
from bsv_store.catalog.selection.commands import fetch_command
from bsv_store.catalog.volumes import find_volumes
from bsv_store.datasets.recorded_rows import content_of_rows
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.documents import json_value
from bsv_store.errors import DamagedFileError, InputError, MissingDataError
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.comparison.design import CovariateValues
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.averaging.recorded import RecordedInputs
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.library import VolumeFile


def content_of_file(version: VersionSource) -> dict[str, Any] | None:
    """The inputs in the result file, as JSON values; None if the file is damaged."""
    try:
        with version.open() as file:
            value: dict[str, Any] = json_value(read_inputs(file))
            return value
    except DamagedFileError:
        # Rebuilding the version restores it.
        return None


def original_inputs(connection: Connection, version: VersionSource, content: dict[str, Any] | None) -> Inputs:
    """The inputs of a version: from its file, else the current ones if they are the same, else from the catalog.

    Parameters
    ----------
    content : dict or None
        The result of `content_of_file`.

    Raises
    ------
    MissingDataError
        If a file that the version was computed from is not in the store.
    """
    if content is not None:
        return _from_content(connection, version.recipe, content)
    with contextlib.suppress(InputError):
        # If the recipe has no result now, the recorded inputs are used.
        current = gather_inputs(connection, version.recipe)
        if current.fingerprint() == version.fingerprint:
            return current
    return _from_content(connection, version.recipe, content_of_rows(version))


def _from_content(connection: Connection, recipe: Recipe, content: Mapping[str, Any]) -> Inputs:
    experiments = members_from_json(content)
    names = () if recipe.comparison is None else recipe.comparison.covariates
    if names and "covariates" not in content:
        raise MissingDataError(
            f"the values of the covariates {', '.join(names)} that the version was computed with have changed, and "
            "only its result file, which is missing or damaged, contains them",
            hint="Compute the comparison again.",
        )
    covariates = {name: tuple(content["covariates"][name]) for name in names}
    if recipe.weight_by != "none" and "weights" not in content:
        raise MissingDataError(
            "the weights that the version was computed with have changed, and only its result file, which is missing "
            "or damaged, contains them",
            hint="Compute the average again.",
        )
    groups = recorded_groups(content["groups"], experiments)
    if recipe.structure_comparison is not None and "structures" not in content:
        raise MissingDataError(
            "the structures or the unionize tables that the version was computed with have changed, and only its "
            "result file, which is missing or damaged, names the structures",
            hint="Compute the comparison again.",
        )
    structures = structures_from_json(content.get("structures"), recipe.structure_comparison)
    return _from_parts(connection, recipe, groups, experiments, covariates, structures)


def inputs_with_files(connection: Connection, recorded: RecordedInputs) -> Inputs:
    """Recorded inputs with the files of their members, or with the values of a comparison by structure.

    Raises
    ------
    MissingDataError
        If a recorded file or value is missing from the store.
    """
    return _from_parts(
        connection,
        recorded.recipe,
        recorded.groups,
        recorded.members,
        recorded.covariates,
        recorded.structures,
    )


def _from_parts(
    connection: Connection,
    recipe: Recipe,
    groups: tuple[Group, ...],
    experiments: Sequence[Member],
    covariates: CovariateValues,
    structures: Sequence[ComparedStructure],
) -> Inputs:
    members = [member for member in experiments if member.group is not None]
    left_out = tuple(LeftOut(each.experiment_id, each.reason or "") for each in experiments if each.group is None)
    check_recipe_inputs(connection, recipe, [member.experiment_id for member in members])
    if recipe.structure_comparison is None:
        return Inputs(recipe, groups, _with_files(connection, recipe, members), left_out, covariates)
    table = recorded_values(connection, recipe.structure_comparison, structures, members)
    return Inputs(recipe, groups, (), left_out, covariates, table)


def _with_files(connection: Connection, recipe: Recipe, members: Sequence[Member]) -> tuple[MemberInput, ...]:
    def files(kind: VolumeKind, hashes: Mapping[int, str | None]) -> dict[int, VolumeFile]:
        return _files(connection, recipe, kind, hashes)

    volumes = files(recipe.kind, {each.experiment_id: each.array_sha256 for each in members})
    exclude: dict[int, VolumeFile] = {}
    masks: dict[int, VolumeFile] = {}
    if recipe.exclude_injection:
        exclude = files("injection_fraction", {each.experiment_id: each.injection_fraction_sha256 for each in members})
    if recipe.weight_by_data_mask:
        masks = files("data_mask", {each.experiment_id: each.data_mask_sha256 for each in members})
    return tuple(
        MemberInput(
            each.experiment_id,
            each.group or 0,
            volumes[each.experiment_id],
            1.0 if each.divisor is None else each.divisor,
            each.injected_hemisphere,
            exclude.get(each.experiment_id),
            masks.get(each.experiment_id),
            each.divisor_source,
            each.weight,
        )
        for each in members
    )


def _files(
    connection: Connection, recipe: Recipe, kind: VolumeKind, hashes: Mapping[int, str | None]
) -> dict[int, VolumeFile]:
    """The files with these hashes, by experiment id.

    Raises
    ------
    MissingDataError
        If one is not in the store.
    """
    ids = list(hashes)
    found = find_volumes(connection, ids, kind=kind, spacing_um=recipe.spacing_um)
    absent = [identifier for identifier in ids if identifier not in found]
    if absent:
        command = fetch_command(recipe.selection, absent, kind=kind, spacing_um=recipe.spacing_um)
        raise MissingDataError(
            f"the {kind} that the version was computed from is not in the store: {listed_ids(absent)}",
            hint=f"Fetch it: {command}",
        )
    # Early schemas did not record the hashes of masks. If the result file is damaged too, current masks are used.
    replaced = [each for each in ids if hashes[each] not in (None, found[each].layout.array_sha256)]
    if replaced:
        raise MissingDataError(
            f"the {kind} that the version was computed from has been replaced: {listed_ids(replaced)}",
            hint="The version cannot be rebuilt. `bsv-store dataset stale` lists what has changed.",
        )
    return found
