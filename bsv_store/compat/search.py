"""Brain Street View's two searches, as selections."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import Selection
from bsv_store.store.opening import open_store

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import Measure, MeasuredHemisphere

# Brain Street View writes '0' for wild type and '' for all lines.
_WILD_TYPE_CODE = "0"


def find_connectivity_experiments(
    regions: Sequence[str] | str,
    mouse_line: str = "",
    primary_injection: bool = True,
    target_regions: Sequence[str] | str | None = None,
    *,
    measure: Measure = "projection_volume",
    threshold: float = 0.01,
    target_hemisphere: MeasuredHemisphere = "both",
    store: Store | None = None,
) -> list[int]:
    """Ids of the experiments injected in the regions or their descendants, ascending.

    Withdrawn experiments and those on the exclusion list are not returned.

    Parameters
    ----------
    regions : sequence of str
        Acronyms.
    mouse_line : str
        '' = all, '0' = wild type, else the name of a line.
    primary_injection : bool
        Whether only the primary injection structure counts, or also the secondary ones.
    target_regions : sequence of str, optional
        Only experiments that project to one of these. (Brain Street View returns all experiments of a region if any
        of them projects there.)
    measure, threshold, target_hemisphere
        An experiment projects to a target if the measure outside the injection site exceeds the threshold there, in
        the hemisphere 'left', 'right', 'both', 'ipsilateral' or 'contralateral'.
    store : Store, optional
        By default the one that ``open_store()`` finds.

    Raises
    ------
    UnknownStructureError, SelectionError
        If a region or line is unknown.
    """
    selection = Selection(
        injected_in=regions, injection="primary" if primary_injection else "any", line=_line(mouse_line)
    )
    if target_regions is not None and len(target_regions) > 0:
        selection &= Selection(
            projecting_to=target_regions, measure=measure, threshold=threshold, target_hemisphere=target_hemisphere
        )
    with nullcontext(store) if store is not None else open_store() as opened:
        return list(opened.select(selection))


def fetch_upstream_regions(
    target_regions: Sequence[str] | str,
    min_projection_volume: float = 0.01,
    mouse_line: str = "",
    *,
    measure: Measure = "projection_volume",
    target_hemisphere: MeasuredHemisphere = "both",
    store: Store | None = None,
) -> list[str]:
    """Acronyms of the primary structures of the experiments that project to one of the targets, sorted.

    Parameters
    ----------
    target_regions : sequence of str
        Acronyms.
    min_projection_volume : float
        Threshold of the measure outside the injection site; mm3 for projection_volume.
    mouse_line : str
        '' = all, '0' = wild type, else the name of a line. (Brain Street View ignores it.)
    measure, target_hemisphere
        As in `find_connectivity_experiments`.
    store : Store, optional
        By default the one that ``open_store()`` finds.

    Raises
    ------
    UnknownStructureError, SelectionError
        If a region or line is unknown.
    """
    selection = Selection(
        projecting_to=target_regions,
        measure=measure,
        threshold=min_projection_volume,
        target_hemisphere=target_hemisphere,
        line=_line(mouse_line),
    )
    with nullcontext(store) if store is not None else open_store() as opened:
        return sorted(set(opened.experiments(selection)["primary_structure"]))


def _line(mouse_line: str) -> str | None:
    return "wild-type" if mouse_line == _WILD_TYPE_CODE else mouse_line or None
