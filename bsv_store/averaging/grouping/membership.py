"""The experiments of the selections that a grouping names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.grouping.grouping import selections_of
from bsv_store.catalog.selection.resolve import resolve, resolve_nonempty

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.grouping.assignment import Membership
    from bsv_store.averaging.grouping.grouping import Grouping


def read_membership(connection: Connection, grouping: Grouping, *, allow_empty: bool = True) -> Membership:
    """The ids of the experiments of each selection, by label; empty if the grouping is not by selections.

    Raises
    ------
    EmptySelectionError
        If nothing matches one of the selections and ``allow_empty`` is False; the hint names the criterion.
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        If a selection names what the catalog does not have.
    """
    look_up = resolve if allow_empty else resolve_nonempty
    return {group.label: frozenset(look_up(connection, group.selection)) for group in selections_of(grouping)}
