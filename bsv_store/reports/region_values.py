"""Values by region, as other programs take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bsv_store.catalog.without_unionizes import DOWNLOAD_TABLES
from bsv_store.check import boolean
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import InputError, MissingDataError

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import Measure, MeasuredHemisphere, MissingPolicy

RegionValues = dict[str, float] | dict[str, dict[str, float]]

# A folded version has the contralateral hemisphere on the left.
_LEFT, _RIGHT = ("left", "contralateral"), ("right", "ipsilateral")


def region_values(
    store: Store,
    source: DatasetVersion | str | SelectionLike | None,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    group: int | None = None,
    by_hemisphere: bool = False,
    measure: Measure = "projection_density",
    missing: MissingPolicy = "leave_out",
) -> RegionValues:
    """Values by acronym, as ``brainglobe_heatmap.Heatmap`` and brainrender take them.

    Parameters
    ----------
    store : Store
    source : DatasetVersion, str, Selection, experiment ids or None
        A dataset version or its name: the mean over the voxels of each structure, as `Datasets.regions` has it. Or
        experiments: the mean of the measure over animals, as in `Catalog.matrix`, outside the injection site.
    structures : str, int or sequence of them, optional
        Acronyms (case matters) or ids.
    structure_set : int, optional
        Allen's id of a structure set. By default, without ``structures``, the summary structures (167587189).
    group : int, optional
        Number of the group of the version; required if it has several.
    by_hemisphere : bool
        One value for each hemisphere, as brainglobe-heatmap takes them since 0.7. The contralateral hemisphere of a
        folded version is 'left'.
    measure : Measure
        For experiments.
    missing : {'leave_out', 'error'}
        For experiments: what to do about those without unionize table.

    Returns
    -------
    dict
        ``{"VISp": 0.1}``, or by hemisphere ``{"VISp": {"left": 0.1, "right": 0.2}}``. Values are of type float.
        Structures without a value are left out.

    Raises
    ------
    MissingDataError
        If the store has no annotation at the version's spacing, or no unionize table of the experiments.
    InputError
        If an argument is not valid.

    Examples
    --------
    >>> values = region_values(store, "visual@1", group=0)  # doctest: +SKIP
    >>> bgh.Heatmap(values, position=8000, orientation="frontal", format="2D").show()  # doctest: +SKIP
    """
    each_side = boolean("by_hemisphere", by_hemisphere)
    if isinstance(source, DatasetVersion | str):
        version = store.dataset(source)
        return _of_version(store, version, structures, structure_set, _group(version, group), each_side)
    if group is not None:
        raise InputError("group needs a dataset version as source", hint="Leave it out for experiments.")
    sides: tuple[MeasuredHemisphere, ...] = ("left", "right") if each_side else ("both",)
    frame = store.catalog.matrix(
        source,
        rows="experiments",
        targets=structures,
        structure_set=structure_set,
        hemisphere=sides,
        measure=measure,
        missing=missing,
    )
    counted = frame.dropna(how="all")
    if counted.empty:
        raise MissingDataError(
            "the store has no unionize table of the selected experiments",
            hint=DOWNLOAD_TABLES,
        )
    mean = counted.mean()
    rows = [(str(target), str(side), float(value)) for (side, target), value in mean.items()]
    return _arranged(rows, each_side=each_side)


def _group(version: DatasetVersion, group: int | None) -> int:
    if group is None and len(version.groups) > 1:
        raise InputError(
            f"{version.ref} has {len(version.groups)} groups, and group is not given",
            hint=f"Choose one: group=0 to {len(version.groups) - 1}.",
        )
    return 0 if group is None else group


def _of_version(
    store: Store,
    version: DatasetVersion,
    structures: StructureRef | Sequence[StructureRef] | None,
    structure_set: int | None,
    group: int,
    each_side: bool,
) -> RegionValues:
    frame = store.datasets.regions(version, structures=structures, structure_set=structure_set, groups=group)
    wanted = (*_LEFT, *_RIGHT) if each_side else ("both",)
    chosen = frame[frame["hemisphere"].isin(wanted)]
    rows = zip(chosen["structure"], chosen["hemisphere"], chosen["mean"], strict=True)
    return _arranged([(str(a), str(side), float(value)) for a, side, value in rows], each_side=each_side)


def _arranged(rows: Sequence[tuple[str, str, float]], *, each_side: bool) -> RegionValues:
    known = [row for row in rows if np.isfinite(row[2])]
    if not each_side:
        return {acronym: value for acronym, _, value in known}
    found: dict[str, dict[str, float]] = {}
    for acronym, side, value in known:
        found.setdefault(acronym, {})["left" if side in _LEFT else "right"] = value
    return found
