"""Brain Street View's two searches, answered by the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from bsv_store.catalog.selection.selection import Selection
from bsv_store.store.opening import open_store

if TYPE_CHECKING:
    from bsv_store.store.store import Store

# Brain Street View's code for wild type; '' stands for all lines.
_WILD_TYPE_CODE = "0"


def find_connectivity_experiments(
    regions: Sequence[str] | str,
    mouse_line: str = "",
    primary_injection: bool = True,
    target_regions: Sequence[str] | str | None = None,
    *,
    measure: str = "projection_volume",
    threshold: float = 0.01,
    target_hemisphere: str = "both",
    store: Store | None = None,
) -> list[int]:
    """Ids of the experiments injected in the regions or their descendants, ascending.

    Parameters
    ----------
    regions : sequence of str
        Acronyms.
    mouse_line : str
        '' = all, '0' = wild type, else a line's name.
    primary_injection : bool
        Whether the primary injection structure counts, or any that the injection touched.
    target_regions : sequence of str, optional
        Only experiments that project to one of these: their own signal counts. (Brain Street View takes every
        experiment of a source region in which any projects there.)
    measure, threshold, target_hemisphere
        What counts as projecting: a unionize measure outside the injection above the threshold in 'left', 'right',
        'both', 'ipsilateral' or 'contralateral'.
    store : Store, optional
        By default the one that ``open_store()`` finds.

    Raises
    ------
    UnknownStructureError, SelectionError
        If a region or line is unknown.
    """
    parts: dict[str, Any] = {
        "injected_in": _listed(regions),
        "injection": "primary" if primary_injection else "any",
        **_line(mouse_line),
    }
    if target_regions is not None and len(target_regions) > 0:
        parts |= _target(target_regions, measure, threshold, target_hemisphere)
    selection = Selection(**parts)
    with nullcontext(store) if store is not None else open_store() as opened:
        return list(opened.select(selection))


def fetch_upstream_regions(
    target_regions: Sequence[str] | str,
    min_projection_volume: float = 0.01,
    mouse_line: str = "",
    *,
    measure: str = "projection_volume",
    target_hemisphere: str = "both",
    store: Store | None = None,
) -> list[str]:
    """Acronyms of the primary structures of the experiments that project to a target, sorted.

    Parameters
    ----------
    target_regions : sequence of str
        Acronyms.
    min_projection_volume : float
        The measure outside the injection must be above this in a target; mm3 for projection_volume.
    mouse_line : str
        '' = all, '0' = wild type, else a line's name. (Brain Street View ignores it.)
    measure, target_hemisphere
        As in `find_connectivity_experiments`.
    store : Store, optional
        By default the one that ``open_store()`` finds.

    Raises
    ------
    UnknownStructureError, SelectionError
        If a region or line is unknown.
    """
    target = _target(target_regions, measure, min_projection_volume, target_hemisphere)
    selection = Selection(**target, **_line(mouse_line))
    with nullcontext(store) if store is not None else open_store() as opened:
        return sorted(set(opened.experiments(selection)["primary_structure"]))


def _target(regions: Sequence[str] | str, measure: str, threshold: float, hemisphere: str) -> dict[str, Any]:
    return {
        "projecting_to": _listed(regions),
        "measure": measure,
        "threshold": threshold,
        "target_hemisphere": hemisphere,
    }


def _line(mouse_line: str) -> dict[str, Any]:
    if mouse_line == "":
        return {}
    return {"line": "wild-type" if mouse_line == _WILD_TYPE_CODE else mouse_line}


def _listed(regions: Sequence[str] | str) -> list[str]:
    return [regions] if isinstance(regions, str) else list(regions)
