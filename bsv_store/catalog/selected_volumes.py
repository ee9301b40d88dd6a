"""The volumes of the experiments of a selection, for results that are not datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bsv_store.catalog.missing import nothing_left, without_volume
from bsv_store.catalog.selection.criteria import Criteria
from bsv_store.catalog.verify import check_selected, check_selecting
from bsv_store.catalog.volumes import find_volumes
from bsv_store.catalog.without_unionizes import selected_ids

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MissingPolicy, VolumeKind
    from bsv_store.volumes.library import VolumeFile


class SelectedVolumes(NamedTuple):
    """The volumes of the selected experiments.

    Attributes
    ----------
    files : dict of int to VolumeFile
        By experiment id; at least one.
    left_out : dict of int to str
        The reason for each selected experiment without the volume.
    absent : VolumeKind or None
        The kind of volume that some of them do not have.
    """

    files: dict[int, VolumeFile]
    left_out: dict[int, str]
    absent: VolumeKind | None


def selected_volumes(
    connection: Connection,
    selection: Selection,
    *,
    kind: VolumeKind,
    spacing_um: int,
    missing: MissingPolicy,
    reads_sides: bool = False,
    reads_divisors: bool = False,
) -> SelectedVolumes:
    """Check the rows of the catalog that decide which volumes are read, and find these volumes.

    Parameters
    ----------
    reads_sides : bool
        Also check the injected hemispheres of these experiments.
    reads_divisors : bool
        Also check the unionize rows from which the divisors of these experiments are known, and their hemispheres.

    Raises
    ------
    DamagedCatalogError
        If a row differs from what was stored, is missing, or was added by another program.
    MissingDataError
        If volumes are missing and the policy is 'error', or all are missing.
    EmptySelectionError, UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `resolve_nonempty`.
    """
    leaves = list(selection.leaves())
    # Divisors are read from the unionize rows, which a copy of a server's catalog then needs.
    accepts_sent_rows = not reads_divisors
    check_selecting(connection, leaves, accepts_sent_rows=accepts_sent_rows, experiment_ids=_only_ids(selection))
    ids = selected_ids(connection, selection)
    check_selected(
        connection,
        ids,
        leaves=leaves,
        kinds=[kind],
        spacing_um=spacing_um,
        reads_injection=reads_sides or reads_divisors,
        accepts_sent_rows=accepts_sent_rows,
    )
    found = find_volumes(connection, ids, kind=kind, spacing_um=spacing_um)
    absent = [each for each in ids if each not in found]
    left_out = without_volume(selection, absent, kind=kind, spacing_um=spacing_um, missing=missing)
    if not found:
        raise nothing_left(selection, left_out, absent=kind, spacing_um=spacing_um)
    return SelectedVolumes(found, left_out, kind if absent else None)


def _only_ids(selection: Selection) -> tuple[int, ...] | None:
    """The ids of a selection that has no other criterion; None for others."""
    node = selection.node
    return node.ids if isinstance(node, Criteria) and node.to_dict().keys() == {"ids"} else None
