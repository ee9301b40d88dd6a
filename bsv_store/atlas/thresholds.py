"""Voxels of a volume above a threshold, as a mask and by structure."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import (
    annotation_facts,
    named_structures,
    references,
    stored_annotation,
    structure_mask,
)
from bsv_store.atlas.masks import StructureVoxels
from bsv_store.catalog.structures import StructureRef, find_structures, structure_set, subtree
from bsv_store.catalog.without_unionizes import caller_level
from bsv_store.check import boolean, choice, finite_number, whole_number, without
from bsv_store.check import path as checked_path
from bsv_store.errors import BsvStoreWarning, InputError, MissingDataError
from bsv_store.formats.image import Image, array_slabs
from bsv_store.formats.table import IMAGE_FORMATS, checked_format, write_file
from bsv_store.text import joined, number_of
from bsv_store.vocabulary import SUMMARY_STRUCTURE_SET_ID, THRESHOLD_RULES, MeasuredHemisphere, ThresholdRule
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

_RULES = (
    f"A threshold is {joined([f'{row.words} (rule={row.name!r})' for row in THRESHOLD_RULES.values()], 'or')}; for "
    "example threshold=95, rule='percentile', positive_only=True, or --rule percentile --positive-only."
)
_HALVES: tuple[MeasuredHemisphere, MeasuredHemisphere] = ("left", "right")


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdedVolume:
    """The voxels of a volume above a threshold.

    Attributes
    ----------
    title : str
        What the volume is.
    mask : ndarray of bool, shape (ap, dv, ml)
        Whether a voxel is above ``cutoff``, and in the structures to which the threshold was limited.
    cutoff : float
        The value that voxels exceed.
    threshold : float
    rule : ThresholdRule
    candidates : int
        Number of voxels that the rule considered.
    halves : (str, str)
        Names of the left and the right half: ``'left'`` and ``'right'``, or ``'contralateral'`` and ``'ipsilateral'``.
    """

    title: str
    mask: NDArray[np.bool_]
    cutoff: float
    threshold: float
    rule: ThresholdRule
    candidates: int
    halves: tuple[MeasuredHemisphere, MeasuredHemisphere]
    _values: NDArray[np.floating[Any]]
    _database: Database
    _files: StoreFiles

    def __repr__(self) -> str:
        return (
            f"<ThresholdedVolume {self.title}: {int(self.mask.sum()):,} of {number_of(self.candidates, 'voxel')} above "
            f"{self.cutoff:.6g}>"
        )

    def regions(
        self,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        *,
        structure_set: int | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """How much of each structure is above the threshold.

        Parameters
        ----------
        structures : str, int or sequence of them, optional
            Descendants are included.
        structure_set : int, optional
            Or a set, by Allen's id. By default the summary structures (167587189).
        limit : int, optional
            Maximum number of structures, those with the largest share of both hemispheres first.

        Returns
        -------
        pandas.DataFrame
            Columns structure_id, structure, name, hemisphere (as in ``halves``, or ``'both'``), voxels (with data),
            above_voxels, above_share (of the voxels), mean (of all voxels) and above_mean (of those above), in ontology
            order or by share. NaN without voxels. ``frame.attrs["annotation"]`` names the annotation.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation at the spacing of the volume.
        UnknownStructureError, InputError
            If a structure or set does not exist.
        """
        return _regions(self, structures, structure_set, limit)

    def export(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the mask to an image file; see `Atlas.export_mask`.

        Raises
        ------
        InputError
            If the ending is unknown, or the file exists.
        """
        file = checked_path("path", path)
        checked_format(file, IMAGE_FORMATS, options={})
        title = f"{self.title} above {self.cutoff:g}"
        image = Image(
            grid=Grid.from_shape(self.mask.shape),
            dtype="bool",
            slabs=array_slabs(self.mask),
            title=title,
            name=title,
            content="mask",
            facts={"cutoff": repr(self.cutoff), "threshold": repr(self.threshold), "rule": self.rule},
        )
        write_file(image, file, IMAGE_FORMATS, overwrite=overwrite)


