"""Volumes of experiments outside of datasets: with hemisphere rule and normalization, one or many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.stack import StackedVolume, VolumeStack
from bsv_store.catalog.injected_hemispheres import injected_hemispheres
from bsv_store.catalog.missing import leave_out, nothing_left
from bsv_store.catalog.normalization import known_divisors
from bsv_store.catalog.selected_volumes import selected_volumes
from bsv_store.catalog.verify import check_side
from bsv_store.catalog.volume_use import record_use
from bsv_store.check import choice
from bsv_store.errors import InputError
from bsv_store.vocabulary import HEMISPHERE_RULES, MISSING_POLICIES, NORMALIZATIONS, VOLUME_KINDS
from bsv_store.volumes.grid import checked_spacing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import HemisphereRule
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


def with_rule(connection: Connection, file: VolumeFile, hemisphere_rule: object) -> StackedVolume:
    """A volume with a hemisphere rule.

    Raises
    ------
    InputError
        If there is no such rule, or the rule needs the injected hemisphere and it is not known.
    DamagedCatalogError
        If the rows from which the injected hemisphere is known are damaged.
    """
    rule = choice("hemisphere_rule", hemisphere_rule, HEMISPHERE_RULES).name
    if HEMISPHERE_RULES[rule].needs_side:
        check_side(connection, file.experiment_id)
    injected = injected_hemispheres(connection, [file.experiment_id])[file.experiment_id]
    if HEMISPHERE_RULES[rule].needs_side and injected is None:
        raise InputError(f"{_no_side(rule)}: experiment {file.experiment_id}", hint=_NO_SIDE_HINT)
    return StackedVolume(file, rule, injected)


_NO_SIDE_HINT = "Use the hemisphere rule 'none'."


def _no_side(rule: HemisphereRule) -> str:
    return f"the injected hemisphere, which the hemisphere rule {rule} needs, is not known"


def experiment_stack(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    *,
    kind: str,
    spacing_um: int,
    hemisphere_rule: str,
    normalize: str,
    missing: str,
) -> VolumeStack:
    """See :meth:`bsv_store.store.volumes.Volumes.stack`."""
    wanted = choice("kind", kind, VOLUME_KINDS).name
    policy = choice("missing", missing, MISSING_POLICIES).name
    spacing_um = checked_spacing(spacing_um)
    rule = choice("hemisphere_rule", hemisphere_rule, HEMISPHERE_RULES).name
    normalization = choice("normalize", normalize, NORMALIZATIONS).name
    with database.reading() as connection:
        found, left_out, absent = selected_volumes(
            connection,
            selection,
            kind=wanted,
            spacing_um=spacing_um,
            missing=policy,
            reads_sides=HEMISPHERE_RULES[rule].needs_side,
            reads_divisors=normalization != "none",
        )
        injected = injected_hemispheres(connection, found)
        if HEMISPHERE_RULES[rule].needs_side:
            without = sorted(each for each in found if injected[each] is None)
            left_out |= leave_out(without, _no_side(rule), missing=policy, hint=_NO_SIDE_HINT)
        known = known_divisors(
            connection, selection, sorted(set(found) - set(left_out)), normalize=normalization, missing=policy
        )
        left_out |= known.left_out
    members = sorted(set(found) - set(left_out))
    if not members:
        raise nothing_left(selection, left_out, absent=absent, spacing_um=spacing_um, without_rows=known.without_rows)
    record_use(database, [found[each] for each in members])
    volumes = [StackedVolume(found[each], rule, injected[each], known.values.get(each)) for each in members]
    return VolumeStack(
        database,
        files,
        volumes,
        spacing_um=spacing_um,
        dtype=volumes[0].dtype,
        left_out=left_out,
        # No hash of their content has been used yet.
        follow=True,
    )