def thresholded(
    database: Database,
    files: StoreFiles,
    values: NDArray[np.floating[Any]],
    threshold: float,
    *,
    title: str,
    rule: str = "absolute",
    within: StructureRef | Sequence[StructureRef] | None = None,
    positive_only: bool = False,
    halves: tuple[MeasuredHemisphere, MeasuredHemisphere] = _HALVES,
) -> ThresholdedVolume:
    """See :meth:`bsv_store.store.volumes.Volumes.threshold`.

    Parameters
    ----------
    halves : (str, str), optional
        Names of the left and the right half in tables by structure.

    Raises
    ------
    InputError
        If the threshold or the rule is not valid.
    MissingDataError
        If no voxel has data, or the annotation is needed and missing.

    Warns
    -----
    BsvStoreWarning
        If an absolute threshold is above all values, as a percentile without ``rule`` would be.
    """
    chosen = choice("rule", rule, THRESHOLD_RULES).name
    limit = _checked(threshold, chosen)
    boolean("positive_only", positive_only)
    domain = ~np.isnan(values)
    if within is not None:
        spacing_um = Grid.from_shape(values.shape).spacing_um
        domain &= structure_mask(database, files, within, spacing_um=spacing_um)
    candidates = domain & (values > 0) if positive_only else domain
    found = values[candidates].astype(np.float64)
    if not found.size:
        what = "positive voxel" if positive_only else "voxel with data"
        where = "" if within is None else " in the structures"
        raise MissingDataError(f"the {title} has no {what}{where}")
    if chosen == "absolute" and limit > found.max():
        message = f"no voxel of the {title} is above {limit:g}; the highest value is {found.max():g}"
        warnings.warn(BsvStoreWarning(message, hint=_RULES), stacklevel=caller_level())
    cutoff = _cutoff(found, limit, chosen)
    with np.errstate(invalid="ignore"):
        mask = domain & (values > cutoff)
    return ThresholdedVolume(title, mask, cutoff, limit, chosen, int(found.size), halves, values, database, files)


def _checked(threshold: object, rule: ThresholdRule) -> float:
    value = finite_number("threshold", threshold)
    if rule == "percentile" and not 0 <= value <= 100:
        raise InputError(f"threshold must be a percentile from 0 to 100, got {value:g}", hint=_RULES)
    return value


def _cutoff(values: NDArray[np.float64], threshold: float, rule: ThresholdRule) -> float:
    if rule == "absolute":
        return threshold
    if rule == "percentile":
        return float(np.percentile(values, threshold))
    if rule == "z_score":
        return float(values.mean() + threshold * values.std())
    assert_never(rule)


def _regions(
    volume: ThresholdedVolume,
    structures: StructureRef | Sequence[StructureRef] | None,
    set_id: int | None,
    limit: int | None,
) -> pd.DataFrame:
    import pandas as pd

    without("structures", "structure_set", structures is not None and set_id is not None)
    if limit is not None:
        whole_number("limit", limit, least=1)
    with volume._database.reading() as connection:
        if structures is None:
            rows = structure_set(connection, SUMMARY_STRUCTURE_SET_ID if set_id is None else set_id)
        else:
            rows = named_structures(find_structures(connection, references(structures)))
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    file = stored_annotation(volume._database, Grid.from_shape(volume.mask.shape).spacing_um)
    with opened_annotation(volume._files, file) as annotation:
        voxels = StructureVoxels(annotation, members)
    values = np.asarray(volume._values, np.float64)
    total, known = (_with_both(each) for each in voxels.sums(values))
    # NaN where there are no data, so that these voxels do not count.
    above_total, above = (_with_both(each) for each in voxels.sums(np.where(volume.mask, values, np.nan)))
    sides = (*volume.halves, "both")
    shape = (len(rows), len(sides))
    structure, side = (each.reshape(-1) for each in np.indices(shape))
    counts, numbers = known.reshape(-1), above.reshape(-1)
    some, some_above = np.where(counts > 0, counts, np.nan), np.where(numbers > 0, numbers, np.nan)
    frame = pd.DataFrame(
        {
            "structure_id": np.array([row.id for row in rows], np.int64)[structure],
            "structure": np.array([row.acronym for row in rows], object)[structure],
            "name": np.array([row.name for row in rows], object)[structure],
            "hemisphere": np.array(sides, object)[side],
            "voxels": counts.astype(np.int64),
            "above_voxels": numbers.astype(np.int64),
            "above_share": numbers / some,
            "mean": total.reshape(-1) / some,
            "above_mean": above_total.reshape(-1) / some_above,
        }
    )
    frame.attrs.update(annotation_facts(file), cutoff=volume.cutoff)
    if limit is None:
        return frame
    share = np.nan_to_num(frame["above_share"].to_numpy().reshape(shape)[:, -1], nan=-1.0)
    order = np.argsort(-share, kind="stable")[:limit]
    places = (order[:, None] * len(sides) + np.arange(len(sides))).reshape(-1)
    strongest = frame.iloc[places].reset_index(drop=True)
    strongest.attrs.update(frame.attrs)
    return strongest


def _with_both(sides: NDArray[Any]) -> NDArray[Any]:
    """Left, right and both, shape (structures, 3)."""
    return np.concatenate([sides, sides.sum(axis=1, keepdims=True)], axis=1)
